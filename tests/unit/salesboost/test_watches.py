"""Who is told of what: the part that both inboxes share."""

from __future__ import annotations

import orjson

from salesboost import wire
from salesboost.watches import ASKED_AT_ONCE, Switchboard, Watch

RECORD = ["x"] * len(wire.RECORD_FIELDS)


def _settled(job: str) -> bytes:
    return orjson.dumps(["settled", job, RECORD])


def test_each_waiter_is_told_of_its_own_jobs_once() -> None:
    # Given two waiters for one job and one for another
    board = Switchboard()
    woken: list[str] = []
    first = Watch("a", wake=lambda: woken.append("first"))
    second = Watch("ab", wake=lambda: woken.append("second"))
    other = Watch("c", wake=lambda: woken.append("other"))
    for watch in (first, second, other):
        board.connect(watch)

    # When the inbox and the ledger both tell that one has settled
    board.sort_in([_settled("a"), _settled("nobody's")])
    board.settle("a", {})

    # Then both of its waiters have it once, and nobody else was woken
    assert [job for job, _ in first.settled] == [job for job, _ in second.settled] == ["a"]
    assert (first.open, second.open, other.open) == (set(), {"b"}, {"c"})
    assert woken == ["first", "second"]


def test_a_record_too_large_to_push_is_looked_up_only_for_who_waits() -> None:
    # Given a waiter
    board = Switchboard()
    watch = Watch(["a", "b"])
    board.connect(watch)
    watch.settle("b", {})

    # When the server says that jobs are to be looked at
    look = board.sort_in([orjson.dumps(["look", job]) for job in "abc"])

    # Then only the one that is still waited for is
    assert look == ["a"]


def test_events_go_to_those_who_follow() -> None:
    # Given one who follows a job and one who waits for its result
    board = Switchboard()
    follower, waiter = Watch(["a"], events=True), Watch(["a"])
    board.connect(follower)
    board.connect(waiter)

    # When an event comes
    board.sort_in([orjson.dumps(["event", "a", "running", "1500000", 1, "host:1"])])

    # Then the follower has it
    assert [(event.type, event.at, event.attempt, event.detail) for event in follower.events] == [
        ("running", 1.5, 1, "host:1")
    ]
    assert not waiter.events


def test_a_board_without_waiters_is_empty() -> None:
    # Given two waiters for one job
    board = Switchboard()
    watches = [Watch(["a"]), Watch(["a"])]
    for watch in watches:
        board.connect(watch)

    # When they leave, one of them after it was served
    board.settle("a", {})
    board.disconnect(watches[0], ["a"])
    still = bool(board)
    board.disconnect(watches[1], ["a"])
    board.disconnect(watches[1], ["a"])

    # Then nobody is left
    assert (still, bool(board)) == (True, False)


def test_of_many_open_jobs_all_are_asked_about_in_turn() -> None:
    # Given more open jobs than are asked about at once
    jobs = {f"{n:04}" for n in range(2 * ASKED_AT_ONCE + 10)}
    watch = Watch(jobs)

    # When three silences pass
    asked = [watch.next_asked() for _ in range(3)]

    # Then every job was asked about, and never more than that at once
    assert max(map(len, asked)) == ASKED_AT_ONCE
    assert set().union(*asked) == jobs
