"""One attempt: claim, run, settle, with the real ledger and without a worker around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from config.settings import Settings
from salesboost import ToolContext, tool, wire
from salesboost.errors import CallError, OutcomeUnknown
from salesboost.faults import InputFault, ProviderLimited, TransientFault
from salesboost.store import CacheStore, StateStore
from scheduler import library
from scheduler.ledger import Ledger
from scheduler.outcomes import Run, Settled, Skip, Stale, Wait
from tasks import attempt as attempt_module
from tasks.attempt import Attempts
from tasks.registry import Registry
from tests.unit.scheduler.ledger_bed import Bed
from tests.wait import wait_until
from workers.embedded import EmbeddedServers


class Mute(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("speechless")


class Text(BaseModel):
    """Any text."""

    text: str = ""


class Blob(BaseModel):
    """Bytes, which JSON may not be able to hold."""

    data: bytes = b""


class Buggy(BaseModel):
    """A model whose validator has a bug."""

    text: str = ""

    @field_validator("text", mode="before")
    @classmethod
    def look(cls, value: str) -> str:
        """Fail otherwise than by what pydantic takes for a wrong value."""
        return {"known": value}[value]


Body = Callable[[Text, ToolContext], Any]


def make(body: Body, **policy: Any) -> Any:
    """Make a tool named ``free`` of a function of args and context."""

    def run(args: Text, ctx: ToolContext) -> Text:
        """Do what the test says."""
        return body(args, ctx)  # type: ignore[no-any-return]

    fields: dict[str, Any] = {"limit": None, "retries": 2, **policy}
    return tool(name="free", **fields)(run)


def attempts(bed: Bed, body: Body, *, cache: CacheStore | None = None, **policy: Any) -> Attempts:
    """Publish the tool and return what runs its attempts."""
    made = make(body, **policy)
    settings = Settings(namespace=bed.namespace, tool_retry_base_delay=0.01)
    registry = Registry([made], settings)
    bed.publish("free", **registry.get("free").policy.model_dump())  # type: ignore[union-attr]
    return Attempts(registry, bed.ledger, cache, settings)


def test_what_the_tool_returns_is_settled(bed: Bed) -> None:
    # Given a tool that returns its input, when an attempt runs, then the ledger has the result
    runner = attempts(bed, lambda args, ctx: args)
    job = bed.accepted("free", {"text": "hello"})
    assert runner.perform(job) == (Settled("succeeded"), "succeeded", None)
    assert bed.fields(job)["result"] == '{"text":"hello"}'
    assert bed.fields(job)["worker"] == runner.worker


def test_the_context_tells_the_tool_about_its_call(bed: Bed) -> None:
    # Given a call with all there is
    seen: list[ToolContext] = []

    def look(args: Text, ctx: ToolContext) -> Text:
        seen.append(ctx)
        return args

    runner = attempts(bed, look)
    job = bed.accepted("free", role="manager", tenant="acme", tool_call_id="c9", deadline=20.0)
    # When it runs, then its context says so
    runner.perform(job)
    (ctx,) = seen
    assert (ctx.tool_call_id, ctx.job_id, ctx.attempt) == ("c9", job, 1)
    assert (ctx.caller_role, ctx.tenant, ctx.cancelled) == ("manager", "acme", False)
    assert 0 < ctx.remaining() <= 20


@pytest.mark.parametrize(
    ("exc", "state", "code"),
    [
        (InputFault("wrong"), "failed", "TOOL_INPUT_INVALID"),
        (TransientFault("down"), "retrying", "TOOL_UNAVAILABLE"),
        (ProviderLimited("slow", retry_after=7.0), "retrying", "TOOL_UNAVAILABLE"),
        (ConnectionRefusedError("no"), "retrying", "TOOL_UNAVAILABLE"),
        (TimeoutError(), "retrying", "TOOL_TIMEOUT"),
        (PermissionError("no"), "failed", "TOOL_FAILED"),
        (KeyError("price"), "failed", "TOOL_FAILED"),
        (RecursionError(), "failed", "TOOL_FAILED"),
        (StopIteration(), "failed", "TOOL_FAILED"),
        (ExceptionGroup("many", [ValueError("one")]), "failed", "TOOL_FAILED"),
        (OutcomeUnknown("who knows"), "failed", "TOOL_OUTCOME_UNKNOWN"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "failed", "TOOL_FAILED"),
        (ValueError("a lone surrogate \ud800"), "failed", "TOOL_FAILED"),
        (ValueError("\0"), "failed", "TOOL_FAILED"),
        (Mute(), "failed", "TOOL_FAILED"),
        (ValueError("x" * 1_000_000), "failed", "TOOL_FAILED"),
    ],
)
def test_whatever_the_tool_raises_is_settled(bed: Bed, exc: Exception, state: str, code: str) -> None:
    # Given a tool that raises, when an attempt runs, then the ledger knows what and whether to try again
    def fail(args: Text, ctx: ToolContext) -> Text:
        raise exc

    runner = attempts(bed, fail)
    job = bed.accepted()
    done = runner.perform(job)
    assert isinstance(done, tuple)
    assert done[0] == Settled(state)
    assert f'"code":"{code}"' in bed.fields(job)["error"]
    assert len(bed.fields(job)["error"]) < 5000


@pytest.mark.parametrize("kind", [MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_what_would_end_a_process_is_a_crash_and_goes_no_further(bed: Bed, kind: type[BaseException]) -> None:
    # Given a tool that raises what is no Exception
    def fail(args: Text, ctx: ToolContext) -> Text:
        raise kind("bad")

    runner = attempts(bed, fail)
    job = bed.accepted()
    # When it does so in each of its three chances, then it is dead
    for state in ("queued", "queued", "dead"):
        done = runner.perform(job)
        assert isinstance(done, tuple)
        assert done[0] == Settled(state)
    assert kind.__name__ in bed.fields(job)["error"]


def test_a_result_that_is_no_json_is_a_typed_failure(bed: Bed) -> None:
    # Given a tool that returns bytes which are no text
    @tool(name="free", limit=None)
    def blob(args: Text, ctx: ToolContext) -> Blob:
        """Return bytes."""
        return Blob(data=b"\xff\xfe")

    settings = Settings(namespace=bed.namespace)
    runner = Attempts(Registry([blob], settings), bed.ledger, None, settings)
    job = bed.accepted()
    # When it runs, then its call fails, and is not tried until it is dead
    done = runner.perform(job)
    assert isinstance(done, tuple)
    assert done[0] == Settled("failed")
    assert '"code":"TOOL_FAILED"' in bed.fields(job)["error"]


def test_an_input_model_that_fails_otherwise_than_by_validation_is_a_typed_failure(bed: Bed) -> None:
    # Given an input model whose validator has a bug
    @tool(name="free", limit=None)
    def buggy(args: Buggy, ctx: ToolContext) -> Text:
        """Do nothing."""
        return Text()

    settings = Settings(namespace=bed.namespace)
    runner = Attempts(Registry([buggy], settings), bed.ledger, None, settings)
    # When it meets a payload it did not expect, then the call fails, and is not tried until it is dead
    done = runner.perform(bed.accepted("free", {"text": "unknown"}))
    assert isinstance(done, tuple)
    assert done[0] == Settled("failed")


def test_a_validation_error_of_the_tools_own_is_no_fault_of_the_caller(bed: Bed) -> None:
    # Given a tool that reads what its provider sent, which is wrong
    def read(args: Text, ctx: ToolContext) -> Text:
        return Text.model_validate({"text": 5})

    runner = attempts(bed, read)
    job = bed.accepted()
    # When it runs, then the tool has failed, not the caller
    runner.perform(job)
    assert '"code":"TOOL_FAILED"' in bed.fields(job)["error"]


def test_a_deadline_that_passes_while_the_tool_runs_expires_the_job(bed: Bed) -> None:
    # Given a call whose deadline is before the tool's limit
    def slow(args: Text, ctx: ToolContext) -> Text:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            time.sleep(0.005)
        return args

    runner = attempts(bed, slow)
    job = bed.accepted(deadline=0.3)
    # When it runs into it, then it is expired, and not tried again
    done = runner.perform(job)
    assert isinstance(done, tuple)
    assert done[0] == Settled("expired")


def test_a_cancelled_tool_that_gives_up_is_cancelled(bed: Bed) -> None:
    # Given a tool that looks at its context, and a lease of half a second
    bed.ledger = Ledger(bed.store, lease=0.5)

    def polite(args: Text, ctx: ToolContext) -> Text:
        bed.cancel(ctx.job_id)
        wait_until(lambda: ctx.cancelled, description="the cancellation")
        raise TransientFault("given up")

    runner = attempts(bed, polite)
    job = bed.accepted()
    # When it gives up, however it says so, then the job is cancelled
    done = runner.perform(job)
    assert isinstance(done, tuple)
    assert done[0] == Settled("cancelled")
    assert bed.state(job) == "cancelled"


def test_a_hint_without_work_runs_nothing(bed: Bed) -> None:
    # Given jobs that are settled, waiting, run by another, or not there
    def never(args: Text, ctx: ToolContext) -> Text:
        raise AssertionError("must not run")

    runner = attempts(bed, never)
    settled, held = bed.accepted(), bed.accepted()
    bed.cancel(settled)
    bed.run(held, "other:1")
    # When their hints are followed, then nothing runs
    assert runner.perform(settled) == Skip("cancelled")
    assert runner.perform(held) == Skip("running")
    assert runner.perform("nope") == Skip("gone")
    bed.publish("free", limit="1/hour")
    bed.server.delete(f"{bed.root}:bucket:tool:free")
    first, second = bed.accepted(), bed.accepted()
    bed.publish("free", limit="1/day")
    bed.run(first)
    assert bed.state(second) == "waiting" or isinstance(runner.perform(second), Wait)


def test_a_job_of_a_tool_that_was_taken_out_goes_back_uncounted(bed: Bed) -> None:
    # Given a job of a tool that this process does not have any more
    runner = attempts(bed, lambda args, ctx: args)
    bed.publish("other")
    job = bed.accepted("other")
    # When its hint is followed here, then it is queued again, and nothing was counted
    assert runner.perform(job) == Skip("queued")
    assert (bed.state(job), bed.fields(job)["spared"]) == ("queued", "1")


def test_a_result_is_cached_for_the_next_caller(bed: Bed, servers: EmbeddedServers) -> None:
    # Given a tool whose results are cached
    cache = CacheStore(servers.cache_url, namespace=bed.namespace)
    runner = attempts(bed, lambda args, ctx: args, cache=cache, cache_ttl=30)
    runner.perform(bed.accepted("free", {"text": "hello"}, role="sdr", tenant="acme"))
    # Then the cache has it under the key that clients compute
    payload = wire.canonical({"text": "hello"})
    key = wire.cache_key(bed.namespace, "free", "1", payload, tenant="acme", role="sdr")
    assert cache.get_many([("free", key)]) == [b'{"text":"hello"}']
    cache.close()


def test_a_failure_is_not_cached(bed: Bed, servers: EmbeddedServers) -> None:
    # Given a tool that fails
    def fail(args: Text, ctx: ToolContext) -> Text:
        raise InputFault("wrong")

    cache = CacheStore(servers.cache_url, namespace=bed.namespace)
    attempts(bed, fail, cache=cache, cache_ttl=30).perform(bed.accepted())
    key = wire.cache_key(bed.namespace, "free", "1", wire.canonical({"text": ""}), tenant="default", role="sdr")
    assert cache.get_many([("free", key)]) == [None]
    cache.close()


def test_a_cache_that_is_away_costs_nothing_but_its_hits(bed: Bed) -> None:
    # Given a cache server that does not answer
    cache = CacheStore("redis://127.0.0.1:1/0", namespace=bed.namespace)
    runner = attempts(bed, lambda args, ctx: args, cache=cache, cache_ttl=30)
    # When an attempt runs, then it settles
    done = runner.perform(bed.accepted())
    assert isinstance(done, tuple)
    assert done[0] == Settled("succeeded")
    cache.close()


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path) as servers:
        yield servers


def test_an_outcome_is_kept_until_the_server_is_back(own_servers: EmbeddedServers) -> None:
    # Given a tool that ends while the state server is away
    store = StateStore(own_servers.state_url, namespace="a", timeout=1)
    library.load(store.redis)
    bed = Bed(own_servers.state_url, "a", lease=30)

    def outlive(args: Text, ctx: ToolContext) -> Text:
        own_servers.stop()
        later.start()
        return Text(text="kept")

    later = threading.Timer(0.5, own_servers.start)
    runner = attempts(bed, outlive)
    job = bed.accepted()
    # When the server comes back, then the outcome is settled
    done = runner.perform(job)
    assert isinstance(done, tuple)
    assert done[0] == Settled("succeeded")
    assert bed.fields(job)["result"] == '{"text":"kept"}'
    later.join()
    bed.close()
    store.close()


def test_an_outcome_is_given_up_after_its_patience(
    own_servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a state server that stays away for longer than anybody has patience
    monkeypatch.setattr(attempt_module, "SETTLE_PATIENCE", 0.5)
    store = StateStore(own_servers.state_url, namespace="a", timeout=1)
    library.load(store.redis)
    bed = Bed(own_servers.state_url, "a", lease=30)

    def stop_servers(args: Text, ctx: ToolContext) -> Text:
        own_servers.stop()
        return args

    runner = attempts(bed, stop_servers)
    job = bed.accepted()
    # When a tool ends meanwhile, then its attempt ends in an error, and its job is found by its lease
    with pytest.raises(CallError, match="did not answer"):
        runner.perform(job)
    own_servers.start()
    bed.age(31)
    bed.advance()
    assert bed.state(job) == "queued"
    bed.close()
    store.close()


def test_the_fault_number_decides_the_wait_and_not_the_attempt(bed: Bed) -> None:
    # Given a job that was lost twice before its first fault
    def fail(args: Text, ctx: ToolContext) -> Text:
        raise TransientFault("down")

    runner = attempts(bed, fail)
    job = bed.accepted()
    for _ in range(2):
        bed.run(job)
        bed.ledger.abandon(job, "host:1", "deploy", spare=True)
    # When it faults, then it waits as after a first fault
    started = bed.now()
    runner.perform(job)
    assert bed.state(job) == "retrying"
    assert bed.due()[job] <= 0.01 + (bed.now() - started)


def test_a_late_outcome_is_refused(bed: Bed) -> None:
    # Given a tool whose job goes to another while it runs
    def slow(args: Text, ctx: ToolContext) -> Text:
        bed.ledger.abandon(ctx.job_id, runner.worker, "frozen")
        assert isinstance(bed.ledger.claim(ctx.job_id, "other:1"), Run)
        return args

    runner = attempts(bed, slow)
    # When it ends, then what it brings is refused
    done = runner.perform(bed.accepted())
    assert isinstance(done, tuple)
    assert done[0] == Stale("running")
