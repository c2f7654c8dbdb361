"""Soft time limits: raises `SoftTimeLimit` in a tool that runs too long, in processes and in threads.

- An async tool is cancelled at its next ``await``.
- In a process's main thread an interval timer's signal interrupts it, system calls included.
- In any other thread the interpreter raises it at the next bytecode: a thread that sits in a C call, such as a read
  from a socket without a time-out, sees it when that call returns.

The hard limit is not here: a process is killed by its parent; a thread cannot be, so its attempt loses the lease, the
job goes on elsewhere, and whatever the thread brings is refused (`tasks.heart`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import TypeVar

from salesboost.faults import SoftTimeLimit
from tasks.alarms import AlarmClock

T = TypeVar("T")


def run_sync(function: Callable[[], T], seconds: float) -> T:
    """Run *function*, raising `SoftTimeLimit` in it after *seconds*."""
    guard = _by_signal if threading.current_thread() is threading.main_thread() else _by_interpreter
    with guard(seconds):
        return function()


def run_async(function: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Run a coroutine function in an event loop of its own, cancelling it after *seconds*."""

    async def bounded() -> T:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await function()
        except TimeoutError as exc:
            if limit.expired():
                raise _exceeded(seconds) from exc
            raise

    return asyncio.run(bounded())


def _exceeded(seconds: float) -> SoftTimeLimit:
    return SoftTimeLimit(f"the tool ran longer than its soft time limit of {seconds:g} s")


@contextmanager
def _by_signal(seconds: float) -> Generator[None]:
    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise _exceeded(seconds)

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _by_interpreter(seconds: float) -> Generator[None]:
    thread = threading.get_ident()
    alarm = clock().after(seconds, lambda: _raise_in(thread, SoftTimeLimitInThread))
    try:
        yield
    except SoftTimeLimitInThread as exc:
        raise _exceeded(seconds) from exc
    finally:
        alarm.cancel()
        _raise_in(thread, None)


@lru_cache(maxsize=1)
def _clock(pid: int) -> AlarmClock:
    return AlarmClock()


def clock() -> AlarmClock:
    """Return this process's alarm clock; a forked child gets its own."""
    return _clock(os.getpid())


class SoftTimeLimitInThread(SoftTimeLimit):
    """The interpreter raises a class, not an instance; this one needs no arguments."""

    def __init__(self) -> None:
        super().__init__("the tool ran longer than its soft time limit")


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind) if kind else None)
