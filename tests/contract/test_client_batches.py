"""Many calls at once, of both clients: order, window, isolation, round trips."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from salesboost import CallSpec, InputInvalid, JobHandle, ResultTimeout, ToolClient
from tests.contract.conftest import MakeClient, specs_of
from tests.contract.relay import Relay
from workers.stack import Stack


def _most_at_once(note: Path) -> int:
    moments = [line.split() for line in note.read_text(encoding="utf-8").splitlines()]
    running = most = 0
    for kind, _ in sorted(moments, key=lambda moment: float(moment[1])):
        running += 1 if kind == "start" else -1
        most = max(most, running)
    return most


def test_results_of_parallel_calls_come_in_input_order(client: ToolClient) -> None:
    # Given calls of which the first take longest
    keys = [uuid.uuid4().hex for _ in range(8)]
    specs: list[CallSpec] = [{"name": "slow", "payload": {"seconds": 0.2 - n / 50}} for n in range(8)]
    specs.extend({"name": "echo", "payload": {"text": str(n)}, "tool_call_id": key} for n, key in enumerate(keys))

    # When they run side by side
    results = client.call_parallel(specs, caller_role="sdr", max_concurrent=16)

    # Then the results are in the order of the calls
    assert [result.tool for result in results] == ["slow"] * 8 + ["echo"] * 8
    assert [result.result["text"] for result in results[8:]] == [str(n) for n in range(8)]
    assert [result.tool_call_id for result in results[8:]] == keys


def _admitted(handles: list[JobHandle]) -> tuple[int, int]:
    """Return, by the ledger, the most and the least jobs that were admitted and unfinished while any waited."""
    steps: list[tuple[float, int, int]] = []
    for handle in handles:
        history = handle.history()
        entered = next(event.at for event in history if event.type == "queued")
        # One step of the ledger settles a job and admits the next one: both have the same time.
        steps += [(entered, 1, +1), (history[-1].at, 0, -1)]
    steps.sort()
    last_entry = max(at for at, _, change in steps if change > 0)
    first_end = min(at for at, _, change in steps if change < 0)
    inside, counts = 0, list[tuple[float, int]]()
    for at, _, change in steps:
        inside += change
        counts.append((at, inside))
    after_each_moment = dict(counts)
    most = max(inside for _, inside in counts)
    return most, min(count for at, count in after_each_moment.items() if first_end <= at < last_entry)


@pytest.mark.parametrize("window", [1, 4])
def test_the_window_is_never_passed_and_never_left_empty(client: ToolClient, tmp_path: Path, window: int) -> None:
    # Given more calls than may run at once, and more workers than that
    specs = specs_of("slow", 4 * window, seconds=0.04, note=str(tmp_path / "note"))

    # When they run
    handles = client.submit_parallel(specs, caller_role="sdr", max_concurrent=window)
    assert all(result.ok for _, result in client.as_completed(handles))

    # Then by the tool's own count no more than the window ran at once, and by the ledger's clock the window was full
    # for as long as any call waited
    assert _most_at_once(tmp_path / "note") <= window
    assert _admitted(handles) == (window, window)


def test_the_fleets_default_is_the_window_when_none_is_named(client: ToolClient, tmp_path: Path) -> None:
    # Given the fleet's default of five
    specs = specs_of("slow", 15, seconds=0.04, note=str(tmp_path / "note"))

    # When a batch names no window
    handles = client.submit_parallel(specs, caller_role="sdr")
    assert all(result.ok for _, result in client.as_completed(handles))

    # Then five are admitted at a time
    assert _most_at_once(tmp_path / "note") <= 5
    assert _admitted(handles) == (5, 5)


def test_one_call_that_fails_does_not_harm_the_others(client: ToolClient) -> None:
    # Given calls of which most are wrong, each in its own way
    specs: Any = [
        {"name": "echo", "payload": {"text": "first"}},
        {"name": "failing", "payload": {"text": "as it should"}},
        {"name": "no_such_tool", "payload": {}},
        {"name": "managers_only", "payload": {}},
        {"name": "echo", "payload": {"times": -1}},
        {"name": "echo", "payload": {"text": "x" * 70_000}},
        {"name": "echo", "payload": "not an object"},
        {"name": "echo"},
        {"name": "echo", "payload": {}, "prioritty": 1},
        {"name": "echo", "payload": {}, "deadline": "soon"},
        "not a call",
        {"name": "echo", "payload": {"text": "last"}},
    ]

    # When they run with a small window
    results = client.call_parallel(specs, caller_role="sdr", max_concurrent=2)

    # Then each has its own outcome
    assert [result.error.code if result.error else "" for result in results] == [
        "",
        "TOOL_FAILED",
        "TOOL_NOT_FOUND",
        "TOOL_FORBIDDEN",
        "TOOL_INPUT_INVALID",
        "TOOL_PAYLOAD_TOO_LARGE",
        "TOOL_INPUT_INVALID",
        "TOOL_INPUT_INVALID",
        "TOOL_INPUT_INVALID",
        "TOOL_INPUT_INVALID",
        "TOOL_INPUT_INVALID",
        "",
    ]
    assert [results[0].result["text"], results[-1].result["text"]] == ["first", "last"]


def test_calls_that_fail_or_are_cancelled_make_room_in_the_window(client: ToolClient) -> None:
    # Given a batch with a window of one, whose calls fail, die, expire, or wait
    specs: list[CallSpec] = [
        {"name": "failing", "payload": {}},
        {"name": "exiting", "payload": {}},
        {"name": "cancellable", "payload": {"seconds": 20}, "deadline": 5.0},
        {"name": "crawling", "payload": {}},
        {"name": "crawling", "payload": {}},
        {"name": "echo", "payload": {"text": "at last"}},
    ]
    handles = client.submit_parallel(specs, caller_role="sdr", max_concurrent=1)

    # When the ones that would take long are cancelled
    for handle in handles[2:5]:
        handle.cancel()

    # Then the last one has its turn
    assert handles[5].result(timeout=20).result["text"] == "at last"
    assert handles[1].result().audit.status == "dead"


def test_the_same_call_twice_in_a_batch_is_one_job_with_two_places(client: ToolClient) -> None:
    # Given two calls with one key
    spec: CallSpec = {"name": "echo", "payload": {"text": "twin"}, "tool_call_id": uuid.uuid4().hex}

    # When they are in one batch
    results = client.call_parallel([spec, spec], caller_role="sdr", max_concurrent=1)

    # Then both have the one result
    assert results[0] == results[1]
    assert results[0].ok


def test_an_empty_batch_is_done(client: ToolClient) -> None:
    # Given no calls
    # When they run
    # Then there are no results
    assert client.call_parallel([], caller_role="sdr") == []
    assert client.submit_many([], caller_role="sdr") == []
    assert list(client.as_completed([])) == []


@pytest.mark.parametrize("window", [0, -1, 2.5, True])
def test_a_window_must_be_a_whole_number_above_zero(client: ToolClient, window: Any) -> None:
    # Given a window that is none
    # When calls are to run in it
    # Then it is refused
    with pytest.raises(InputInvalid, match="max_concurrent"):
        client.call_parallel([], caller_role="sdr", max_concurrent=window)


def test_results_are_taken_as_they_come(client: ToolClient) -> None:
    # Given a slow call before quick ones
    handles = client.submit_many([*specs_of("slow", 1, seconds=0.4), *specs_of("echo", 3)], caller_role="sdr")

    # When they are taken as they settle
    order = [handle for handle, _ in client.as_completed(handles)]

    # Then the slow one is last, and each comes once
    assert order[-1] is handles[0]
    assert set(order) == set(handles)


def test_a_batch_that_is_not_done_in_time_goes_on(client: ToolClient) -> None:
    # Given a call that takes longer than its caller waits
    specs: list[CallSpec] = [
        {"name": "slow", "payload": {"seconds": 0.5}, "tool_call_id": uuid.uuid4().hex},
        {"name": "echo", "payload": {"text": "quick"}, "tool_call_id": uuid.uuid4().hex},
    ]

    # When time runs out
    with pytest.raises(ResultTimeout, match="slow"):
        client.call_parallel(specs, caller_role="sdr", timeout=0.1)

    # Then nothing is lost: the same calls give their results
    assert [result.ok for result in client.call_parallel(specs, caller_role="sdr")] == [True, True]


def test_a_thousand_calls_are_handed_over_in_a_few_round_trips(
    make_client: MakeClient, stack: Stack, state_server: redis.Redis
) -> None:
    # Given a network on which a round trip takes 50 ms
    with Relay(stack.state_url, delay=0.025) as far:
        client = make_client(far.url)
        specs: list[CallSpec] = [{"name": "crawling", "payload": {"seconds": n}} for n in range(1000)]

        # When a thousand calls are submitted
        began = time.monotonic()
        handles = client.submit_many(specs, caller_role="sdr")
        seconds = time.monotonic() - began

        # Then they are jobs, and it took a few round trips, not a thousand (50 s)
        assert len({handle.job_id for handle in handles}) == 1000
        assert seconds < 5
    pipeline = state_server.pipeline(transaction=False)
    for handle in handles:
        pipeline.fcall("sb1_cancel_job", 1, "{sb}", handle.job_id)
    pipeline.execute()
