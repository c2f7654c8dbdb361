"""Keeps the leases of the attempts that this process runs, from one thread.

The heart learns from the ledger which attempts have lost their job and which were cancelled, and ends its care for an
attempt at the hard time limit: a tool that hangs loses its lease even where nothing can kill it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog

from scheduler.ledger import Ledger
from tasks.time_limits import clock

log = structlog.get_logger(__name__)


class Held:
    """One attempt under the heart's care.

    Attributes:
        job_id: The job.
        attempt: The fencing token.
        lost: True once the attempt does not hold the job any more.
        cancelled: True once the caller has cancelled the job.
        over: True once the hard limit has passed.
    """

    __slots__ = ("attempt", "cancelled", "job_id", "lost", "over")

    def __init__(self, job_id: str, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.lost = False
        self.cancelled = False
        self.over = False


class Heart:
    """Renews leases every third of their length. Costs nothing while no attempt is that old."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._every = ledger.lease / 3
        self._lock = threading.Lock()
        self._held: set[Held] = set()
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(
        self,
        job_id: str,
        attempt: int,
        *,
        hard_limit: float,
        on_hard_limit: Callable[[], None],
        on_late_return: Callable[[], None] = lambda: None,
    ) -> Generator[Held]:
        """Keep an attempt's lease while the block runs.

        Args:
            job_id: The job.
            attempt: The fencing token.
            hard_limit: Seconds from now after which the lease is kept no longer.
            on_hard_limit: Called, quickly please, from another thread when the block still runs then.
            on_late_return: Called when such a block ends after all.
        """
        held = Held(job_id, attempt)

        def drop() -> None:
            held.lost = held.over = True
            with self._lock:
                self._held.discard(held)
            on_hard_limit()

        alarm = clock().after(hard_limit, drop)
        with self._lock:
            self._held.add(held)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)
                self._thread.start()
        self._work.set()
        try:
            yield held
        finally:
            alarm.cancel()
            with self._lock:
                self._held.discard(held)
            if held.over:
                on_late_return()

    def _beat(self) -> None:
        while True:
            self._work.wait()
            time.sleep(self._every)
            with self._lock:
                held = list(self._held)
                if not held:
                    self._work.clear()
            if held:
                try:
                    self._renew(held)
                except Exception as exc:
                    # The edge of the thread: what cannot be renewed now may be at the next beat.
                    log.warning("lease_renewal_failed", error=str(exc)[:300], attempts=len(held))

    def _renew(self, held: list[Held]) -> None:
        answers = self._ledger.renew([(h.job_id, h.attempt) for h in held])
        for attempt, answer in zip(held, answers, strict=True):
            attempt.lost = answer == "lost"
            attempt.cancelled = answer == "cancelled"
