"""The synchronous client. Safe to share between threads and over a fork."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from salesboost import calls, locate, statistics, wire
from salesboost.catalogue import Catalogue
from salesboost.handle import JobHandle
from salesboost.inbox import Inbox
from salesboost.models import Explanation, JobEvent, JobState, ToolInfo, ToolResult
from salesboost.routing import Router
from salesboost.statistics import ToolStatistics
from salesboost.store import CacheStore, StateStore
from salesboost.submissions import CallSpec, OnLimit, check_window, prepare, prepare_many
from salesboost.watches import MAX_SILENCE, POLL


class ToolClient:
    """Calls tools that workers run.

    Args:
        url: The state server's URL; `SALESBOOST_REDIS_URL`, else the stack that runs in this folder, when None.
        cache_url: The cache server's URL; `SALESBOOST_CACHE_URL`, else that stack's, when None.
        namespace: The ledger's name.
        tenant: The tenant of calls that name none.
        timeout: Seconds until a command to a server gives up.
        result_timeout: Seconds to wait for a result when a call names no other bound.

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
        self._state = StateStore(locate.state_url(url), namespace=namespace, timeout=timeout)
        found = locate.cache_url(cache_url, state=url)
        self._cache = CacheStore(found, namespace=namespace) if found else None
        self._inbox = Inbox(self._state)
        self._catalogue = Catalogue()
        self.routing = Router(self._state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Jobs go on."""
        self._state.close()
        if self._cache:
            self._cache.close()

    def call(
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
        timeout: float | None = None,
    ) -> ToolResult:
        """Run a tool and wait for its result.

        A tool that fails gives a result whose `ok` is false; `ToolResult.unwrap` raises it.

        Args:
            tool: The tool's name.
            payload: Its input, a JSON object.
            caller_role: The role the call is made in.
            tool_call_id: Idempotency key: the same key with the same payload gives the same job and result for 24 h.
            on_limit: ``raise`` to be refused at once when the tool is at its limit, ``wait`` to wait in its room.
            deadline: Seconds from now after which the result is worthless; nothing is begun after it.
            max_wait: With ``wait``, the longest wait for a limit in seconds.
            priority: 0 to 9; 9 runs first.
            tenant: The client's when None.
            timeout: Seconds to wait here; the job goes on after it. The client's `result_timeout` when None.

        Raises:
            RateLimitError: With ``raise``, the tool is at its limit; `retry_after` says when to come back.
            CallError: The call was refused: `ToolNotFound`, `ToolForbidden`, `InputInvalid`, `PayloadTooLarge`,
                `IdempotencyConflict`, `ToolUnavailable`.
            ResultTimeout: The result did not come in time.
        """
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
        hit = self._from_cache([submission])[0]
        if hit:
            return hit
        job_id = wire.job_id(submission.tenant, submission.tool, submission.tool_call_id)
        seconds = self.result_timeout if timeout is None else timeout
        with self._inbox.watching([job_id]) as watch:
            reply = self._state.call("submit_job", *replace(submission, inbox=self._inbox.name).arguments())
            outcome = calls.read_submit(reply, submission)
            if isinstance(outcome, calls.Answered):
                result = outcome.result
            else:
                settled = self._inbox.next_settled(watch, time.monotonic() + seconds)
                if settled is None:
                    raise calls.no_result(tool, job_id, seconds)
                result = calls.settled_result(*settled)
        calls.raise_refusal(result)
        return result

    def submit(
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
    ) -> JobHandle:
        """Hand a call over and return at once. The parameters are those of `call`.

        When this returns, the job is in the ledger and will be settled, whatever happens to this process.

        Raises:
            CallError: The call was refused; nothing was stored.
        """
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
        handle = self._submit([submission])[0]
        calls.raise_refusal(handle.known)
        return handle

    def submit_many(
        self, specs: Iterable[CallSpec], *, caller_role: str, on_limit: OnLimit = "wait"
    ) -> list[JobHandle]:
        """Hand over many calls in few round trips; handles in input order.

        A call that is refused does not harm the others: its handle's result says why.
        """
        return self._submit(prepare_many(specs, caller_role, self.tenant, on_limit))

    def submit_parallel(
        self,
        specs: Iterable[CallSpec],
        *,
        caller_role: str,
        max_concurrent: int | None = None,
        on_limit: OnLimit = "wait",
    ) -> list[JobHandle]:
        """Hand over calls of which at most *max_concurrent* are admitted and unfinished at a time.

        Returns at once, with handles in input order; `as_completed` gives the results. The parameters are those of
        `call_parallel`.
        """
        window = check_window(max_concurrent)
        prepared = prepare_many(specs, caller_role, self.tenant, on_limit)
        batch = uuid.uuid4().hex
        self._state.call("open_batch", batch, window)
        return self._submit(calls.members(prepared, batch))

    def call_parallel(
        self,
        specs: Iterable[CallSpec],
        *,
        caller_role: str,
        max_concurrent: int | None = None,
        on_limit: OnLimit = "wait",
        timeout: float | None = None,
    ) -> list[ToolResult]:
        """Run calls side by side and return their results in input order.

        At most *max_concurrent* are admitted and unfinished at a time, and while work is left, never fewer: the next
        one starts when one settles. A call that fails or is refused does not harm the others.

        Args:
            specs: ``{"name": …, "payload": …}`` each, see `CallSpec`.
            caller_role: The role of all of them.
            max_concurrent: The window; the fleet's `TOOL_PARALLEL_MAX_CONCURRENT` when None. The fleet runs them one
                by one when its `TOOL_PARALLEL_ENABLED` is false.
            on_limit: As in `call`.
            timeout: Seconds to wait for all of them; the client's `result_timeout` when None.

        Raises:
            InputInvalid: *max_concurrent* is below 1.
            ResultTimeout: Some did not settle in time. They go on.
        """
        handles = self.submit_parallel(specs, caller_role=caller_role, max_concurrent=max_concurrent, on_limit=on_limit)
        results = dict(self.as_completed(handles, timeout=timeout))
        return [results[handle] for handle in handles]

    def as_completed(
        self, handles: Iterable[JobHandle], *, timeout: float | None = None
    ) -> Iterator[tuple[JobHandle, ToolResult]]:
        """Yield each handle with its result as jobs settle.

        Raises:
            ResultTimeout: Some did not settle within *timeout* seconds. They go on.
            JobNotFound: The retention of one is over.
        """
        seconds = self.result_timeout if timeout is None else timeout
        until = time.monotonic() + seconds
        waiting: dict[str, list[JobHandle]] = {}
        for handle in handles:
            if handle.known:
                yield handle, handle.known
            else:
                waiting.setdefault(handle.job_id, []).append(handle)
        if not waiting:
            return
        with self._inbox.watching(waiting) as watch:
            self._inbox.ask(waiting)
            while waiting:
                settled = self._inbox.next_settled(watch, until)
                if settled is None:
                    job_id, others = next(iter(waiting.items()))
                    raise calls.no_result(others[0].tool, job_id, seconds, others=len(waiting) - 1)
                result = calls.settled_result(*settled)
                for handle in waiting.pop(settled[0]):
                    yield handle, result

    def tools(self) -> list[ToolInfo]:
        """Return the tools that workers have published, by name."""
        self._catalogue.update(self._state.catalogue())
        return self._catalogue.tools()

    def statistics(self) -> dict[str, ToolStatistics]:
        """Return what has become of each published tool's calls, by name."""
        names = [info.name for info in self.tools()]
        cached = self._cache.counts() if self._cache else {}
        return statistics.read_all(names, self._state.statistics(names), cached)

    def handle(self, job_id: str) -> JobHandle:
        """Return a handle of a job by its id.

        Raises:
            JobNotFound: The ledger has no such job.
        """
        record = self._read(job_id).record
        return JobHandle(self, calls.Taken(record["tool"], record["tool_call_id"], job_id, None))

    def job_state(self, job_id: str) -> JobState:
        """Return the state of a job; see `JobHandle.status`."""
        return JobState(self._read(job_id).record["state"])

    def job_history(self, job_id: str) -> list[JobEvent]:
        """Return the changes of state of a job; see `JobHandle.history`."""
        return self._read(job_id, history=True).history

    def explain(self, job_id: str) -> Explanation:
        """Say why a job is where it is; see `JobHandle.explain`."""
        return self._read(job_id, explain=True).explanation

    def job_events(self, job_id: str) -> Iterator[JobEvent]:
        """Yield the past and coming events of a job until it settles; see `JobHandle.events`."""
        silence = POLL
        past = calls.Past()
        with self._inbox.watching([job_id], events=True) as watch:
            while True:
                # At first, and again after a silence, because an event in the inbox may be lost.
                view = self._read(job_id, inbox=f"+{self._inbox.name}", history=True)
                yield from past.news(view.history)
                if view.explanation.state.settled:
                    return
                while event := self._inbox.next_event(watch, time.monotonic() + silence):
                    yield from past.news([event])
                    if event.settles:
                        return
                silence = min(silence * 2, MAX_SILENCE)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; see `JobHandle.cancel`."""
        return calls.read_cancel(job_id, self._state.call("cancel_job", job_id))

    def _read(self, job_id: str, *, inbox: str = "", history: bool = False, explain: bool = False) -> calls.JobView:
        reply: Any = self._state.call("read_job", job_id, inbox, int(history), int(explain)) if job_id else []
        return calls.read_job(job_id, reply)

    def _submit(self, prepared: Sequence[wire.Submission | ToolResult]) -> list[JobHandle]:
        submissions = [one for one in prepared if isinstance(one, wire.Submission)]
        hits = self._from_cache(submissions)
        misses = [one.arguments() for one, hit in zip(submissions, hits, strict=True) if hit is None]
        replies = self._state.call_many("submit_job", misses)
        return [JobHandle(self, taken) for taken in calls.taken(prepared, hits, replies)]

    def _from_cache(self, submissions: Sequence[wire.Submission]) -> list[ToolResult | None]:
        if self._cache is None:
            return [None] * len(submissions)
        if self._catalogue.stale:
            self._catalogue.update(self._state.catalogue())
        keys = self._catalogue.cache_keys(self.namespace, submissions)
        values = self._cache.get_many([(info.name, key) for key, info in keys.values()])
        return calls.hits(submissions, keys, values)
