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
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from salesboost import calls
from salesboost.errors import ToolUnavailable
from salesboost.models import JobEvent
from salesboost.store import StateStore
from salesboost.watches import MAX_SILENCE, PAUSE, POLL, Settled, Switchboard, Watch


class Inbox:
    """One client's inbox."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._name = uuid.uuid4().hex
        self._changed = threading.Condition()
        self._reading = False
        self._board = Switchboard()

    @property
    def name(self) -> str:
        """The name to submit with; another one in a forked child."""
        if self._pid != os.getpid():
            self._reset()
        return self._name

    @contextmanager
    def watching(self, job_ids: Iterable[str], *, events: bool = False) -> Generator[Watch]:
        """Keep what arrives for *job_ids* while the block runs; enter it before they can settle."""
        if self._pid != os.getpid():
            self._reset()
        watch = Watch(job_ids, events=events)
        began_with = tuple(watch.open)
        with self._changed:
            self._board.connect(watch)
        try:
            yield watch
        finally:
            with self._changed:
                self._board.disconnect(watch, began_with)

    def next_settled(self, watch: Watch, until: float) -> Settled | None:
        """Return one of the jobs of *watch* that have settled, None when time runs out.

        While the state server is away the wait goes on: the jobs do too.

        Args:
            watch: What `watching` gave.
            until: `time.monotonic` value at which to give up.

        Raises:
            ToolUnavailable: The state server was away when time ran out.
        """
        silence, asked = POLL, time.monotonic()
        trouble: ToolUnavailable | None = None
        while True:
            with self._changed:
                if watch.settled:
                    return watch.settled.popleft()
            now = time.monotonic()
            if now >= until:
                if trouble:
                    raise trouble
                return None
            try:
                if now - asked < silence:
                    self._await_change(watch, min(until - now, silence - (now - asked)))
                else:
                    self.ask(watch.next_asked())
                    silence, asked, trouble = min(silence * 2, MAX_SILENCE), time.monotonic(), None
            except ToolUnavailable as exc:
                trouble = exc
                time.sleep(max(0.0, min(PAUSE, until - time.monotonic())))

    def next_event(self, watch: Watch, until: float) -> JobEvent | None:
        """Return the next event of the jobs of *watch*, None when time runs out.

        Raises:
            ToolUnavailable: The state server is away.
        """
        while True:
            with self._changed:
                if watch.events:
                    return watch.events.popleft()
            seconds = until - time.monotonic()
            if seconds <= 0:
                return None
            self._await_change(watch, seconds)

    def _await_change(self, watch: Watch, seconds: float) -> None:
        with self._changed:
            if watch.settled or watch.events:
                return  # another thread has brought it since the caller looked
            if self._reading:
                self._changed.wait(seconds)
                return
            self._reading = True
        try:
            entries = self._store.pop_inbox(self._name, min(seconds, POLL))
            with self._changed:
                look = self._board.sort_in(entries)
            self.ask(look)
        finally:
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def ask(self, job_ids: Iterable[str]) -> None:
        """Ask the ledger which of *job_ids* have settled, and to be told of the others; hand them to their waiters.

        Raises:
            ToolUnavailable: The state server is away.
        """
        jobs = list(job_ids)
        if not jobs:
            return
        replies = self._store.call_many("read_job", [(job, self._name, 0, 0) for job in jobs])
        with self._changed:
            for job, reply in zip(jobs, replies, strict=True):
                record = calls.settled_record(reply)
                if record is not None:
                    self._board.settle(job, record)
