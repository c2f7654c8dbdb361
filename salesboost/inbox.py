"""Waits for jobs to settle, for any number of threads, over one connection at a time.

The server pushes settled jobs into the client's inbox, a list. Of the threads that wait, one reads it and hands
the others what is theirs; when it has its own it leaves, and another takes over. There is no background thread, so
a process may fork. The inbox is a courtesy, not the truth: a thread that hears nothing for a while asks the ledger.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from salesboost import wire
from salesboost.models import JobEvent
from salesboost.store import StateStore

POLL = 1.0
"""Seconds of silence after which the ledger is asked, doubling up to 8 s."""


class Inbox:
    """One client's inbox."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._name = uuid.uuid4().hex
        self._changed = threading.Condition()
        self._reading = False
        self._wanted: dict[str, int] = {}
        self._settled: dict[str, dict[str, str]] = {}
        self._events: dict[str, deque[JobEvent]] = {}

    @property
    def name(self) -> str:
        """The name to submit with; another one in a forked child."""
        if self._pid != os.getpid():
            self._reset()
        return self._name

    def want(self, job_id: str) -> None:
        """Keep what arrives for *job_id* until `forget`; call it before the job can settle."""
        with self._changed:
            self._wanted[job_id] = self._wanted.get(job_id, 0) + 1

    def forget(self, job_id: str) -> None:
        """Stop keeping what arrives for *job_id*."""
        with self._changed:
            left = self._wanted.get(job_id, 1) - 1
            if left:
                self._wanted[job_id] = left
            else:
                self._wanted.pop(job_id, None)
                self._settled.pop(job_id, None)

    def settled(self, job_ids: set[str], until: float) -> dict[str, dict[str, str]]:
        """Return the records of those of *job_ids* that have settled; at least one unless time runs out.

        The record of a job that the ledger does not have is empty.

        Args:
            job_ids: Jobs that were wanted.
            until: `time.monotonic` value at which to give up.
        """
        silence, asked = POLL, time.monotonic()
        while True:
            with self._changed:
                found = {job: self._settled[job] for job in job_ids if job in self._settled}
            now = time.monotonic()
            if found or now >= until:
                return found
            if now - asked >= silence:
                self._ask(job_ids)
                silence, asked = min(silence * 2, 8.0), time.monotonic()
                continue
            self._await_change(min(until - now, silence - (now - asked)))

    def events(self, job_id: str) -> Iterator[JobEvent]:
        """Start keeping events of *job_id* and return an endless iterator; the caller stops at the last one."""
        queue: deque[JobEvent] = deque()
        self._events[job_id] = queue
        return self._stream(job_id, queue)

    def _stream(self, job_id: str, queue: deque[JobEvent]) -> Iterator[JobEvent]:
        try:
            while True:
                while queue:
                    yield queue.popleft()
                self._await_change(POLL)
        finally:
            self._events.pop(job_id, None)

    def _await_change(self, seconds: float) -> None:
        with self._changed:
            if self._reading:
                self._changed.wait(seconds)
                return
            self._reading = True
        try:
            entries = self._store.pop_inbox(self._name, min(seconds, POLL))
            self._take(entries)
        finally:
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def _take(self, entries: list[bytes]) -> None:
        look: list[str] = []
        with self._changed:
            for entry in map(orjson.loads, entries):
                kind, job_id = entry[0], entry[1]
                if kind == "event":
                    if job_id in self._events:
                        self._events[job_id].append(read_event(entry))
                elif job_id in self._wanted:
                    if kind == "settled":
                        self._settled[job_id] = wire.record(entry[2])
                    else:
                        look.append(job_id)
        if look:
            self._ask(set(look))

    def _ask(self, job_ids: set[str]) -> None:
        jobs = list(job_ids)
        replies = self._store.call_many("read_job", [(job, self._name, 0, 0) for job in jobs])
        with self._changed:
            for job, reply in zip(jobs, replies, strict=True):
                found = wire.record(reply[0]) if reply else {}
                if job in self._wanted and (not found or found["settled"]):
                    self._settled[job] = found


def read_event(entry: list[Any]) -> JobEvent:
    """Read an event's inbox entry."""
    _, job_id, kind, at, attempt, detail = entry
    return JobEvent(type=kind, job_id=job_id, at=int(at) / 1e6, attempt=int(attempt), detail=detail)
