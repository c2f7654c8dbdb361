"""Batches: a window that slides, and members that cannot harm each other."""

from __future__ import annotations

from typing import Any

import pytest

from salesboost import calls, wire
from tests.unit.scheduler.journeys import ERROR
from tests.unit.scheduler.ledger_bed import Bed


def open_batch(bed: Bed, most: int | str = "") -> int:
    return int(bed.store.call("open_batch", "b1", most))


def members(bed: Bed, count: int, tool: str = "free", **fields: Any) -> list[str]:
    return [bed.accepted(tool, batch="b1", index=n, **fields) for n in range(count)]


def counters(bed: Bed) -> dict[str, str]:
    return {wire.text(k): wire.text(v) for k, v in bed.server.hgetall(f"{bed.root}:batch:b1").items()}


@pytest.mark.parametrize(
    ("switches", "named", "window"),
    [
        ({}, "", 5),
        ({}, 3, 3),
        ({"tool_parallel_max_concurrent": 7}, "", 7),
        ({"tool_parallel_enabled": False}, "", 1),
        ({"tool_parallel_enabled": False}, 3, 1),
    ],
)
def test_the_window_is_the_batchs_own_or_the_fleets(
    bed: Bed, switches: dict[str, object], named: int | str, window: int
) -> None:
    # Given a fleet with its switches, when a batch of ten is opened and submitted, then as many are let in
    bed.publish("free", settings=switches)
    assert open_batch(bed, named) == window
    jobs = members(bed, 10)
    assert bed.hints() == jobs[:window]


@pytest.mark.parametrize("ending", ["succeeded", "failed", "cancelled while queued", "expired", "dead"])
def test_whatever_ends_a_member_lets_the_next_one_in(bed: Bed, ending: str) -> None:
    # Given a batch of four with a window of two
    open_batch(bed, 2)
    jobs = [bed.accepted(batch="b1", index=n, deadline=50.0 if n == 0 else None) for n in range(4)]
    # When a member settles in any way
    match ending:
        case "succeeded" | "failed":
            bed.ledger.settle(jobs[0], bed.run(jobs[0]).attempt, ending, ERROR)
        case "cancelled while queued":
            bed.cancel(jobs[0])
        case "expired":
            bed.age(51)
            bed.advance()
        case _:
            for _ in range(3):
                bed.run(jobs[0])
                bed.ledger.abandon(jobs[0], "host:1", "killed")
    # Then exactly one more is let in
    assert [bed.state(job) for job in jobs[1:]] == ["queued", "queued", "waiting"]
    assert counters(bed)["open"] == "2"
    assert counters(bed)["done"] == "1"


def test_a_member_that_is_cancelled_before_its_turn_takes_nobodys(bed: Bed) -> None:
    # Given a batch of five with a window of one
    open_batch(bed, 1)
    jobs = members(bed, 5)
    # When two that wait are cancelled
    bed.cancel(jobs[1])
    bed.cancel(jobs[3])
    assert counters(bed)["open"] == "1"
    # Then the others run in order, one by one
    for job in (jobs[0], jobs[2], jobs[4]):
        assert [j for j in jobs if bed.state(j) == "queued"] == [job]
        bed.ledger.settle(job, bed.run(job).attempt, "succeeded", b"1")
    assert counters(bed) | {"created": ""} == {
        "max": "1", "created": "", "total": "5", "open": "0", "done": "5", "n:succeeded": "3", "n:cancelled": "2"
    }  # fmt: skip


def test_a_retry_keeps_its_place_in_the_window(bed: Bed) -> None:
    # Given a batch with a window of one
    open_batch(bed, 1)
    jobs = members(bed, 2)
    # When its member must be tried again, then the next one is not let in before it has settled
    bed.ledger.settle(jobs[0], bed.run(jobs[0]).attempt, "retry", ERROR)
    assert bed.state(jobs[1]) == "waiting"
    bed.advance()
    bed.ledger.settle(jobs[0], bed.run(jobs[0]).attempt, "failed", ERROR)
    assert bed.state(jobs[1]) == "queued"


def test_a_member_whose_deadline_passes_before_its_turn_expires_then(bed: Bed) -> None:
    # Given a member behind the window with a deadline
    open_batch(bed, 1)
    first, second = bed.accepted(batch="b1", index=0), bed.accepted(batch="b1", index=1, deadline=30.0)
    # When it passes, then the member has settled, and the window goes on
    bed.age(31)
    bed.advance()
    assert bed.state(second) == "expired"
    third = bed.accepted(batch="b1", index=2)
    bed.ledger.settle(first, bed.run(first).attempt, "succeeded", b"1")
    assert bed.state(third) == "queued"


def test_a_refused_member_stores_nothing(bed: Bed) -> None:
    # Given a batch with a tool that only managers may call
    bed.publish("secret", roles=frozenset({"manager"}))
    open_batch(bed, 1)
    refused = bed.submit("secret", batch="b1", index=0)
    # Then a refused member is no member
    assert isinstance(refused, calls.Answered)
    assert "total" not in counters(bed)


def test_members_of_a_limited_tool_go_through_its_room(bed: Bed) -> None:
    # Given a batch with a window of three, of a tool with one slot
    bed.publish("single", concurrency=1)
    open_batch(bed, 3)
    jobs = members(bed, 5, "single")
    # Then one is hinted, two are in the room, and two are behind the window
    assert bed.hints() == jobs[:1]
    assert bed.room("single") == jobs[1:3]
    # When all are worked off, then each settled once, and in order
    order = []
    while job := bed.pop_hint():
        bed.ledger.settle(job, bed.run(job).attempt, "succeeded", b"1")
        order.append(job)
    assert order == jobs


def test_the_same_call_in_a_batch_twice_is_one_member(bed: Bed) -> None:
    # Given a batch, when a member is submitted again under its key, then the batch counts it once
    open_batch(bed, 2)
    first = bed.accepted(batch="b1", index=0, tool_call_id="same")
    assert bed.accepted(batch="b1", index=0, tool_call_id="same") == first
    assert counters(bed)["total"] == "1"
    assert counters(bed)["open"] == "1"
