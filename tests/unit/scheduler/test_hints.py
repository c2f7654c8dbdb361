"""Hints: losing one delays, doubling one is harmless, and a long backlog is not doubled."""

from __future__ import annotations

import orjson
import pytest

from salesboost import wire
from tests.unit.scheduler.journeys import ERROR
from tests.unit.scheduler.ledger_bed import GRACE, Bed


def test_a_hint_is_a_celery_message_that_carries_the_job_and_nothing_else(bed: Bed) -> None:
    # Given a submitted call
    job = bed.accepted("free", {"secret": "payload"}, priority=9)
    # When its hint is read as kombu reads it
    message = orjson.loads(bed.server.lindex(wire.queue_key(bed.namespace, "default"), 0) or b"")
    # Then it names task and job, and no more of the call
    assert message["headers"]["task"] == "tools.free"
    assert message["headers"]["id"] == job
    assert message["headers"]["salesboost"] == wire.WIRE_VERSION
    assert message["headers"]["ignore_result"] is True
    assert orjson.loads(message["body"])[0] == [job]
    assert message["properties"]["delivery_info"]["routing_key"] == wire.queue_key(bed.namespace, "default")
    assert b"secret" not in orjson.dumps(message)


def test_hints_are_popped_by_priority_and_then_in_order(bed: Bed) -> None:
    # Given calls of all priorities, twice
    jobs = {(p, n): bed.accepted(priority=p) for n in range(2) for p in range(10)}
    # When their hints are popped as kombu pops them
    order = []
    while job := bed.pop_hint():
        order.append(next(place for place, known in jobs.items() if known == job))
    # Then higher bands come first, and within a band the earlier submit
    bands = [(9, 8), (7, 6), (5, 4, 3), (2, 1, 0)]
    assert order == [(p, n) for band in bands for n in range(2) for p in sorted(band)]


def test_a_long_backlog_is_hinted_once(bed: Bed) -> None:
    # Given 2,000 calls and no worker
    submissions = [
        wire.Submission(tool="free", payload=b"{}", role="sdr", tenant="default", tool_call_id=f"n{n}")
        for n in range(2000)
    ]
    bed.store.call_many("submit_job", [submission.arguments() for submission in submissions])
    # When all grace periods have passed several times
    for _ in range(6):
        bed.age(20)
        bed.advance()
    # Then there is one hint a job
    assert len(bed.hints()) == len(set(bed.hints())) == 2000
    assert bed.stats("free").get("rehints", 0) == 0


def test_a_deep_backlog_is_looked_at_less_often_than_its_head(bed: Bed) -> None:
    # Given a backlog in which every hint has been looked at once
    jobs = [bed.accepted() for _ in range(50)]
    bed.age(GRACE + 1)
    bed.advance()
    # Then the deeper a hint lies, the later somebody looks again
    due = bed.due()
    assert due[jobs[-1]] - due[jobs[0]] == pytest.approx(0.049, abs=0.01)


def test_a_lost_hint_is_pushed_again_and_later_each_time(bed: Bed) -> None:
    # Given a job whose hints are lost whenever they are pushed
    job = bed.accepted()
    waits = []
    for _ in range(8):
        assert bed.pop_hint() == job
        waits.append(round(bed.due()[job]))
        bed.age(bed.due()[job] + 0.01)
        bed.advance()
    # Then it is hinted again each time, after 5, 10, 20 … at most 300 seconds
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_the_grace_begins_anew_with_each_wait(bed: Bed) -> None:
    # Given a job that has been hinted many times because it was retried
    bed.publish("free", retries=50)
    job = bed.accepted()
    for _ in range(6):
        bed.ledger.settle(job, bed.run(job).attempt, "retry", ERROR)
        bed.advance()
    # Then a hint lost now is missed as soon as the first one would have been
    assert bed.due()[job] < GRACE + 0.1


def test_a_wiped_queue_is_hinted_again(bed: Bed) -> None:
    # Given a backlog of which 30 of 100 were popped, and a queue that somebody then deletes
    jobs = [bed.accepted() for _ in range(100)]
    for _ in range(30):
        bed.pop_hint()
    bed.server.delete(f"{bed.root}:q:default\x06\x166")
    # When the grace has passed, then all hundred are hinted again
    bed.age(GRACE + 1)
    bed.advance()
    assert sorted(bed.hints()) == sorted(jobs)


def test_a_hint_lost_from_the_head_of_a_long_backlog_is_missed_in_time(bed: Bed) -> None:
    # Given a long backlog whose first ten hints were lost with their worker
    jobs = [bed.accepted() for _ in range(300)]
    for _ in range(10):
        bed.pop_hint()
    # When the grace has passed, then exactly these ten are hinted again
    bed.age(GRACE + 1)
    bed.advance()
    assert sorted(set(bed.hints())) == sorted(jobs)
    assert len(bed.hints()) == 300
    assert bed.stats("free")["rehints"] == 10


def test_foreign_entries_in_a_queue_delay_a_lost_hint_and_do_not_hide_it(bed: Bed) -> None:
    # Given a lost hint, and entries of somebody else in its queue
    job = bed.accepted()
    bed.pop_hint()
    key = f"{bed.root}:q:default\x06\x166"
    bed.server.lpush(key, *["foreign"] * 5)
    bed.age(GRACE + 1)
    bed.advance()
    assert bed.stats("free").get("rehints", 0) == 0
    # When they have been consumed, then the job is hinted again
    bed.server.delete(key)
    bed.age(GRACE + 1)
    bed.advance()
    assert bed.hints() == [job]


def test_a_returned_hint_is_pushed_again_when_its_worker_said(bed: Bed) -> None:
    # Given a hint that a worker could not follow
    job = bed.accepted()
    bed.pop_hint()
    assert bed.ledger.return_hint(job, 1.0)
    assert bed.advance() == 0
    # When the second has passed, then it is pushed again
    bed.age(1.1)
    bed.advance()
    assert bed.hints() == [job]


def test_a_doubled_hint_runs_a_job_once(bed: Bed) -> None:
    # Given a job whose hint was doubled
    job = bed.accepted()
    bed.age(GRACE + 1)
    bed.pop_hint()
    bed.advance()
    # When both are followed, then the second finds nothing to do, also after the job has settled
    run = bed.run(job)
    assert str(bed.ledger.claim(job, "host:2")) == "Skip(state='running')"
    bed.ledger.settle(job, run.attempt, "succeeded", b"1")
    assert str(bed.ledger.claim(job, "host:2")) == "Skip(state='succeeded')"
    assert bed.fields(job)["attempts"] == "1"
