"""Soft time limits: raised in the tool that runs too long, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from salesboost.faults import SoftTimeLimit
from tasks import time_limits
from tasks.alarms import AlarmClock
from tests.wait import wait_until


def spin(seconds: float) -> str:
    """Take the time in bytecode."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.001)
    return "done"


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread and return, or raise, what it does."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((True, function()))
        except BaseException as exc:  # raised again below
            outcome.append((False, exc))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    fine, value = outcome[0]
    if not fine:
        raise value
    return value


def here(function: Callable[[], Any]) -> Any:
    """Run a function in the main thread."""
    return function()


WHERE = pytest.mark.parametrize("where", [here, in_a_thread])


@WHERE
def test_what_is_quick_enough_returns_its_value(where: Callable[[Callable[[], Any]], Any]) -> None:
    # Given a limit of 5 s, when a function takes none, then nothing is raised, then or later
    assert where(lambda: time_limits.run_sync(lambda: spin(0.01), 5)) == "done"


@WHERE
def test_what_takes_too_long_is_interrupted(where: Callable[[Callable[[], Any]], Any]) -> None:
    # Given a limit of 0.1 s, when a function takes 20, then it ends soon after
    started = time.monotonic()
    with pytest.raises(SoftTimeLimit, match=r"longer than its soft time limit of 0\.1 s"):
        where(lambda: time_limits.run_sync(lambda: spin(20), 0.1))
    assert 0.1 <= time.monotonic() - started < 5


def test_a_system_call_in_the_main_thread_is_interrupted() -> None:
    # Given a function that sits in a system call, when its limit is over, then it sits there no longer
    started = time.monotonic()
    with pytest.raises(SoftTimeLimit):
        time_limits.run_sync(lambda: time.sleep(20), 0.1)
    assert time.monotonic() - started < 5


@WHERE
def test_a_tool_may_clean_up(where: Callable[[Callable[[], Any]], Any]) -> None:
    # Given a function that catches its limit to clean up
    def tidy() -> str:
        try:
            return spin(20)
        except SoftTimeLimit:
            return spin(0.05) + " and clean"

    # When it is interrupted, then it may end as it likes
    assert where(lambda: time_limits.run_sync(tidy, 0.1)) == "done and clean"


@WHERE
def test_a_limit_that_is_over_as_the_work_ends_hits_nobody_else(where: Callable[[Callable[[], Any]], Any]) -> None:
    # Given work that takes about as long as its limit, many times
    def many() -> tuple[int, int]:
        done = late = 0
        for n in range(150):
            try:
                time_limits.run_sync(lambda: spin(0.004), 0.004 + (n % 5) / 2000)
                done += 1
            except SoftTimeLimit:
                late += 1
            # Then whatever comes after it is never interrupted
            spin(0.002)
        return done, late

    done, late = where(many)
    assert done + late == 150


def test_the_handler_of_before_is_back_afterwards() -> None:
    # Given a handler of somebody else
    previous = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        # When a limit has been kept, or run into, then it is in place again, and no timer is armed
        time_limits.run_sync(lambda: None, 1)
        with pytest.raises(SoftTimeLimit):
            time_limits.run_sync(lambda: spin(5), 0.02)
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, previous)


@WHERE
def test_a_coroutine_is_cancelled_at_its_next_await(where: Callable[[Callable[[], Any]], Any]) -> None:
    # Given coroutines that wait, one for too long
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    # When they are run under a limit, then one returns, and one is cancelled
    assert where(lambda: time_limits.run_async(lambda: wait(0.01), 5)) == "done"
    with pytest.raises(SoftTimeLimit):
        where(lambda: time_limits.run_async(lambda: wait(20), 0.1))


def test_a_time_out_of_the_tools_own_is_its_own() -> None:
    # Given a coroutine that runs into a time-out of its own
    async def impatient() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(20)

    # When it is run under a longer limit, then the time-out is not mistaken for the limit
    with pytest.raises(TimeoutError) as caught:
        time_limits.run_async(impatient, 5)
    assert not isinstance(caught.value, SoftTimeLimit)


def test_limits_of_many_threads_do_not_mix() -> None:
    # Given 16 threads with limits, of which every other is over
    outcomes: dict[int, str] = {}

    def work(n: int) -> None:
        try:
            outcomes[n] = time_limits.run_sync(lambda: spin(0.4), 0.1 if n % 2 else 20)
        except SoftTimeLimit:
            outcomes[n] = "interrupted"

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    # Then each met its own
    assert outcomes == {n: "interrupted" if n % 2 else "done" for n in range(16)}


def test_a_forked_child_has_a_clock_of_its_own() -> None:
    # Given a process whose clock runs, when it forks, then the child's limits work too
    in_a_thread(lambda: time_limits.run_sync(lambda: None, 1))
    child = os.fork()
    if not child:
        try:
            in_a_thread(lambda: time_limits.run_sync(lambda: spin(10), 0.1))
        except SoftTimeLimit:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_alarms_ring_in_the_order_of_their_times() -> None:
    # Given a clock, when alarms are set in any order, then they ring in that of their times
    clock, rung = AlarmClock(), list[int]()
    for n in (3, 1, 2, 0):
        clock.after(0.05 * n, lambda n=n: rung.append(n))  # type: ignore[misc]
    wait_until(lambda: len(rung) == 4, description="four alarms")
    assert rung == [0, 1, 2, 3]


def test_a_cancelled_alarm_never_rings() -> None:
    # Given two hundred alarms that are cancelled at about their time
    clock, rung, cancelled = AlarmClock(), list[int](), set[int]()
    for n in range(200):
        alarm = clock.after(0.002, lambda n=n: rung.append(n))  # type: ignore[misc]
        time.sleep(0.001 if n % 2 else 0.002)
        alarm.cancel()
        cancelled.add(n)
        seen = len(rung)
        # Then once cancel has returned, it does not ring any more
        time.sleep(0.001)
        assert len(rung) == seen


def test_an_alarm_that_fails_does_not_stop_the_clock() -> None:
    # Given an alarm whose function raises
    clock, rung = AlarmClock(), list[int]()

    def fail() -> None:
        raise ValueError("a bug in an alarm")

    clock.after(0.0, fail)
    # When the next one is due, then it rings
    clock.after(0.02, lambda: rung.append(1))
    wait_until(lambda: rung, description="the next alarm")
