"""`call` and `submit`, of both clients: results, refusals, idempotency, failures."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from salesboost import (
    CallError,
    IdempotencyConflict,
    InputInvalid,
    PayloadTooLarge,
    RateLimitError,
    ResultTimeout,
    ToolClient,
    ToolForbidden,
    ToolNotFound,
    ToolResult,
    wire,
)
from tests.contract.conftest import specs_of
from tests.wait import wait_until


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _job_exists(server: redis.Redis, tool: str, tool_call_id: str) -> bool:
    job_id = wire.job_id(wire.DEFAULT_TENANT, tool, tool_call_id)
    return bool(server.exists(f"{{sb}}:job:{job_id}"))


@pytest.mark.parametrize("tool", ["echo", "echo_async"])
def test_a_call_gives_the_tools_result_with_its_audit(client: ToolClient, tool: str) -> None:
    # Given a tool, plain or a coroutine
    # When it is called
    result = client.call(tool, {"text": "hello"}, caller_role="sdr", tool_call_id=f"audit-{uuid.uuid4()}")

    # Then the result is typed and says how it came about
    assert isinstance(result, ToolResult)
    assert result.ok
    assert result.error is None
    assert result.unwrap()["text"] == "hello"
    assert result.result["role"] == "sdr"
    assert result.result["tool_call_id"] == result.tool_call_id
    assert (result.audit.status, result.audit.attempts, result.audit.cached) == ("succeeded", 1, False)
    assert result.audit.total_ms >= result.audit.queued_ms > 0
    assert result.audit.run_ms > 0
    assert result.audit.worker
    assert result.audit.version == "1"
    assert result.audit.job_id == wire.job_id("default", tool, result.tool_call_id)


def test_a_call_carries_its_tenant_and_each_tenant_has_its_own_keys(client: ToolClient) -> None:
    # Given one idempotency key
    key = uuid.uuid4().hex

    # When two tenants use it
    results = [
        client.call("echo", {"text": tenant}, caller_role="sdr", tool_call_id=key, tenant=tenant)
        for tenant in ("acme", "globex")
    ]

    # Then these are two jobs
    assert [result.result["tenant"] for result in results] == ["acme", "globex"]
    assert results[0].audit.job_id != results[1].audit.job_id


def test_an_unknown_tool_is_refused_with_the_names_there_are(client: ToolClient, state_server: redis.Redis) -> None:
    # Given a name that no worker published
    # When it is called, or submitted
    with pytest.raises(ToolNotFound, match=r"no_such_tool.*echo"):
        client.call("no_such_tool", {}, caller_role="sdr", tool_call_id="nowhere")
    with pytest.raises(ToolNotFound):
        client.submit("no_such_tool", {}, caller_role="sdr", tool_call_id="nowhere")

    # Then nothing was stored
    assert not _job_exists(state_server, "no_such_tool", "nowhere")


def test_a_role_that_may_not_call_the_tool_is_refused(client: ToolClient, state_server: redis.Redis) -> None:
    # Given a tool for managers
    # When others call it, one of them with a name that is part of a role's
    for role in ("sdr", "manage", "manager,admin"):
        with pytest.raises(ToolForbidden, match=r"roles that may: admin manager"):
            client.call("managers_only", {}, caller_role=role, tool_call_id="forbidden")

    # Then nothing was stored, and a manager may
    assert not _job_exists(state_server, "managers_only", "forbidden")
    assert client.call("managers_only", {"text": "hi"}, caller_role="manager").ok


def test_a_payload_over_the_bound_is_refused_before_anything_is_stored(
    client: ToolClient, state_server: redis.Redis
) -> None:
    # Given a payload of more than 64 KiB
    # When it is sent
    with pytest.raises(PayloadTooLarge, match=r"at most 65536"):
        client.call("echo", {"text": "x" * 65536}, caller_role="sdr", tool_call_id="large")

    # Then nothing was stored, and one within the bound passes
    assert not _job_exists(state_server, "echo", "large")
    assert client.call("echo", {"text": "x" * 65000}, caller_role="sdr").ok


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"caller_role": "two words"}, "caller_role"),
        ({"caller_role": ""}, "caller_role"),
        ({"tool_call_id": ""}, "tool_call_id"),
        ({"tool_call_id": "x" * 257}, "tool_call_id"),
        ({"tool_call_id": "\ud800"}, "tool_call_id"),
        ({"tenant": "a\0b"}, "tenant"),
        ({"priority": 10}, "priority"),
        ({"priority": True}, "priority"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": float("inf")}, "deadline"),
        ({"deadline": "soon"}, "deadline"),
        ({"max_wait": -1.0}, "max_wait"),
        ({"on_limit": "hope"}, "on_limit"),
        ({"payload": ["a list"]}, "JSON object"),
        ({"payload": {"price": float("nan")}}, "NaN"),
        ({"payload": {"tags": {"a", "set"}}}, "not JSON"),
        ({"payload": {1: "a key that is no string"}}, "not JSON"),
        ({"payload": {"big": 2**64}}, "not JSON"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(client: ToolClient, wrong: dict[str, Any], said: str) -> None:
    # Given a call with one wrong parameter
    options: dict[str, Any] = {"payload": {}, "caller_role": "sdr", **wrong}

    # When it is made
    # Then the error names it
    with pytest.raises(InputInvalid, match=said):
        client.call("echo", options.pop("payload"), **options)


def test_a_repeated_call_gives_the_first_result_and_runs_once(client: ToolClient, tmp_path: Path) -> None:
    # Given a call that was answered
    payload = {"text": "once", "note": str(tmp_path / "note")}
    first = client.call("echo", payload, caller_role="sdr", tool_call_id=tmp_path.name)

    # When it is repeated, its keys in another order, and submitted again
    again = client.call("echo", dict(reversed(payload.items())), caller_role="sdr", tool_call_id=tmp_path.name)
    handle = client.submit("echo", payload, caller_role="sdr", tool_call_id=tmp_path.name)

    # Then all have the first one's result, and the tool ran once
    assert first == again == handle.known == handle.result()
    assert handle.job_id == first.audit.job_id
    assert len(_lines(tmp_path / "note")) == 1


def test_a_hundred_callers_with_one_key_share_one_execution(client: ToolClient, tmp_path: Path) -> None:
    # Given a hundred callers that make the same call at the same time
    def call(_: int) -> ToolResult:
        payload = {"text": "hi", "note": str(tmp_path / "note")}
        return client.call("echo", payload, caller_role="sdr", tool_call_id=f"{tmp_path.name}-100")

    # When they call
    with ThreadPoolExecutor(100) as callers:
        results = list(callers.map(call, range(100)))

    # Then there is one job, one execution, one result
    assert len({result.audit.job_id for result in results}) == 1
    assert len({result.model_dump_json() for result in results}) == 1
    assert len(_lines(tmp_path / "note")) == 1


def test_a_key_that_was_used_with_another_payload_is_a_conflict(client: ToolClient) -> None:
    # Given a key that was used
    key = uuid.uuid4().hex
    client.call("echo", {"text": "one"}, caller_role="sdr", tool_call_id=key)

    # When it comes with another payload
    # Then the call is refused, whichever way it is made
    with pytest.raises(IdempotencyConflict, match=key):
        client.call("echo", {"text": "two"}, caller_role="sdr", tool_call_id=key)
    with pytest.raises(IdempotencyConflict):
        client.submit("echo", {"text": "two"}, caller_role="sdr", tool_call_id=key)


def test_a_tool_at_its_limit_refuses_at_once_and_says_when_to_come_back(client: ToolClient) -> None:
    # Given a limit of one call a minute for each key, and a key that had its call
    key = uuid.uuid4().hex
    assert client.call("rare", {"key": key}, caller_role="sdr").ok

    # When it is called again, and when the same call is submitted
    for make in (client.call, client.submit):
        with pytest.raises(RateLimitError, match=r"rare is at its limit") as caught:
            make("rare", {"key": key}, caller_role="sdr", on_limit="raise")
        assert caught.value.retryable
        assert caught.value.retry_after is not None
        assert 50 < caught.value.retry_after <= 60

    # Then another key has its own limit
    assert client.call("rare", {"key": uuid.uuid4().hex}, caller_role="sdr").ok


def test_a_refused_call_may_be_made_again_with_its_key(client: ToolClient) -> None:
    # Given a call that was refused for its limit
    key = uuid.uuid4().hex
    client.call("rare", {"key": key}, caller_role="sdr")
    with pytest.raises(RateLimitError):
        client.call("rare", {"key": key}, caller_role="sdr", tool_call_id=key)

    # When it is made again, willing to wait
    handle = client.submit("rare", {"key": key}, caller_role="sdr", tool_call_id=key)

    # Then it is a job that waits
    wait_until(lambda: handle.status() == "waiting", description="the job waits for its key's limit")
    assert handle.cancel()


def test_a_wait_longer_than_the_caller_allows_is_refused(client: ToolClient) -> None:
    # Given a key whose next call is possible in a minute
    key = uuid.uuid4().hex
    client.call("rare", {"key": key}, caller_role="sdr")

    # When a caller would wait ten seconds, or has a deadline before that
    # Then it is refused at once
    with pytest.raises(RateLimitError):
        client.call("rare", {"key": key}, caller_role="sdr", on_limit="wait", max_wait=10)
    with pytest.raises(RateLimitError):
        client.submit("rare", {"key": key}, caller_role="sdr", on_limit="wait", deadline=10)


def test_calls_that_wait_for_a_limit_start_one_after_another(client: ToolClient) -> None:
    # Given a limit of twenty starts a second, one at a time
    # When five calls are willing to wait
    handles = client.submit_many(specs_of("brisk", 5), caller_role="sdr")
    assert all(handle.result().ok for handle in handles)

    # Then by the server's clock they started at least a twentieth of a second apart, in their order
    starts = [next(e.at for e in handle.history() if e.type == "running") for handle in handles]
    assert starts == sorted(starts)
    assert min(later - earlier for earlier, later in pairwise(starts)) > 0.0499


def test_a_cached_result_is_answered_without_running_the_tool(
    client: ToolClient, state_server: redis.Redis, tmp_path: Path
) -> None:
    # Given a tool with a cache, and a call that was answered
    payload = {"text": "hi", "note": str(tmp_path / "note")}
    first = client.call("cached", payload, caller_role="sdr")

    # When the same is asked for with another key, or with a default spelt out
    second = client.call("cached", payload, caller_role="sdr", tool_call_id=tmp_path.name)
    third = client.submit("cached", {**payload, "times": 1}, caller_role="sdr").result()

    # Then it comes from the cache: nothing ran, no job came to be
    assert not first.audit.cached
    assert second.audit.cached
    assert third.audit.cached
    assert first.result == second.result == third.result
    assert second.audit.job_id == ""
    assert not _job_exists(state_server, "cached", tmp_path.name)
    assert len(_lines(tmp_path / "note")) == 1


def test_nobody_reads_anothers_cached_result(client: ToolClient, tmp_path: Path) -> None:
    # Given a cached result of one role and tenant
    payload = {"text": "mine", "note": str(tmp_path / "note")}
    client.call("cached", payload, caller_role="sdr")

    # When another role and another tenant ask
    others = [
        client.call("cached", payload, caller_role="manager"),
        client.call("cached", payload, caller_role="sdr", tenant="acme"),
    ]

    # Then the tool runs for each
    assert [result.audit.cached for result in others] == [False, False]
    assert [(result.result["role"], result.result["tenant"]) for result in others] == [
        ("manager", "default"),
        ("sdr", "acme"),
    ]


def test_a_result_that_does_not_come_in_time_comes_later(client: ToolClient) -> None:
    # Given a tool that takes half a second
    key = uuid.uuid4().hex
    payload = {"seconds": 0.5}

    # When its caller waits for a tenth
    with pytest.raises(ResultTimeout, match=r"the job goes on"):
        client.call("slow", payload, caller_role="sdr", tool_call_id=key, timeout=0.1)

    # Then the job goes on, and the same call gives its result
    assert client.call("slow", payload, caller_role="sdr", tool_call_id=key).audit.attempts == 1


def test_every_refusal_is_a_call_error_with_its_code(client: ToolClient) -> None:
    # Given one catch for all refusals
    # When a call is refused
    with pytest.raises(CallError) as caught:
        client.call("no_such_tool", {}, caller_role="sdr")

    # Then the code says which it was
    assert caught.value.code == "TOOL_NOT_FOUND"
    assert CallError.from_code(caught.value.code) is ToolNotFound
