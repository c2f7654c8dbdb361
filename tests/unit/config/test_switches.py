"""Each `TOOL_*` switch, from the settings through what workers publish to what the ledger then does."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from pydantic import BaseModel

from config import policies
from config.settings import Settings
from salesboost import ToolContext, tool, wire
from salesboost.policy import ToolPolicy
from salesboost.store import StateStore
from scheduler import fleet, retries
from scheduler.ledger import Ledger
from scheduler.outcomes import Run
from tasks.celery_tasks import describe
from tasks.registry import Registered
from tests.wait import wait_until


class Nothing(BaseModel):
    """No input, no output."""


@tool(name="limited", limit="1/day", limit_keys=["1/day per tenant"], cache_ttl=60)
def limited(args: Nothing, ctx: ToolContext) -> Nothing:
    """Do nothing, rarely."""
    return args


@tool(name="daily", limit="1/day")
def daily(args: Nothing, ctx: ToolContext) -> Nothing:
    """Do nothing, once a day."""
    return args


@tool(name="free", limit=None, retries=4)
def free(args: Nothing, ctx: ToolContext) -> Nothing:
    """Do nothing, at any time."""
    return args


def publish(store: StateStore, **switches: Any) -> Settings:
    """Publish the tools as a worker with these switches would."""
    settings = Settings(namespace=store.namespace, **switches)
    registered = [Registered(found, policies.in_force(found.policy, settings)) for found in (limited, daily, free)]
    fleet.publish(store.redis, [(describe(one), one.policy) for one in registered], settings)
    return settings


def policy_of(store: StateStore, name: str) -> dict[str, str]:
    """Return a tool's policy as the functions read it."""
    return wire.texts(store.redis.hgetall(f"{wire.root(store.namespace)}:tool:{name}"))


def submit(store: StateStore, name: str, key: int, *, batch: str = "") -> tuple[str, str]:
    """Submit a call; return the state it is in and its job."""
    submission = wire.Submission(
        tool=name, payload=b"{}", role="sdr", tenant="t", tool_call_id=str(key), batch=batch, index=key
    )
    reply = store.call("submit_job", *submission.arguments())
    return wire.text(reply[0]), wire.text(reply[1])


def test_a_limit_is_published_and_holds(store: StateStore) -> None:
    # Given a fleet that applies limits
    publish(store)
    policy = policy_of(store, "limited")
    assert (policy["interval"], policy["burst"]) == (str(86_400 * 1_000_000), "1")
    assert policy["limit_keys"] == f'[["tenant",{86_400 * 1_000_000},1]]'
    # When two calls are made to a tool that one a day may start of
    states = [submit(store, "limited", key) for key in range(2)]
    # Then the second waits
    assert [state for state, _ in states] == ["queued", "waiting"]
    ledger = Ledger(store, lease=10)
    assert isinstance(ledger.claim(states[0][1], "w:1"), Run)


def test_without_limits_every_call_may_start(store: StateStore) -> None:
    # Given TOOL_RATE_LIMIT_ENABLED=false
    publish(store, tool_rate_limit_enabled=False)
    policy = policy_of(store, "limited")
    assert (policy["interval"], policy["burst"], policy["limit_keys"]) == ("0", "0", "")
    # When many calls are made
    states = [submit(store, "limited", key) for key in range(10)]
    # Then all of them run
    assert {state for state, _ in states} == {"queued"}
    ledger = Ledger(store, lease=10)
    assert all(isinstance(ledger.claim(job, "w:1"), Run) for _, job in states)


def test_switching_limits_off_frees_what_waits_for_one(store: StateStore) -> None:
    # Given calls that wait for tomorrow
    publish(store)
    calls = [submit(store, "daily", key) for key in range(4)]
    assert [state for state, _ in calls] == ["queued", "waiting", "waiting", "waiting"]
    ledger = Ledger(store, lease=10)
    # When a worker with limits switched off publishes its policies
    publish(store, tool_rate_limit_enabled=False)
    # Then a pump releases them within two seconds, although it meant to look tomorrow
    wait_until(lambda: ledger.advance()[0] >= 3, timeout=2, description="release")
    assert all(isinstance(ledger.claim(job, "w:1"), Run) for _, job in calls)


@pytest.mark.parametrize(("switches", "ttl"), [({}, 60.0), ({"tool_cache_enabled": False}, 0.0)])
def test_producers_learn_from_the_catalogue_whether_results_are_cached(
    store: StateStore, switches: dict[str, bool], ttl: float
) -> None:
    # When a worker publishes a tool whose results may be cached
    publish(store, **switches)
    # Then its entry says whether a look into the cache is worth it
    assert f'"cache_ttl":{ttl}'.encode() in store.catalogue()["limited"]


@pytest.mark.parametrize(
    ("switches", "limited_attempts", "free_attempts"),
    [
        ({}, "3", "5"),
        ({"tool_retry_max_attempts": 1}, "1", "5"),
        ({"tool_retry_max_attempts": 10}, "10", "5"),
        ({"tool_retry_enabled": False}, "1", "1"),
    ],
)
def test_the_number_of_attempts_is_published_and_holds(
    store: StateStore, switches: dict[str, Any], limited_attempts: str, free_attempts: str
) -> None:
    # Given a tool that says nothing of retries and one that asks for four
    publish(store, **switches)
    assert policy_of(store, "limited")["attempts"] == limited_attempts
    assert policy_of(store, "free")["attempts"] == free_attempts
    # When every attempt at a call ends with a retryable fault
    ledger = Ledger(store, lease=10)
    _, job = submit(store, "free", 1)
    attempts = 0
    while isinstance(claim := ledger.claim(job, "w:1"), Run):
        attempts = claim.attempt
        ledger.settle(job, attempts, "retry", b'{"code":"TOOL_FAILED"}')
        ledger.advance()
    # Then there are so many of them
    assert str(attempts) == free_attempts


def test_the_base_delay_bounds_the_waits(store: StateStore) -> None:
    # Given bases of a delay
    for base in (0.0, 0.5, 2.0):
        for fault in (1, 2, 3):
            # When waits are drawn, then each is within base · 2^(fault-1)
            drawn = [retries.delay(fault, base=base) for _ in range(50)]
            assert 0 <= min(drawn) <= max(drawn) <= base * 2 ** (fault - 1)


@pytest.mark.parametrize(
    ("switches", "asked", "window"),
    [
        ({}, "", 5),
        ({}, "3", 3),
        ({"tool_parallel_max_concurrent": 7}, "", 7),
        ({"tool_parallel_max_concurrent": 2}, "9", 9),
        ({"tool_parallel_enabled": False}, "", 1),
        ({"tool_parallel_enabled": False}, "9", 1),
    ],
)
def test_a_batch_has_the_window_of_the_switches(
    store: StateStore, switches: dict[str, Any], asked: str, window: int
) -> None:
    # Given a fleet with these switches
    publish(store, **switches)
    # When a batch is opened and filled
    assert int(store.call("open_batch", "b", asked)) == window
    states = [submit(store, "free", key, batch="b")[0] for key in range(12)]
    # Then so many of its members may run at a time
    assert states == ["queued"] * window + ["waiting"] * (12 - window)


def test_one_by_one_every_member_has_its_turn(store: StateStore) -> None:
    # Given TOOL_PARALLEL_ENABLED=false
    publish(store, tool_parallel_enabled=False)
    store.call("open_batch", "b", "4")
    jobs = [submit(store, "free", key, batch="b")[1] for key in range(4)]
    ledger = Ledger(store, lease=10)
    # When members settle, then each settling admits the next
    for job in jobs:
        running = [claim for claim in (ledger.claim(one, "w:1") for one in jobs) if isinstance(claim, Run)]
        assert [claim.job_id for claim in running] == [job]
        ledger.settle(job, 1, "succeeded", b"{}")


def test_the_bounds_of_a_job_are_published(store: StateStore, server: redis.Redis) -> None:
    # When a worker with other bounds publishes
    publish(store, max_payload=2048, retention=5, max_crashes=7)
    # Then the functions read them with each tool
    policy = policy_of(store, "free")
    assert (policy["max_payload"], policy["retention"], policy["crashes"]) == ("2048", "5000000", "7")


def test_a_policy_that_was_overridden_is_published(store: StateStore) -> None:
    # Given a tool whose policy was changed by the file
    policy = ToolPolicy(limit="60/minute", burst=2, concurrency=3, roles=frozenset({"b", "a"}), queue="slow")
    settings = Settings(namespace=store.namespace)
    # When a worker publishes it
    fleet.publish(store.redis, [(describe(Registered(free, policy)), policy)], settings)
    # Then the ledger and the catalogue have the file's fields
    found = policy_of(store, "free")
    assert (found["interval"], found["burst"], found["concurrency"]) == ("1000000", "2", "3")
    assert (found["roles"], found["queue"]) == (" a b ", "slow")
    assert b'"limit":"60/minute"' in store.catalogue()["free"]
