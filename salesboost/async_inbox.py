"""Waits for jobs to settle, for any number of tasks of one event loop.

One background task reads the client's inbox while anybody waits, and wakes whom an entry concerns. It ends by itself
within `POLL` seconds after the last waiter has left, and with `close`. As in `salesboost.inbox` the ledger is the
truth.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from salesboost import calls
from salesboost.async_store import AsyncStateStore
from salesboost.errors import ToolUnavailable
from salesboost.models import JobEvent
from salesboost.watches import MAX_SILENCE, PAUSE, POLL, Settled, Switchboard, Watch


class AsyncInbox:
    """One client's inbox."""

    def __init__(self, store: AsyncStateStore) -> None:
        self._store = store
        self._board = Switchboard()
        self._news: dict[Watch, asyncio.Event] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self.name = uuid.uuid4().hex

    @contextmanager
    def watching(self, job_ids: Iterable[str], *, events: bool = False) -> Generator[Watch]:
        """Keep what arrives for *job_ids* while the block runs; enter it before they can settle."""
        news = asyncio.Event()
        watch = Watch(job_ids, events=events, wake=news.set)
        began_with = tuple(watch.open)
        self._news[watch] = news
        self._board.connect(watch)
        try:
            yield watch
        finally:
            self._board.disconnect(watch, began_with)
            del self._news[watch]

    async def next_settled(self, watch: Watch, until: float) -> Settled | None:
        """Return one of the jobs of *watch* that have settled, None when time runs out.

        While the state server is away the wait goes on: the jobs do too.

        Raises:
            ToolUnavailable: The state server was away when time ran out.
        """
        silence = POLL
        trouble: ToolUnavailable | None = None
        while not watch.settled:
            now = time.monotonic()
            if now >= until:
                if trouble:
                    raise trouble
                return None
            if await self._await_news(watch, min(until - now, PAUSE if trouble else silence)):
                continue
            try:
                await self.ask(watch.next_asked())
                silence, trouble = min(silence * 2, MAX_SILENCE), None
            except ToolUnavailable as exc:
                trouble = exc
        return watch.settled.popleft()

    async def next_event(self, watch: Watch, until: float) -> JobEvent | None:
        """Return the next event of the jobs of *watch*, None when time runs out."""
        while not watch.events:
            seconds = until - time.monotonic()
            if seconds <= 0:
                return None
            await self._await_news(watch, seconds)
        return watch.events.popleft()

    async def _await_news(self, watch: Watch, seconds: float) -> bool:
        if self._closed:
            raise RuntimeError("the client was closed while a task waited with it; the job goes on")
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="salesboost-inbox")
        news = self._news[watch]
        news.clear()
        try:
            async with asyncio.timeout(seconds):
                return await news.wait()
        except TimeoutError:
            return False

    async def _read(self) -> None:
        while self._board:
            try:
                entries = await self._store.pop_inbox(self.name, POLL)
                await self.ask(self._board.sort_in(entries))
            except ToolUnavailable:
                # Each waiter finds out by itself when it asks the ledger.
                await asyncio.sleep(PAUSE)

    async def ask(self, job_ids: Iterable[str]) -> None:
        """Ask the ledger which of *job_ids* have settled, and to be told of the others; hand them to their waiters.

        Raises:
            ToolUnavailable: The state server is away.
        """
        jobs = list(job_ids)
        if not jobs:
            return
        replies = await self._store.call_many("read_job", [(job, self.name, 0, 0) for job in jobs])
        for job, reply in zip(jobs, replies, strict=True):
            record = calls.settled_record(reply)
            if record is not None:
                self._board.settle(job, record)

    async def close(self) -> None:
        """End the background task; tasks that still wait get a RuntimeError."""
        self._closed = True
        for news in self._news.values():
            news.set()
        while self._reader and not self._reader.done():
            # More than once: see `_cancelling_is_heard` in `salesboost.async_store`.
            self._reader.cancel()
            await asyncio.wait([self._reader], timeout=0.02)
