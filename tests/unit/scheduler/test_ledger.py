"""Claims, leases, settlements and effects, each by the functions on a real server."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from salesboost import calls, wire
from scheduler.outcomes import Begin, Done, Run, Settled, Skip, Stale, Unknown
from tests.unit.scheduler.journeys import ERROR, HOUR, dead, running, unknown
from tests.unit.scheduler.ledger_bed import LEASE, Bed


def test_an_attempt_gets_all_it_needs_with_the_claim(bed: Bed) -> None:
    # Given a call with a deadline
    job = bed.accepted("free", {"b": 2, "a": 1}, role="sdr", tenant="acme", tool_call_id="c1", deadline=60.0)
    # When it is claimed
    run = bed.run(job, "host:7")
    # Then the claim carries the call and the fencing token
    assert (run.tool, run.role, run.tenant, run.tool_call_id) == ("free", "sdr", "acme", "c1")
    assert (run.payload, run.attempt, run.plain, run.faults) == (b'{"a":1,"b":2}', 1, False, 0)
    assert run.remaining
    assert 58 < run.remaining <= 60
    assert run.job_id == job == wire.job_id("acme", "free", "c1")


def test_one_of_many_workers_wins_a_job(bed: Bed) -> None:
    # Given a job, and 16 workers with its hint
    job = bed.accepted()
    claims: list[object] = []

    def claim(n: int) -> None:
        claims.append(bed.ledger.claim(job, f"host:{n}"))

    workers = [threading.Thread(target=claim, args=(n,)) for n in range(16)]
    # When they claim it at once
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # Then exactly one runs it
    assert len([claim for claim in claims if isinstance(claim, Run)]) == 1
    assert claims.count(Skip("running")) == 15


def test_a_claim_whose_reply_was_lost_can_be_made_again(bed: Bed) -> None:
    # Given a claim whose reply was lost
    job = bed.accepted()
    first = bed.store.call("claim_job", job, "host:1", 10_000_000, "word")
    # When the connection repeats it, then the answer is the same, and the attempt is counted once
    again = bed.store.call("claim_job", job, "host:1", 10_000_000, "word")
    assert first == again
    assert bed.history(job).count("running") == 1
    # And another claim is told that the job runs
    assert bed.ledger.claim(job, "host:1") == Skip("running")


@pytest.mark.parametrize(("outcome", "state"), [("succeeded", "succeeded"), ("failed", "failed"), ("retry", "failed")])
def test_an_outcome_whose_reply_was_lost_can_be_offered_again(bed: Bed, outcome: str, state: str) -> None:
    # Given a job in its last attempt
    bed.publish("free", retries=0)
    job = running(bed)
    # When its outcome is offered twice
    first, again = (bed.ledger.settle(job, 1, outcome, ERROR) for _ in range(2))  # type: ignore[arg-type]
    # Then both are told the same, and it has settled once
    assert first == again == Settled(state)
    assert bed.history(job) == ["queued", "running", state]


def test_an_effect_whose_begin_was_lost_can_be_begun_again(bed: Bed) -> None:
    # Given a write whose fence was set, and the reply was lost
    bed.publish("writer", effect="write")
    job = running(bed, "writer")
    assert bed.store.call("begin_effect", job, 1, "sms", "word") == [b"go"]
    # When the connection repeats it, then it may begin; another beginning of the same effect may not
    assert bed.store.call("begin_effect", job, 1, "sms", "word") == [b"go"]
    assert bed.ledger.begin_effect(job, 1, "sms") == Unknown()
    assert bed.fields(job)["fences"] == "1"


def test_a_lost_lease_gives_the_job_to_another_and_refuses_the_first(bed: Bed) -> None:
    # Given an attempt that falls silent
    job = running(bed)
    bed.age(LEASE - 1)
    assert bed.advance() == 0
    # When its lease has passed
    bed.age(2)
    bed.advance()
    # Then another attempt runs it
    assert bed.run(job, "host:2").attempt == 2
    # And the zombie is refused everything
    assert bed.ledger.settle(job, 1, "succeeded", b'"zombie"') == Stale("running")
    assert bed.ledger.begin_effect(job, 1, "sms") == Stale("running")
    assert bed.ledger.renew([(job, 1), (job, 2)]) == ["lost", "held"]
    assert bed.ledger.abandon(job, "host:1", "killed") == Stale("running")
    assert bed.ledger.settle(job, 2, "succeeded", b'"second"') == Settled("succeeded")
    assert bed.fields(job)["result"] == '"second"'


def test_a_renewed_lease_holds(bed: Bed) -> None:
    # Given an attempt that gives signs of life
    job = running(bed)
    for _ in range(5):
        bed.age(LEASE - 1)
        # When it renews in time, then it keeps the job
        assert bed.ledger.renew([(job, 1)]) == ["held"]
        bed.advance()
    assert bed.state(job) == "running"


def test_a_hint_that_meets_a_lost_lease_rescues_the_job_without_a_pump(bed: Bed) -> None:
    # Given a lost attempt, and no pump
    job = running(bed)
    bed.age(LEASE + 1)
    # When a doubled hint comes along, then its worker runs the job
    assert bed.run(job, "host:2").attempt == 2


def test_only_crashes_make_a_job_dead(bed: Bed) -> None:
    # Given a tool with many retries, and a job that failed twice by typed faults and was given back twice
    bed.publish("free", retries=9)
    job = bed.accepted()
    for _ in range(2):
        bed.ledger.settle(job, bed.run(job).attempt, "retry", ERROR)
        bed.advance()
    for attempt in (3, 4):
        bed.run(job)
        bed.ledger.abandon(job, "host:1", "shutdown", spare=True)
        assert bed.fields(job)["attempts"] == str(attempt)
    # When it takes its worker down twice, then it is given another chance; the third time it is dead
    for state in ("queued", "queued", "dead"):
        bed.run(job)
        assert bed.ledger.abandon(job, "host:1", "killed") == Settled(state)
    assert "took its worker down 3 times (killed)" in bed.fields(job)["error"]
    assert [wire.text(j) for j in cast(list[bytes], bed.server.zrange(f"{bed.root}:dead", 0, -1))] == [job]


def test_faults_are_counted_apart_from_crashes(bed: Bed) -> None:
    # Given a tool with three attempts, and a job that was lost twice
    job = bed.accepted()
    for _ in range(2):
        bed.run(job)
        bed.ledger.abandon(job, "host:1", "killed")
    # When it faults, then the retries are those of its policy
    for fault, state in enumerate(("retrying", "retrying", "failed")):
        run = bed.run(job)
        assert run.faults == fault
        assert bed.ledger.settle(job, run.attempt, "retry", ERROR) == Settled(state)
        bed.advance()
    assert bed.fields(job)["attempts"] == "5"


def test_a_dead_job_can_be_replayed_from_its_first_attempt(bed: Bed) -> None:
    # Given a dead job
    job = dead(bed)
    # When it is replayed
    assert bed.ledger.replay(job) == "queued"
    # Then it is on nobody's list, has as many chances as before, and its token goes on rising
    assert not bed.server.exists(f"{bed.root}:dead")
    for attempt in (4, 5):
        assert bed.run(job).attempt == attempt
        assert bed.ledger.abandon(job, "host:1", "killed") == Settled("queued")
    assert bed.ledger.settle(job, bed.run(job).attempt, "succeeded", b"1") == Settled("succeeded")


def test_a_replayed_job_forgets_deadline_and_cancellation(bed: Bed) -> None:
    # Given a job with a deadline that was cancelled while it ran, and then failed
    job = bed.accepted(deadline=60.0)
    bed.run(job)
    bed.cancel(job)
    bed.ledger.settle(job, 1, "failed", ERROR)
    # When it is replayed after the deadline, then it runs
    bed.age(HOUR)
    assert bed.ledger.replay(job) == "queued"
    run = bed.run(job)
    assert run.remaining is None
    assert bed.ledger.renew([(job, run.attempt)]) == ["held"]


def test_cancelling_a_running_job_asks_its_attempt(bed: Bed) -> None:
    # Given a running job
    job = running(bed)
    # When it is cancelled, then its attempt learns of it with the next sign of life
    assert bed.cancel(job) == "requested"
    assert bed.ledger.renew([(job, 1)]) == ["cancelled"]
    # And whatever would run it again ends it instead
    assert bed.ledger.settle(job, 1, "retry", ERROR) == Settled("cancelled")


@pytest.mark.parametrize("end", ["lease", "abandon", "back"])
def test_a_cancelled_job_is_not_run_again_when_its_attempt_is_lost(bed: Bed, end: str) -> None:
    # Given a running job that was cancelled
    job = running(bed)
    bed.cancel(job)
    # When its attempt ends without an outcome
    match end:
        case "lease":
            bed.age(LEASE + 1)
            bed.advance()
        case "abandon":
            bed.ledger.abandon(job, "host:1", "killed")
        case _:
            bed.ledger.settle(job, 1, "back")
    # Then it is cancelled
    assert bed.state(job) == "cancelled"


@pytest.mark.parametrize("tool", ["free", "single", "hourly"])
@pytest.mark.parametrize("state", ["queued", "waiting", "retrying"])
def test_a_deadline_ends_a_job_when_it_passes_and_not_at_the_next_look(bed: Bed, tool: str, state: str) -> None:
    # Given a job with a deadline that no attempt holds
    bed.publish("single", concurrency=1)
    bed.publish("hourly", limit="1/hour")
    if state == "waiting":
        bed.publish(tool, limit="1/second")
        bed.accepted(tool)
    job = bed.accepted(tool, deadline=1.5)
    if state == "waiting":
        bed.publish(tool, limit="1/hour")
    if state == "retrying":
        bed.ledger.settle(job, bed.run(job).attempt, "retry", ERROR, retry_in=1.0)
    assert bed.state(job) == state
    # Then somebody looks when it passes, neither much earlier nor later
    assert bed.due()[job] < 1.6
    bed.age(1.6)
    bed.advance()
    assert bed.state(job) == "expired"
    assert f"passed while it was {state}" in bed.fields(job)["error"] or state == "retrying"


def test_a_retry_that_could_not_begin_before_the_deadline_fails_now(bed: Bed) -> None:
    # Given an attempt of a call with a deadline
    job = running(bed, deadline=5.0)
    # When its fault would be tried again after the deadline, then the job fails with the fault
    assert bed.ledger.settle(job, 1, "retry", ERROR, retry_in=6.0) == Settled("failed")
    assert bed.fields(job)["error"] == ERROR.decode()


def test_a_write_that_was_not_confirmed_is_unknown_whatever_ends_its_attempt(bed: Bed) -> None:
    # Given attempts that began a write
    bed.publish("writer", effect="write")
    for end in ("failed", "retry", "expired", "cancelled", "back", "abandon", "lease"):
        job = running(bed, "writer")
        assert bed.ledger.begin_effect(job, 1, "sms") == Begin()
        # When they end in any way but success
        if end == "abandon":
            bed.ledger.abandon(job, "host:1", "killed")
        elif end == "lease":
            bed.age(LEASE + 1)
            bed.advance()
        else:
            bed.ledger.settle(job, 1, end, ERROR)  # type: ignore[arg-type]
        # Then the job is listed for a person
        assert bed.state(job) == "unknown", end
        assert bed.server.zscore(f"{bed.root}:unknown", job)


def test_a_confirmed_effect_is_not_made_again(bed: Bed) -> None:
    # Given an attempt that confirmed its effect, and then faulted
    bed.publish("writer", effect="write")
    job = running(bed, "writer")
    assert bed.ledger.begin_effect(job, 1, "sms") == Begin()
    assert bed.ledger.end_effect(job, 1, "sms", done=True, receipt=b'{"id":7}')
    assert bed.ledger.settle(job, 1, "retry", ERROR) == Settled("retrying")
    bed.advance()
    # When the next attempt comes to it, then it gets the receipt
    bed.run(job)
    assert bed.ledger.begin_effect(job, 2, "sms") == Done(b'{"id":7}')


def test_a_fence_that_was_lifted_may_be_set_again(bed: Bed) -> None:
    # Given a write that the provider refused, so that certainly nothing happened
    bed.publish("writer", effect="write")
    job = running(bed, "writer")
    bed.ledger.begin_effect(job, 1, "sms")
    assert bed.ledger.end_effect(job, 1, "sms", done=False)
    # When its attempt is lost, then the job is run again, and may begin the effect
    bed.ledger.abandon(job, "host:1", "killed")
    bed.run(job)
    assert bed.ledger.begin_effect(job, 2, "sms") == Begin()


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_an_effect_that_may_be_repeated_is_begun_again(bed: Bed, effect: str) -> None:
    # Given a tool whose effect may be repeated, and an attempt that was lost in it
    bed.publish("mild", effect=effect)
    job = running(bed, "mild")
    bed.ledger.begin_effect(job, 1, "put")
    bed.ledger.abandon(job, "host:1", "killed")
    # When the next attempt comes to it, then it is told that this is a repeat
    bed.run(job)
    assert bed.ledger.begin_effect(job, 2, "put") == Begin(again=True)


def test_a_replayed_unknown_keeps_its_fence(bed: Bed) -> None:
    # Given a job whose write is unknown
    bed.publish("writer", effect="write")
    job = unknown(bed)
    # When a person replays it, then the write is still not begun a second time
    bed.ledger.replay(job)
    bed.run(job)
    assert bed.ledger.begin_effect(job, 2, "sms") == Unknown()


def test_a_call_that_has_begun_is_not_refused_at_its_limit_any_more(bed: Bed) -> None:
    # Given a call with on_limit raise that has made its effect, faulted, and meets the limit when it is tried again
    bed.publish("writer", limit="1/hour", effect="write")
    job = bed.accepted("writer", on_limit="raise", tool_call_id="once")
    bed.run(job)
    bed.ledger.begin_effect(job, 1, "sms")
    bed.ledger.end_effect(job, 1, "sms", done=True)
    bed.ledger.settle(job, 1, "retry", ERROR)
    bed.advance()
    # Then it waits: a refusal would forget the effect, and the caller would make it again
    assert bed.state(job) == "waiting"
    bed.age(HOUR)
    bed.advance()
    bed.run(job)
    assert isinstance(bed.ledger.begin_effect(job, 2, "sms"), Done)


def test_a_refused_call_can_be_made_again_under_its_key(bed: Bed) -> None:
    # Given a call that was refused at its key's limit when it was to start
    bed.publish("tenanted", limit_keys=("1/hour per tenant",))
    first, job = (bed.accepted("tenanted", on_limit="raise", tool_call_id=name) for name in ("a", "b"))
    bed.run(first)
    assert bed.ledger.claim(job, "host:1") == Skip("failed")
    # When the caller comes back in time, then it is a new call; too early, and it is refused before it is stored
    refused = bed.submit("tenanted", on_limit="raise", tool_call_id="b")
    assert isinstance(refused, calls.Answered)
    assert refused.result.error
    assert refused.result.error.code == "TOOL_RATE_LIMITED"
    bed.age(HOUR)
    assert bed.accepted("tenanted", on_limit="raise", tool_call_id="b") == job
    assert bed.run(job).attempt == 1


def test_a_settled_job_is_kept_for_its_retention(bed: Bed) -> None:
    # Given a fleet that keeps jobs for an hour
    bed.publish("free", settings={"retention": 3600.0})
    job = bed.accepted()
    assert bed.server.ttl(f"{bed.root}:job:{job}") == -1
    # When a job settles, then it goes after that time; one that names its own goes after its own
    bed.ledger.settle(job, bed.run(job).attempt, "succeeded", b"1")
    assert 3590 < bed.server.ttl(f"{bed.root}:job:{job}") <= 3600
    other = bed.accepted(retention=60.0)
    bed.cancel(other)
    assert 50 < bed.server.ttl(f"{bed.root}:job:{other}") <= 60


def test_a_job_that_waits_for_a_person_stays(bed: Bed) -> None:
    # Given a dead job, then it has no TTL; replayed and settled, it has
    job = dead(bed)
    assert bed.server.ttl(f"{bed.root}:job:{job}") == -1
    bed.ledger.replay(job)
    assert bed.server.ttl(f"{bed.root}:job:{job}") == -1
    bed.ledger.settle(job, bed.run(job).attempt, "failed", ERROR)
    assert bed.server.ttl(f"{bed.root}:job:{job}") > 0


def test_the_fleets_bound_on_payloads_is_a_typed_refusal_that_stores_nothing(bed: Bed) -> None:
    # Given a fleet that takes 1 KiB
    bed.publish("free", settings={"max_payload": 1024})
    # When a larger payload comes, then it is refused by name, and there is no job
    outcome = bed.submit("free", {"text": "x" * 2000})
    assert isinstance(outcome, calls.Answered)
    assert outcome.result.error
    assert outcome.result.error.code == "TOOL_PAYLOAD_TOO_LARGE"
    assert bed.jobs() == []


def test_one_job_that_cannot_be_handled_holds_up_no_other(bed: Bed) -> None:
    # Given a job of a tool whose policy somebody deleted, due before any other
    bed.publish("broken", concurrency=1)
    broken, waiter = bed.accepted("broken"), bed.accepted("broken")
    bed.run(broken)
    bed.server.delete(f"{bed.root}:tool:broken")
    bed.age(LEASE)
    job = running(bed)
    bed.age(LEASE + 1)
    # When the pump comes to it, then the others are advanced all the same
    bed.advance()
    assert bed.state(job) == "queued"
    # And it is handled when its policy is there again
    bed.publish("broken", concurrency=1)
    bed.age(61)
    bed.advance()
    assert bed.state(broken) == "queued"
    assert bed.state(waiter) != "failed"


def test_many_pumps_take_each_due_job_once(bed: Bed) -> None:
    # Given 200 jobs whose hints were lost
    jobs = [bed.accepted() for _ in range(200)]
    while bed.pop_hint():
        pass
    bed.age(6)
    # When eight pumps advance at once
    done: list[int] = []
    pumps = [threading.Thread(target=lambda: done.append(bed.advance())) for _ in range(8)]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    # Then each job was hinted again exactly once
    assert sum(done) == 200
    assert sorted(bed.hints()) == sorted(jobs)
