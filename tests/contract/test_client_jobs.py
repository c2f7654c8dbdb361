"""Handles, of both clients: status, events, history, cancelling; and what is told of tools."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from salesboost import CallCancelled, JobEvent, JobHandle, JobNotFound, JobState, ToolClient, ToolNotFound
from tests.contract.conftest import specs_of
from tests.wait import wait_until
from workers.stack import Stack


def _await_start(note: Path) -> None:
    wait_until(note.exists, description="the tool has started")


def test_a_handle_follows_its_job_to_the_result(client: ToolClient, tmp_path: Path) -> None:
    # Given a job that runs
    note = tmp_path / "note"
    handle = client.submit("cancellable", {"seconds": 0.2, "note": str(note)}, caller_role="sdr")
    _await_start(note)

    # When its handle is asked
    # Then it says where the job is, until the result is there
    seen = [(handle.status(), handle.known)]
    result = handle.result()
    seen.append((handle.status(), handle.known))
    assert seen == [(JobState.RUNNING, None), (JobState.SUCCEEDED, result)]
    assert result.ok
    assert handle.result(timeout=0) == result
    assert handle.job_id in repr(handle)


def test_another_client_finds_a_job_by_its_id(client: ToolClient, stack: Stack) -> None:
    # Given a job of one client
    job_id = client.submit("echo", {"text": "hello"}, caller_role="sdr").job_id

    # When another one, which knows nothing but the id, asks for it
    with ToolClient(stack.state_url) as other:
        handle = other.handle(job_id)

        # Then it has the job
        assert (handle.tool, handle.job_id) == ("echo", job_id)
        assert handle.result().result["text"] == "hello"


@pytest.mark.parametrize("job_id", ["nonsense", ""])
def test_a_job_that_is_not_there_is_said_to_be_missing(client: ToolClient, job_id: str) -> None:
    # Given an id of no job
    # When anything is asked about it
    # Then the answer is the same
    asks: list[Callable[[], object]] = [
        lambda: client.handle(job_id),
        lambda: client.job_state(job_id),
        lambda: client.job_history(job_id),
        lambda: client.explain(job_id),
        lambda: list(client.job_events(job_id)),
    ]
    for ask in asks:
        with pytest.raises(JobNotFound):
            ask()


def test_cancelling_an_unknown_job_says_so(client: ToolClient) -> None:
    # Given an id of no job
    # When it is cancelled
    # Then there is nothing to cancel
    with pytest.raises(JobNotFound, match="nonsense"):
        client.cancel("nonsense")


def test_a_waiting_job_is_cancelled_at_once(client: ToolClient) -> None:
    # Given jobs that wait for a limit of one an hour
    handles = client.submit_many(specs_of("crawling", 2), caller_role="sdr")
    assert handles[1].status() is JobState.WAITING

    # When the last one is cancelled
    cancelled = handles[1].cancel()

    # Then it is over, its result says so, and it cannot be cancelled twice
    assert cancelled
    assert handles[1].status() is JobState.CANCELLED
    with pytest.raises(CallCancelled):
        handles[1].result().unwrap()
    assert not handles[1].cancel()
    handles[0].cancel()


def test_a_running_job_is_asked_to_stop(client: ToolClient, tmp_path: Path) -> None:
    # Given a job that runs, whose tool looks whether it was cancelled
    note = tmp_path / "note"
    handle = client.submit("cancellable", {"seconds": 30, "note": str(note)}, caller_role="sdr")
    _await_start(note)

    # When it is cancelled
    assert handle.cancel()

    # Then it ends as cancelled, and its history says that it was asked
    result = handle.result()
    assert result.error
    assert (result.error.code, result.audit.status) == ("TOOL_CANCELLED", "cancelled")
    assert result.audit.attempts == 1


def test_a_job_behind_a_busy_slot_expires_at_its_deadline(client: ToolClient, tmp_path: Path) -> None:
    # Given a tool of which one call runs at a time, and one that runs
    note = tmp_path / "note"
    first = client.submit("single", {"seconds": 30, "note": str(note)}, caller_role="sdr")
    _await_start(note)

    # When another one with a deadline has to wait for it
    second = client.submit("single", {"seconds": 0}, caller_role="sdr", deadline=1.1)

    # Then it expires in the waiting room without having begun
    assert second.status() is JobState.WAITING
    result = second.result()
    assert result.error
    assert (result.error.code, result.audit.attempts) == ("TOOL_EXPIRED", 0)
    first.cancel()
    first.result()


def test_a_waiting_job_knows_its_place_and_its_start(client: ToolClient) -> None:
    # Given three jobs of a tool that starts once an hour
    handles = client.submit_many(specs_of("crawling", 3), caller_role="sdr")

    # When the last two are asked why they wait
    second, third = handles[1].explain(), handles[2].explain()
    for handle in handles:
        handle.cancel()

    # Then each has a place, and a start an hour after the one before it
    assert second.state is third.state is JobState.WAITING
    assert second.before is not None
    assert third.before == second.before + 1
    assert second.expected_start is not None
    assert third.expected_start is not None
    assert third.expected_start - second.expected_start == pytest.approx(3600, abs=5)


def test_a_job_of_higher_priority_is_before_the_others(client: ToolClient) -> None:
    # Given jobs that wait
    waiting = client.submit_many(specs_of("crawling", 3), caller_role="sdr")

    # When an urgent one comes
    urgent = client.submit("crawling", {}, caller_role="sdr", priority=9)
    places = [handle.explain().before for handle in (urgent, waiting[1], waiting[2])]
    for handle in (*waiting, urgent):
        handle.cancel()

    # Then it is the first of them
    assert places[0] == 0
    assert places == sorted(places, key=lambda place: place or 0)


def test_a_settled_job_has_nothing_to_explain(client: ToolClient) -> None:
    # Given a job that is over
    handle = client.submit("echo", {}, caller_role="sdr")
    handle.result()

    # When it is asked why it is where it is
    explanation = handle.explain()

    # Then it has no place and no start
    assert (explanation.state, explanation.before, explanation.expected_start) == (JobState.SUCCEEDED, None, None)


def test_history_is_every_change_of_state_in_order(client: ToolClient) -> None:
    # Given a job that took two attempts
    handle = client.submit("flaky", {"succeed_at": 2}, caller_role="sdr")
    handle.result()

    # When its history is read
    history = handle.history()

    # Then it tells every step
    steps = [(event.type, event.attempt) for event in history]
    assert steps == [
        ("queued", 0),
        ("running", 1),
        ("retrying", 1),
        ("queued", 1),
        ("running", 2),
        ("succeeded", 2),
    ]
    assert [event.at for event in history] == sorted(event.at for event in history)
    assert "attempt 1 was too early" in history[2].detail
    assert {event.job_id for event in history} == {handle.job_id}
    assert history[-1].settles


def test_events_are_told_as_they_happen_until_the_job_settles(client: ToolClient, tmp_path: Path) -> None:
    # Given a job that reports progress
    handle = client.submit("slow", {"seconds": 0.2, "note": str(tmp_path / "note")}, caller_role="sdr")

    # When its events are followed
    events = list(handle.events())

    # Then they are its states, each once, and the progress while it was followed
    states = [event.type for event in events if event.type != "progress"]
    assert states == ["queued", "running", "succeeded"]
    assert [event.detail for event in events if event.type == "progress"] in (
        [],
        ['{"fraction":0.5,"message":"half way"}'],
    )


def test_progress_reaches_whoever_follows(client: ToolClient, tmp_path: Path) -> None:
    # Given a job that waits behind another one, and somebody who follows it
    note = tmp_path / "note"
    blocker = client.submit("single", {"seconds": 30, "note": str(note)}, caller_role="sdr")
    _await_start(note)
    handle = client.submit("single", {"seconds": 0.05}, caller_role="sdr")
    events = handle.events()
    first = next(events)

    # When the one before it ends
    blocker.cancel()
    rest = list(events)

    # Then every step is told as it happens
    assert first.type == "waiting"
    assert [event.type for event in rest] == ["queued", "running", "succeeded"]


def test_any_number_follow_one_job(client: ToolClient, tmp_path: Path) -> None:
    # Given a job that runs for a while
    handle = client.submit("cancellable", {"seconds": 0.3, "note": str(tmp_path / "note")}, caller_role="sdr")

    # When four follow it with the same client
    def follow(_: int) -> list[JobEvent]:
        return [event for event in handle.events() if event.type != "progress"]

    with ThreadPoolExecutor(4) as followers:
        told = list(followers.map(follow, range(4)))

    # Then all are told the same
    assert [event.type for event in told[0]] == ["queued", "running", "succeeded"]
    assert all(events == told[0] for events in told)


def test_whoever_stops_following_harms_nobody(client: ToolClient) -> None:
    # Given a job whose events somebody begins to read
    handle = client.submit("slow", {"seconds": 0.1}, caller_role="sdr")
    for event in handle.events():
        assert event.type == "queued"
        break

    # When they stop
    # Then the result is there all the same
    assert handle.result().ok


def test_the_catalogue_tells_what_agents_need(client: ToolClient) -> None:
    # Given a running stack
    # When its tools are listed
    tools = {info.name: info for info in client.tools()}

    # Then they come by name, with description, schemas, roles and limits
    assert list(tools) == sorted(tools)
    assert tools["echo"].description.startswith("Say the text again.")
    assert tools["echo"].input_schema["properties"]["times"]["maximum"] == 1000
    assert "attempt" in tools["echo"].output_schema["properties"]
    assert tools["managers_only"].roles == ["admin", "manager"]
    assert (tools["brisk"].limit, tools["rare"].limit) == ("20/second", None)
    assert tools["rare"].limit_keys == ["1/minute per key"]
    assert (tools["cached"].cache_ttl, tools["write_note"].effect) == (60, "write")


def test_statistics_count_what_became_of_calls(client: ToolClient) -> None:
    # Given statistics before
    before = client.statistics()

    # When calls succeed, fail and are answered from the cache
    text = uuid.uuid4().hex
    client.call("echo", {}, caller_role="sdr")
    client.call("failing", {"text": "no"}, caller_role="sdr")
    for _ in range(3):
        client.call("cached", {"text": text}, caller_role="sdr")

    # Then each is counted
    after = client.statistics()
    assert after["echo"].succeeded == before["echo"].succeeded + 1
    assert after["failing"].failed == before["failing"].failed + 1
    assert after["cached"].cached == before["cached"].cached + 2
    assert after["echo"].quantile(0.5, since=before["echo"]) is not None


def test_routing_in_an_unknown_group_says_so(client: ToolClient) -> None:
    # Given no group of that name
    # When a tool of it is asked for, or what was learned about it
    # Then it is said to be unknown; feedback on no decision is nothing
    with pytest.raises(ToolNotFound, match="no_such_group"):
        client.routing.select_tool("no_such_group")
    with pytest.raises(ToolNotFound):
        client.routing.get_statistics("no_such_group")
    assert client.routing.record_feedback(None, success=True, latency_ms=1.0) is False


def test_a_refused_call_has_no_job(client: ToolClient) -> None:
    # Given a call of many that was refused
    handle: JobHandle = client.submit_many([{"name": "no_such_tool", "payload": {}}], caller_role="sdr")[0]

    # When its job is asked for
    # Then there is none, and the result says why
    assert handle.job_id == ""
    with pytest.raises(JobNotFound, match="never became a job"):
        handle.status()
    assert handle.result().error is not None
