"""The asynchronous client: `ToolClient` for event loops."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from salesboost import calls, locate, statistics, wire
from salesboost.async_inbox import AsyncInbox
from salesboost.async_store import AsyncCacheStore, AsyncStateStore
from salesboost.catalogue import Catalogue
from salesboost.connections import check_url
from salesboost.handle import AsyncJobHandle
from salesboost.models import Explanation, JobEvent, JobState, ToolInfo, ToolResult
from salesboost.routing import AsyncRouter
from salesboost.statistics import ToolStatistics
from salesboost.submissions import CallSpec, OnLimit, check_window, prepare, prepare_many
from salesboost.watches import MAX_SILENCE, POLL


@dataclass(frozen=True, slots=True)
class _Loop:
    """What lives in one event loop of one process."""

    loop: asyncio.AbstractEventLoop
    pid: int
    state: AsyncStateStore
    cache: AsyncCacheStore | None
    inbox: AsyncInbox


class AsyncToolClient:
    """Calls tools that workers run, from one event loop at a time.

    Connections and one background task belong to the loop in which the client is first used; `aclose`, or the end of
    ``async with``, ends them, and then the client may be used in another loop. After a fork the child's loop gets its
    own. Any number of tasks may share a client; cancelling one that waits leaves its job running.

    The arguments and the methods are those of `ToolClient`, where their contracts are stated.

    Raises:
        ConfigurationError: No state server is known.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache_url: str | None = None,
        namespace: str = wire.DEFAULT_NAMESPACE,
        tenant: str = wire.DEFAULT_TENANT,
        timeout: float = 5.0,
        result_timeout: float = 120.0,
    ) -> None:
        self.namespace = namespace
        self.tenant = tenant
        self.result_timeout = result_timeout
        self.routing = AsyncRouter(lambda: self._here().state)
        self._state_url = locate.state_url(url)
        self._cache_url = locate.cache_url(cache_url, state=url)
        self._timeout = timeout
        self._catalogue = Catalogue()
        self._bound: _Loop | None = None
        for named in filter(None, (self._state_url, self._cache_url)):
            check_url(named)

    async def __aenter__(self) -> Self:
        self._here()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections and end the background task. Jobs go on."""
        if self._bound is None:
            return
        if self._bound.loop.is_closed() or self._bound.pid != os.getpid():
            self._bound = None  # what belonged to that loop went with it
            return
        here, self._bound = self._here(), None
        await here.inbox.close()
        await here.state.aclose()
        if here.cache:
            await here.cache.aclose()

    async def call(
        self,
        tool: str,
        payload: Mapping[str, Any],
        *,
        caller_role: str,
        tool_call_id: str | None = None,
        on_limit: OnLimit = "raise",
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: int = wire.DEFAULT_PRIORITY,
        tenant: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - bounds the wait alone, the submit has the client's
    ) -> ToolResult:
        """Run a tool and wait for its result; see `ToolClient.call`. Cancelling the awaiting task leaves the job."""
        submission = prepare(
            tool,
            payload,
            caller_role=caller_role,
            tenant=tenant or self.tenant,
            tool_call_id=tool_call_id,
            on_limit=on_limit,
            deadline=deadline,
            max_wait=max_wait,
            priority=priority,
        )
        hit = (await self._from_cache([submission]))[0]
        if hit:
            return hit
        here = self._here()
        job_id = wire.job_id(submission.tenant, submission.tool, submission.tool_call_id)
        seconds = self.result_timeout if timeout is None else timeout
        with here.inbox.watching([job_id]) as watch:
            reply = await here.state.call("submit_job", *replace(submission, inbox=here.inbox.name).arguments())
            outcome = calls.read_submit(reply, submission)
            if isinstance(outcome, calls.Answered):
                result = outcome.result
            else:
                settled = await here.inbox.next_settled(watch, time.monotonic() + seconds)
                if settled is None:
                    raise calls.no_result(tool, job_id, seconds)
                result = calls.settled_result(*settled)
        calls.raise_refusal(result)
        return result

    async def submit(
        self,
        tool: str,
        payload: Mapping[str, Any],
        *,
        caller_role: str,
        tool_call_id: str | None = None,
        on_limit: OnLimit = "wait",
        deadline: float | None = None,
        max_wait: float | None = None,
        priority: int = wire.DEFAULT_PRIORITY,
        tenant: str | None = None,
    ) -> AsyncJobHandle:
        """Hand a call over and return at once; see `ToolClient.submit`."""
        submission = prepare(
            tool,
            payload,
            caller_role=caller_role,
            tenant=tenant or self.tenant,
            tool_call_id=tool_call_id,
            on_limit=on_limit,
            deadline=deadline,
            max_wait=max_wait,
            priority=priority,
        )
        handle = (await self._submit([submission]))[0]
        calls.raise_refusal(handle.known)
        return handle

    async def submit_many(
        self, specs: Iterable[CallSpec], *, caller_role: str, on_limit: OnLimit = "wait"
    ) -> list[AsyncJobHandle]:
        """Hand over many calls in few round trips; see `ToolClient.submit_many`."""
        return await self._submit(prepare_many(specs, caller_role, self.tenant, on_limit))

    async def submit_parallel(
        self,
        specs: Iterable[CallSpec],
        *,
        caller_role: str,
        max_concurrent: int | None = None,
        on_limit: OnLimit = "wait",
    ) -> list[AsyncJobHandle]:
        """Hand over calls that run within a window; see `ToolClient.submit_parallel`."""
        window = check_window(max_concurrent)
        prepared = prepare_many(specs, caller_role, self.tenant, on_limit)
        batch = uuid.uuid4().hex
        await self._here().state.call("open_batch", batch, window)
        return await self._submit(calls.members(prepared, batch))

    async def call_parallel(
        self,
        specs: Iterable[CallSpec],
        *,
        caller_role: str,
        max_concurrent: int | None = None,
        on_limit: OnLimit = "wait",
        timeout: float | None = None,  # noqa: ASYNC109 - bounds the wait alone
    ) -> list[ToolResult]:
        """Run calls side by side and return their results in input order; see `ToolClient.call_parallel`."""
        handles = await self.submit_parallel(
            specs, caller_role=caller_role, max_concurrent=max_concurrent, on_limit=on_limit
        )
        results = {handle: result async for handle, result in self.as_completed(handles, timeout=timeout)}
        return [results[handle] for handle in handles]

    async def as_completed(
        self,
        handles: Iterable[AsyncJobHandle],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - bounds the waits together
    ) -> AsyncIterator[tuple[AsyncJobHandle, ToolResult]]:
        """Yield each handle with its result as jobs settle; see `ToolClient.as_completed`."""
        seconds = self.result_timeout if timeout is None else timeout
        until = time.monotonic() + seconds
        waiting: dict[str, list[AsyncJobHandle]] = {}
        for handle in handles:
            if handle.known:
                yield handle, handle.known
            else:
                waiting.setdefault(handle.job_id, []).append(handle)
        if not waiting:
            return
        inbox = self._here().inbox
        with inbox.watching(waiting) as watch:
            await inbox.ask(waiting)
            while waiting:
                settled = await inbox.next_settled(watch, until)
                if settled is None:
                    job_id, others = next(iter(waiting.items()))
                    raise calls.no_result(others[0].tool, job_id, seconds, others=len(waiting) - 1)
                result = calls.settled_result(*settled)
                for handle in waiting.pop(settled[0]):
                    yield handle, result

    async def tools(self) -> list[ToolInfo]:
        """Return the tools that workers have published, by name."""
        self._catalogue.update(await self._here().state.catalogue())
        return self._catalogue.tools()

    async def statistics(self) -> dict[str, ToolStatistics]:
        """Return what has become of each published tool's calls, by name."""
        here = self._here()
        names = [info.name for info in await self.tools()]
        cached = await here.cache.counts() if here.cache else {}
        return statistics.read_all(names, await here.state.statistics(names), cached)

    async def handle(self, job_id: str) -> AsyncJobHandle:
        """Return a handle of a job by its id; see `ToolClient.handle`."""
        record = (await self._read(job_id)).record
        return AsyncJobHandle(self, calls.Taken(record["tool"], record["tool_call_id"], job_id, None))

    async def job_state(self, job_id: str) -> JobState:
        """Return the state of a job; see `JobHandle.status`."""
        return JobState((await self._read(job_id)).record["state"])

    async def job_history(self, job_id: str) -> list[JobEvent]:
        """Return the changes of state of a job; see `JobHandle.history`."""
        return (await self._read(job_id, history=True)).history

    async def explain(self, job_id: str) -> Explanation:
        """Say why a job is where it is; see `JobHandle.explain`."""
        return (await self._read(job_id, explain=True)).explanation

    async def job_events(self, job_id: str) -> AsyncIterator[JobEvent]:
        """Yield the past and coming events of a job until it settles; see `JobHandle.events`."""
        inbox = self._here().inbox
        silence = POLL
        past = calls.Past()
        with inbox.watching([job_id], events=True) as watch:
            while True:
                # At first, and again after a silence, because an event in the inbox may be lost.
                view = await self._read(job_id, inbox=f"+{inbox.name}", history=True)
                for told in past.news(view.history):
                    yield told
                if view.explanation.state.settled:
                    return
                while event := await inbox.next_event(watch, time.monotonic() + silence):
                    for told in past.news([event]):
                        yield told
                    if event.settles:
                        return
                silence = min(silence * 2, MAX_SILENCE)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job; see `JobHandle.cancel`."""
        return calls.read_cancel(job_id, await self._here().state.call("cancel_job", job_id))

    def _here(self) -> _Loop:
        loop, bound = asyncio.get_running_loop(), self._bound
        if bound is None or bound.pid != os.getpid() or bound.loop.is_closed():
            state = AsyncStateStore(self._state_url, namespace=self.namespace, timeout=self._timeout)
            cache = AsyncCacheStore(self._cache_url, namespace=self.namespace) if self._cache_url else None
            bound = self._bound = _Loop(loop, os.getpid(), state, cache, AsyncInbox(state))
        elif bound.loop is not loop:
            raise RuntimeError(
                "this AsyncToolClient is open in another event loop: await its aclose() there first, or make one "
                "client for each loop"
            )
        return bound

    async def _read(
        self, job_id: str, *, inbox: str = "", history: bool = False, explain: bool = False
    ) -> calls.JobView:
        reply: Any = []
        if job_id:
            reply = await self._here().state.call("read_job", job_id, inbox, int(history), int(explain))
        return calls.read_job(job_id, reply)

    async def _submit(self, prepared: Sequence[wire.Submission | ToolResult]) -> list[AsyncJobHandle]:
        submissions = [one for one in prepared if isinstance(one, wire.Submission)]
        hits = await self._from_cache(submissions)
        misses = [one.arguments() for one, hit in zip(submissions, hits, strict=True) if hit is None]
        replies = await self._here().state.call_many("submit_job", misses)
        return [AsyncJobHandle(self, taken) for taken in calls.taken(prepared, hits, replies)]

    async def _from_cache(self, submissions: Sequence[wire.Submission]) -> list[ToolResult | None]:
        here = self._here()
        if here.cache is None:
            return [None] * len(submissions)
        if self._catalogue.stale:
            self._catalogue.update(await here.state.catalogue())
        keys = self._catalogue.cache_keys(self.namespace, submissions)
        values = await here.cache.get_many([(info.name, key) for key, info in keys.values()])
        return calls.hits(submissions, keys, values)
