"""Limits: no window ever holds more starts than it may, whoever starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesboost import calls
from scheduler.outcomes import Run, Settled, Skip, Wait
from tests.unit.scheduler.journeys import ERROR, HOUR
from tests.unit.scheduler.ledger_bed import Bed

QUICKLY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def assert_no_window_is_overfull(starts: Sequence[float], *, burst: int, interval: float, slack: float = 0.0) -> None:
    """Fail when any window of any length T holds more than ``burst + T / interval`` starts."""
    # With the theoretical arrival times of the generic cell rate algorithm one pass looks at every window.
    arrival = float("-inf")
    for start in sorted(starts):
        assert start >= arrival - interval * (burst - 1) - slack, f"{start} is too early in {sorted(starts)}"
        arrival = max(arrival, start) + interval


def claim_anew(bed: Bed, tool: str, payload: dict[str, Any] | None = None, **fields: Any) -> bool:
    """Submit a call and try to start it at once, past the waiting room; say whether it started."""
    # The hint of a fresh job that the ledger believes to be runnable; limits are what `claim` enforces.
    bed.server.delete(f"{bed.root}:room:{tool}", f"{bed.root}:released:{tool}")
    job = bed.submit(tool, payload, **fields)
    assert isinstance(job, calls.Accepted)
    if bed.state(job.job_id) == "queued" and isinstance(bed.ledger.claim(job.job_id, "host:1"), Run):
        return True
    bed.cancel(job.job_id)
    return False


@QUICKLY
@given(
    count=st.integers(1, 20),
    burst=st.integers(1, 6),
    pauses=st.lists(st.sampled_from((0.0, 1.0, 5.0, 9.0, 30.0, 120.0)), min_size=5, max_size=30),
)
def test_no_window_holds_more_starts_than_burst_and_rate_allow(
    bed: Bed, count: int, burst: int, pauses: list[float]
) -> None:
    # Given a tool with a limit, and a full bucket
    bed.publish("paced", limit=f"{count}/minute", burst=burst)
    bed.server.delete(f"{bed.root}:bucket:tool:paced")
    now, starts = 0.0, []
    for pause in pauses:
        # When calls are tried after pauses of any length
        bed.age(pause)
        now += pause
        before = bed.now()
        while claim_anew(bed, "paced"):
            starts.append(now)
        now += bed.now() - before
    # Then no window of any length holds too many, and the first burst was granted in full
    assert_no_window_is_overfull(starts, burst=burst, interval=60 / count, slack=0.5)
    assert starts[burst - 1] - starts[0] < 0.5


RACER = """
import sys
from salesboost.store import StateStore
from scheduler.ledger import Ledger
from scheduler.outcomes import Run
url, namespace, *jobs = sys.argv[1:]
ledger = Ledger(StateStore(url, namespace=namespace), lease=60)
sys.stdin.readline()
for job in jobs:
    ledger.claim(job, "racer:1")
"""


def test_eight_processes_that_race_for_tokens_get_no_more_than_there_are(bed: Bed, state_url: str) -> None:
    # Given 400 hints of a tool with 50 starts a second and a burst of 10, in the hands of eight processes
    bed.publish("free")
    jobs = [bed.accepted() for _ in range(400)]
    bed.publish("free", limit="50/second", burst=10)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, state_url, bed.namespace, *jobs[n::8]], stdin=subprocess.PIPE, text=True
        )
        for n in range(8)
    ]
    try:
        # When they follow all of them at once, with a pump that releases what must wait
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("\n")
            racer.stdin.flush()
        for racer in racers:
            assert racer.wait(60) == 0
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    starts = [start / 1e6 for job in jobs for start in bed.starts(job)]
    # Then the starts that the ledger recorded fill no window beyond its limit
    assert len(starts) >= 10
    assert_no_window_is_overfull(starts, burst=10, interval=1 / 50, slack=2e-6)
    # And none of the others is lost
    assert {bed.state(job) for job in jobs} <= {"running", "waiting", "queued"}


def test_a_token_is_given_back_when_the_provider_was_never_reached(bed: Bed) -> None:
    # Given a tool with one start an hour
    bed.publish("hourly", limit="1/hour", limit_keys=("1/hour per tenant",))
    job = bed.accepted("hourly")
    bed.run(job)
    assert not claim_anew(bed, "hourly")
    # When an attempt ends before it reached its provider, then another may start, on all its buckets
    bed.ledger.settle(job, 1, "failed", ERROR, refund=True)
    assert claim_anew(bed, "hourly")
    assert not claim_anew(bed, "hourly")


def test_each_value_of_a_key_has_a_limit_of_its_own(bed: Bed) -> None:
    # Given a tool limited by a payload's field, by tenant and by role
    bed.publish("sms", limit_keys=("1/hour per to.phone", "3/hour per tenant"))
    phone = {"to": {"phone": "+1"}}
    # When it is called, then a number has one, and a tenant has three
    assert claim_anew(bed, "sms", phone)
    assert not claim_anew(bed, "sms", phone)
    assert claim_anew(bed, "sms", {"to": {"phone": "+2"}})
    assert claim_anew(bed, "sms", {"to": {"phone": "+3"}})
    assert not claim_anew(bed, "sms", {"to": {"phone": "+4"}})
    assert claim_anew(bed, "sms", {"to": {"phone": "+4"}}, tenant="other")
    # And a payload without the field counts against the other keys alone
    assert claim_anew(bed, "sms", {}, tenant="other")


@pytest.mark.parametrize(
    ("one", "other"),
    [(1234567890123456, 1234567890123457), ("1", "2"), (0.1, 0.2), (True, False), ("a:b", "a"), (1e300, 1e299)],
)
def test_different_values_have_different_buckets(bed: Bed, one: Any, other: Any) -> None:
    # Given a tool limited by an account
    bed.publish("accounts", limit_keys=("1/hour per account",))
    # When two accounts call it, then neither uses up the other's limit
    assert claim_anew(bed, "accounts", {"account": one})
    assert claim_anew(bed, "accounts", {"account": other})
    assert not claim_anew(bed, "accounts", {"account": one})


@pytest.mark.parametrize("account", [None, {"id": 1}, [1, 2]])
def test_a_value_that_is_none_or_no_scalar_has_no_bucket(bed: Bed, account: Any) -> None:
    # Given a tool limited by an account, when the payload names none, then nothing is limited, and nothing fails
    bed.publish("accounts", limit_keys=("1/hour per account", "1/hour per account.id.deeper"))
    for _ in range(3):
        assert claim_anew(bed, "accounts", {"account": account})


def test_tools_that_name_a_provider_share_its_limit(bed: Bed) -> None:
    # Given two tools of one provider account
    bed.publish("mail", limit_keys=("2/hour per provider:acme",))
    bed.publish("fax", limit_keys=("2/hour per provider:acme",))
    # When both are called, then they use up one limit
    assert claim_anew(bed, "mail")
    assert claim_anew(bed, "fax")
    assert not claim_anew(bed, "mail")
    assert not claim_anew(bed, "fax")


def test_all_buckets_of_a_call_are_taken_or_none(bed: Bed) -> None:
    # Given a tool whose tenant is at its limit
    bed.publish("both", limit="2/hour", limit_keys=("1/hour per tenant",))
    assert claim_anew(bed, "both", tenant="a")
    # When that tenant calls again, then the tool's own token is still there for another
    assert not claim_anew(bed, "both", tenant="a")
    assert claim_anew(bed, "both", tenant="b")
    assert not claim_anew(bed, "both", tenant="c")


def test_a_call_that_would_rather_not_wait_is_refused_with_the_time_to_come_back(bed: Bed) -> None:
    # Given a tool at its limit
    bed.publish("paced", limit="6/minute", burst=1)
    bed.run(bed.accepted("paced"))
    # When a call refuses to wait, then it is refused before it is stored, with the time
    outcome = bed.submit("paced", on_limit="raise")
    assert isinstance(outcome, calls.Answered)
    assert outcome.result.error
    assert outcome.result.error.retry_after == pytest.approx(10.0, abs=1.0)
    assert len(bed.jobs()) == 1
    # And one that would wait for five seconds is refused too, one that would wait for twenty is not
    assert isinstance(bed.submit("paced", max_wait=5.0), calls.Answered)
    waiter = bed.submit("paced", max_wait=20.0)
    assert isinstance(waiter, calls.Accepted)
    assert waiter.expected_start == pytest.approx(10.0, abs=1.0)
    # And after the time it named, a token is there
    bed.age(10.1)
    assert bed.advance() >= 1
    assert isinstance(bed.ledger.claim(waiter.job_id, "host:1"), Run)


def test_a_limit_that_is_met_at_the_start_refuses_or_waits_as_the_call_asked(bed: Bed) -> None:
    # Given two calls that found a token at submit, when there is one
    bed.publish("tenanted", limit_keys=("1/hour per tenant",))
    refuser, waiter = bed.accepted("tenanted", on_limit="raise"), bed.accepted("tenanted")
    bed.run(bed.accepted("tenanted"))
    # When they are to start, then one is refused, and the other is parked until its key is free
    assert bed.ledger.claim(refuser, "host:1") == Skip("failed")
    assert "TOOL_RATE_LIMITED" in bed.fields(refuser)["error"]
    wait = bed.ledger.claim(waiter, "host:1")
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(HOUR, abs=1)
    bed.age(HOUR)
    bed.advance()
    assert isinstance(bed.ledger.claim(waiter, "host:1"), Run)


def test_each_attempt_pays_a_token(bed: Bed) -> None:
    # Given a tool with two starts an hour
    bed.publish("paced", limit="2/hour")
    job = bed.accepted("paced")
    bed.ledger.settle(job, bed.run(job).attempt, "retry", ERROR)
    bed.advance()
    # When one call has taken both, then there is none for another
    assert bed.run(job).attempt == 2
    assert bed.ledger.settle(job, 2, "succeeded", b"1") == Settled("succeeded")
    assert not claim_anew(bed, "paced")


def test_a_changed_limit_applies_to_those_who_wait(bed: Bed) -> None:
    # Given ten calls that wait for a limit of one a day
    bed.publish("paced", limit="1/day")
    jobs = [bed.accepted("paced") for _ in range(11)]
    assert len(bed.room("paced")) == 10
    # When the limit is lifted, then all are released
    bed.publish("paced", limit=None)
    bed.age(1.1)
    bed.advance()
    assert {bed.state(job) for job in jobs} == {"queued"}


def test_starts_at_the_steady_rate_are_even(bed: Bed) -> None:
    # Given a room of twelve and a limit of six a minute without a burst
    bed.publish("paced", limit="6/minute", burst=1)
    jobs = [bed.accepted("paced") for _ in range(12)]
    now = 0.0
    starts: dict[str, float] = {}
    # When time passes in steps of a second, with a pump, and hints are followed at once
    while len(starts) < 12 and now < 200:
        bed.advance()
        while job := bed.pop_hint():
            if isinstance(bed.ledger.claim(job, "host:1"), Run):
                starts[job] = now
                bed.ledger.settle(job, 1, "succeeded", b"1")
        bed.age(1)
        now += 1
    # Then they start in order, one in ten seconds
    assert list(starts) == jobs
    gaps = [later - earlier for earlier, later in pairwise(starts.values())]
    assert all(9 <= gap <= 12 for gap in gaps), gaps
