"""Waiting rooms: who is let in next, and what a job in a room costs."""

from __future__ import annotations

import random
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesboost import calls
from salesboost.calls import read_job
from scheduler.outcomes import Run, Settled, Wait
from tests.unit.scheduler.journeys import ERROR, HOUR
from tests.unit.scheduler.ledger_bed import GRACE, LEASE, Bed


def drain(bed: Bed, tool: str, *, step: float = 1.0, most: int = 500) -> list[str]:
    """Let time pass and follow each hint at once; return the jobs in the order of their starts."""
    order: list[str] = []
    for _ in range(most):
        bed.advance()
        while job := bed.pop_hint():
            claim = bed.ledger.claim(job, "host:1")
            if isinstance(claim, Run):
                order.append(job)
                bed.ledger.settle(job, claim.attempt, "succeeded", b"1")
        if not bed.room(tool) and not bed.hints():
            break
        bed.age(step)
    return order


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(priorities=st.lists(st.integers(0, 9), min_size=2, max_size=25), concurrency=st.booleans())
def test_a_room_is_let_in_by_priority_and_then_by_arrival(bed: Bed, priorities: list[int], concurrency: bool) -> None:
    # Given a tool that has room for none now, and calls of any priorities
    policy: dict[str, Any] = {"concurrency": 1} if concurrency else {"limit": "60/minute", "burst": 1}
    bed.publish("paced", **policy)
    bed.server.delete(f"{bed.root}:bucket:tool:paced", f"{bed.root}:running:paced", f"{bed.root}:released:paced")
    first = bed.accepted("paced", priority=9)
    jobs = [(bed.accepted("paced", priority=priority), priority) for priority in priorities]
    # When the room is drained
    order = drain(bed, "paced")
    # Then the first goes first, and the others by priority and arrival
    assert order[0] == first
    assert order[1:] == [job for job, _ in sorted(jobs, key=lambda pair: -pair[1])]


def test_a_newcomer_never_passes_the_room(bed: Bed) -> None:
    # Given a room of five, and tokens that have grown meanwhile though no pump has looked
    bed.publish("paced", limit="60/minute", burst=2)
    room = [bed.accepted("paced") for _ in range(7)][2:]
    assert bed.room("paced") == room
    bed.age(HOUR)
    # When a newcomer comes, then it takes its place behind them
    newcomer = bed.submit("paced")
    assert isinstance(newcomer, calls.Accepted)
    assert newcomer.state == "waiting" or bed.hints().index(newcomer.job_id) > 0
    order = drain(bed, "paced")
    assert order[-1] == newcomer.job_id
    assert order[2:7] == room


def test_a_job_in_a_room_costs_no_hint_and_is_delivered_once(bed: Bed) -> None:
    # Given 40 calls of a tool with six starts a minute
    bed.publish("paced", limit="6/minute", burst=2)
    jobs = [bed.accepted("paced") for _ in range(40)]
    # Then only those that may start are hinted
    assert len(bed.hints()) == 2
    # When they are drained, then each was delivered once
    assert drain(bed, "paced") == jobs
    assert sum(map(int, cast(list[bytes], bed.server.hvals(f"{bed.root}:pushed")))) <= 44


def test_a_job_whose_hint_met_no_token_keeps_its_place(bed: Bed) -> None:
    # Given three calls that were promised tokens, which somebody else then took
    bed.publish("paced", limit="3/hour")
    early = [bed.accepted("paced") for _ in range(3)]
    late = bed.accepted("paced", priority=5)
    bed.publish("paced", limit="1/hour")
    assert isinstance(bed.ledger.claim(early[0], "host:1"), Run)
    # When they come to start, then they go back into the room, before those that came later
    for job in (early[2], early[1]):
        assert isinstance(bed.ledger.claim(job, "host:1"), Wait)
    assert bed.room("paced")[-1] == early[1] or bed.room("paced")[0] == late
    assert set(bed.room("paced")) == {late, early[1], early[2]}


def test_a_slot_is_refilled_by_the_step_that_frees_it(bed: Bed) -> None:
    # Given a tool with two slots, and six calls
    bed.publish("pair", concurrency=2)
    jobs = [bed.accepted("pair") for _ in range(6)]
    assert bed.hints() == jobs[:2]
    running = [bed.pop_hint() for _ in range(2)]
    for job in running:
        bed.run(job or "")
    # When one settles, then the next is hinted at once, without a pump; never more than two run
    for settled in range(4):
        oldest = running.pop(0) or ""
        assert bed.ledger.settle(oldest, 1, "succeeded", b"1") == Settled("succeeded")
        assert bed.hints() == [jobs[settled + 2]]
        running.append(bed.pop_hint())
        bed.run(running[-1] or "")
        assert bed.stats("pair")["n:running"] == 2


def test_a_retry_frees_its_slot(bed: Bed) -> None:
    # Given a tool with one slot, taken, and another call
    bed.publish("single", concurrency=1)
    first, second = bed.accepted("single"), bed.accepted("single")
    bed.run(first)
    # When the first must be tried again later, then the second runs meanwhile
    bed.ledger.settle(first, 1, "retry", ERROR, retry_in=60.0)
    assert isinstance(bed.ledger.claim(second, "host:1"), Run)


def test_a_lost_attempt_gives_its_slot_back(bed: Bed) -> None:
    # Given a tool with one slot, and an attempt that is lost
    bed.publish("single", concurrency=1)
    first, second = bed.accepted("single"), bed.accepted("single")
    bed.run(first)
    bed.age(LEASE + 1)
    # When time has passed, then both run, one after the other
    assert set(drain(bed, "single")) == {first, second}


def test_a_lost_promise_is_given_to_another(bed: Bed) -> None:
    # Given a tool with one slot that was promised to a job whose hint was lost
    bed.publish("single", concurrency=1)
    lost, other = bed.accepted("single"), bed.accepted("single")
    assert bed.pop_hint() == lost
    # When the grace has passed, then the other is let in, and the lost one is hinted again
    bed.age(GRACE + 1)
    assert set(drain(bed, "single")) == {lost, other}


def test_a_job_in_a_room_can_say_where_it_stands(bed: Bed) -> None:
    # Given a room at six a minute
    bed.publish("paced", limit="6/minute", burst=1)
    bed.run(bed.accepted("paced"))
    jobs = [bed.accepted("paced") for _ in range(3)]
    # When each is asked, then it knows who is before it, and when it can start
    for place, job in enumerate(jobs):
        explanation = read_job(job, bed.store.call("read_job", job, "", 0, 1)).explanation
        assert explanation.before == place
        assert explanation.expected_start
        assert 10 * (place + 1) - 1 < explanation.expected_start <= 10 * (place + 1)


def test_a_cancelled_or_expired_job_leaves_the_room(bed: Bed) -> None:
    # Given a room of four
    bed.publish("paced", limit="6/minute", burst=1)
    bed.run(bed.accepted("paced"))
    jobs = [bed.accepted("paced", deadline=100.0) for _ in range(4)]
    # When one is cancelled and the others expire, then the room is gone
    bed.cancel(jobs[2])
    assert bed.room("paced") == [jobs[0], jobs[1], jobs[3]]
    bed.publish("paced", limit="1/day")
    bed.age(101)
    bed.advance()
    assert bed.room("paced") == []
    bed.advance()
    assert not bed.server.exists(f"{bed.root}:rooms")


def test_rooms_of_two_tools_do_not_touch(bed: Bed) -> None:
    # Given a stuck tool, and a quick one
    bed.publish("stuck", limit="1/day")
    bed.publish("quick", limit="60/minute", burst=1)
    for _ in range(5):
        bed.accepted("stuck")
        bed.accepted("quick")
    # When the quick one is drained, then the stuck one did not hold it up
    assert len([job for job in drain(bed, "quick") if bed.fields(job)["tool"] == "quick"]) == 5
    assert len(bed.room("stuck")) == 4


def test_jobs_parked_at_their_key_do_not_hold_up_others_of_their_tool(bed: Bed) -> None:
    # Given a tool limited by tenant, flooded by one
    bed.publish("tenanted", limit_keys=("1/hour per tenant",))
    flood = [bed.accepted("tenanted", tenant="flood") for _ in range(20)]
    others = [bed.accepted("tenanted", tenant=f"t{n}") for n in range(5)]
    # When workers follow all hints once
    jobs = flood + others
    random.Random(7).shuffle(jobs)  # an order, not a secret
    started = [job for job in jobs if isinstance(bed.ledger.claim(job, "host:1"), Run)]
    # Then one of the flood has started, and every other tenant
    assert len([job for job in started if job in flood]) == 1
    assert sorted(job for job in started if job in others) == sorted(others)
