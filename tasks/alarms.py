"""One thread that calls functions at their time, for any number of running attempts."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Alarm:
    """A call that is due at a time; `cancel` takes it back."""

    __slots__ = ("_function", "_lock")

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Call the function unless it was cancelled; `cancel` waits while it runs."""
        with self._lock:
            if self._function:
                self._function()
                self._function = None

    def cancel(self) -> None:
        """Make sure that the function is not called after this returns."""
        with self._lock:
            self._function = None


class AlarmClock:
    """Rings alarms; its functions must be quick, since they share the thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Alarm]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, function: Callable[[], None]) -> Alarm:
        """Call *function* in *seconds* from the clock's thread."""
        alarm = Alarm(function)
        with self._changed:
            entry = (time.monotonic() + max(seconds, 0.0), next(self._count), alarm)
            heapq.heappush(self._due, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            if self._due[0] is entry:
                self._changed.notify()
        return alarm

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                alarm = heapq.heappop(self._due)[2]
            try:
                alarm.ring()
            except Exception as exc:
                # The edge of the thread: one function that fails must not take all other limits with it.
                log.warning("alarm_failed", error=repr(exc)[:300])
