"""Who waits for which job: what both inboxes share. No I/O and no locks.

The server pushes entries into a client's inbox: ``["settled", job, record]``, ``["look", job]`` for a record too large
to push, and ``["event", job, type, microseconds, attempt, detail]``. A `Switchboard` hands each to the waiters it
concerns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import orjson

from salesboost import wire
from salesboost.models import JobEvent

POLL: Final = 1.0
"""Seconds of silence after which the ledger is asked, doubling up to `MAX_SILENCE`."""

MAX_SILENCE: Final = 8.0

PAUSE: Final = 0.2
"""Seconds between two tries of a wait while the state server is away."""

ASKED_AT_ONCE: Final = 200
"""Jobs of one waiter that the ledger is asked about after a silence; the next silence asks about the next ones."""

Settled = tuple[str, dict[str, str]]
"""A job's id, and its record; an empty one when the ledger does not have the job."""


class Watch:
    """What one waiter waits for and what has arrived for it.

    Attributes:
        open: Jobs that have not settled as far as this waiter knows.
        settled: Jobs that have settled, not yet taken by the waiter.
        events: Events of the jobs, not yet taken; always empty unless they were asked for.
    """

    def __init__(
        self, job_ids: Iterable[str], *, events: bool = False, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.open = set(job_ids)
        self.settled: deque[Settled] = deque()
        self.events: deque[JobEvent] = deque()
        self.wants_events = events
        self._wake = wake
        self._cursor = 0

    def settle(self, job_id: str, record: dict[str, str]) -> None:
        """Hand over a settled job, once."""
        if job_id in self.open:
            self.open.discard(job_id)
            self.settled.append((job_id, record))
            self._wake()

    def hear(self, event: JobEvent) -> None:
        """Hand over an event."""
        self.events.append(event)
        self._wake()

    def next_asked(self) -> list[str]:
        """Return the jobs to ask the ledger about now: all of a few, a slice of many."""
        jobs = sorted(self.open)
        if len(jobs) <= ASKED_AT_ONCE:
            return jobs
        start = self._cursor % len(jobs)
        self._cursor = start + ASKED_AT_ONCE
        return (jobs + jobs)[start : start + ASKED_AT_ONCE]


class Switchboard:
    """All waiters of one client."""

    def __init__(self) -> None:
        self._watches: dict[str, list[Watch]] = {}

    def __bool__(self) -> bool:
        """True while anybody waits."""
        return bool(self._watches)

    def connect(self, watch: Watch) -> None:
        """Begin to hand over what arrives for the jobs of *watch*; call it before they can settle."""
        for job_id in watch.open:
            self._watches.setdefault(job_id, []).append(watch)

    def disconnect(self, watch: Watch, job_ids: Iterable[str]) -> None:
        """End it for *job_ids*, which are those that *watch* began with."""
        for job_id in job_ids:
            left = [other for other in self._watches.get(job_id, ()) if other is not watch]
            if left:
                self._watches[job_id] = left
            else:
                self._watches.pop(job_id, None)

    def settle(self, job_id: str, record: dict[str, str]) -> None:
        """Tell everybody who waits for *job_id* that it has settled."""
        for watch in self._watches.get(job_id, ()):
            watch.settle(job_id, record)

    def sort_in(self, entries: Iterable[bytes]) -> list[str]:
        """Hand over inbox entries. Return the wanted jobs whose record must be read from the ledger."""
        look: list[str] = []
        for entry in entries:
            kind, job_id, *rest = cast(list[Any], orjson.loads(entry))
            watches = self._watches.get(job_id, ())
            if kind == "settled":
                self.settle(job_id, wire.record(rest[0]))
            elif kind == "event":
                event = _event(job_id, rest)
                for watch in watches:
                    if watch.wants_events:
                        watch.hear(event)
            elif any(job_id in watch.open for watch in watches):
                look.append(job_id)
        return look


def _event(job_id: str, rest: list[Any]) -> JobEvent:
    kind, at, attempt, detail = rest
    return JobEvent(type=kind, job_id=job_id, at=int(at) / 1e6, attempt=int(attempt), detail=detail)
