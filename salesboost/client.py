"""The synchronous client. Safe to share between threads and over a fork."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from salesboost import calls, locate, statistics, wire
from salesboost.calls import CallSpec, OnLimit
from salesboost.catalogue import Catalogue
from salesboost.errors import CallError, InputInvalid, JobNotFound, ResultTimeout
from salesboost.handle import JobHandle
from salesboost.inbox import Inbox
from salesboost.models import Explanation, JobEvent, JobState, ToolInfo, ToolResult
from salesboost.routing import Router
from salesboost.statistics import ToolStatistics
from salesboost.store import CacheStore, StateStore


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
        found = locate.cache_url(cache_url)
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
        submission = calls.prepare(
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
        inbox = self._inbox.name
        self._inbox.want(job_id)
        try:
            reply = self._state.call("submit_job", *replace(submission, inbox=inbox).arguments())
            outcome = calls.read_submit(reply, submission)
            if isinstance(outcome, calls.Answered):
                result = outcome.result
            else:
                until = time.monotonic() + (timeout or self.result_timeout)
                found = self._inbox.settled({job_id}, until)
                result = self._result(job_id, found.get(job_id), tool, timeout or self.result_timeout)
        finally:
            self._inbox.forget(job_id)
        if result.audit.status == "refused" or (result.error and result.error.code == "TOOL_RATE_LIMITED"):
            result.unwrap()
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
        submission = calls.prepare(
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
        if handle.known and handle.known.audit.status == "refused":
            handle.known.unwrap()
        return handle

    def submit_many(
        self, specs: Iterable[CallSpec], *, caller_role: str, on_limit: OnLimit = "wait"
    ) -> list[JobHandle]:
        """Hand over many calls in few round trips; handles in input order.

        A call that is refused does not harm the others: its handle's result says why.
        """
        submissions, handles = self._prepare_many(specs, caller_role, on_limit)
        for place, handle in zip(submissions, self._submit(list(submissions.values())), strict=True):
            handles[place] = handle
        return [handles[place] for place in sorted(handles)]

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
        if max_concurrent is not None and max_concurrent < 1:
            raise InputInvalid(f"max_concurrent must be 1 or more, got {max_concurrent}")
        submissions, handles = self._prepare_many(specs, caller_role, on_limit)
        batch = uuid.uuid4().hex
        self._state.call("open_batch", batch, max_concurrent or "")
        members = [replace(s, batch=batch, index=place) for place, s in submissions.items()]
        for place, handle in zip(submissions, self._submit(members), strict=True):
            handles[place] = handle
        ordered = [handles[place] for place in sorted(handles)]
        results = dict(self.as_completed(ordered, timeout=timeout))
        return [results[handle] for handle in ordered]

    def as_completed(
        self, handles: Iterable[JobHandle], *, timeout: float | None = None
    ) -> Iterator[tuple[JobHandle, ToolResult]]:
        """Yield each handle with its result as jobs settle.

        Raises:
            ResultTimeout: Some did not settle within *timeout* seconds. They go on.
            JobNotFound: The retention of one is over.
        """
        seconds = timeout or self.result_timeout
        until = time.monotonic() + seconds
        open_handles: dict[str, list[JobHandle]] = {}
        for handle in handles:
            if handle.known:
                yield handle, handle.known
            else:
                open_handles.setdefault(handle.job_id, []).append(handle)
        inbox, jobs = self._inbox.name, list(open_handles)
        for job_id in jobs:
            self._inbox.want(job_id)
        try:
            for job_id, reply in zip(
                jobs, self._state.call_many("read_job", [(j, inbox, 0, 0) for j in jobs]), strict=True
            ):
                if not reply or wire.record(reply[0])["settled"]:
                    result = self._result(job_id, wire.record(reply[0]) if reply else {}, "", seconds)
                    for handle in open_handles.pop(job_id):
                        yield handle, result
            while open_handles:
                found = self._inbox.settled(set(open_handles), until)
                for job_id in found or list(open_handles)[:1]:
                    result = self._result(job_id, found.get(job_id), open_handles[job_id][0].tool, seconds)
                    for handle in open_handles.pop(job_id):
                        yield handle, result
        finally:
            for job_id in jobs:
                self._inbox.forget(job_id)

    def tools(self) -> list[ToolInfo]:
        """Return the tools that workers have published, by name."""
        self._catalogue.update(self._state.catalogue())
        return self._catalogue.tools()

    def statistics(self) -> dict[str, ToolStatistics]:
        """Return what has become of each published tool's calls, by name."""
        names = [info.name for info in self.tools()]
        cached = self._cache.counts() if self._cache else {}
        fields = self._state.statistics(names)
        return {
            name: statistics.read(name, found, cached.get(f"{name}:hits", 0))
            for name, found in zip(names, fields, strict=True)
        }

    def handle(self, job_id: str) -> JobHandle:
        """Return a handle of a job by its id.

        Raises:
            JobNotFound: The ledger has no such job.
        """
        record, _, _ = self._read(job_id)
        return JobHandle(self, tool=record["tool"], tool_call_id=record["tool_call_id"], job_id=job_id)

    def job_state(self, job_id: str) -> JobState:
        """Return the state of a job; see `JobHandle.status`."""
        return JobState(self._read(job_id)[0]["state"])

    def job_history(self, job_id: str) -> list[JobEvent]:
        """Return the changes of state of a job; see `JobHandle.history`."""
        return self._read(job_id, history=True)[1]

    def explain(self, job_id: str) -> Explanation:
        """Say why a job is where it is; see `JobHandle.explain`."""
        return self._read(job_id, explain=True)[2]

    def job_events(self, job_id: str) -> Iterator[JobEvent]:
        """Yield the past and coming events of a job until it settles; see `JobHandle.events`."""
        stream = self._inbox.events(job_id)
        record, past, _ = self._read(job_id, inbox=f"+{self._inbox.name}", history=True)
        yield from past
        last = past[-1].at if past else 0.0
        if JobState(record["state"]).settled:
            return
        for event in stream:
            if event.at > last:
                yield event
            if event.settles:
                return

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; see `JobHandle.cancel`."""
        reply = wire.text(self._state.call("cancel_job", job_id)[0])
        if reply == "gone":
            raise _no_job(job_id)
        return reply in ("cancelled", "requested")

    def _read(
        self, job_id: str, *, inbox: str = "", history: bool = False, explain: bool = False
    ) -> tuple[dict[str, str], list[JobEvent], Explanation]:
        reply: Any = self._state.call("read_job", job_id, inbox, int(history), int(explain)) if job_id else []
        if not reply:
            raise _no_job(job_id)
        record = wire.record(reply[0])
        events = [calls.history_event(job_id, wire.text(line)) for line in reply[1]]
        return record, events, calls.explanation(record["state"], reply[2])

    def _prepare_many(
        self, specs: Iterable[CallSpec], caller_role: str, on_limit: OnLimit
    ) -> tuple[dict[int, wire.Submission], dict[int, JobHandle]]:
        submissions: dict[int, wire.Submission] = {}
        handles: dict[int, JobHandle] = {}
        for place, spec in enumerate(specs):
            try:
                submissions[place] = calls.prepare_spec(spec, caller_role, self.tenant, on_limit)
            except CallError as exc:
                known = calls.refused(str(spec.get("name", "")), str(spec.get("tool_call_id", "")), exc)
                handles[place] = JobHandle(
                    self, tool=known.tool, tool_call_id=known.tool_call_id, job_id="", known=known
                )
        return submissions, handles

    def _submit(self, submissions: Sequence[wire.Submission]) -> list[JobHandle]:
        hits = self._from_cache(submissions)
        misses = [s for s, hit in zip(submissions, hits, strict=True) if hit is None]
        replies = iter(self._state.call_many("submit_job", [s.arguments() for s in misses]))
        handles: list[JobHandle] = []
        for submission, hit in zip(submissions, hits, strict=True):
            job_id, known = "", hit
            if known is None:
                outcome = calls.read_submit(next(replies), submission)
                job_id = outcome.job_id
                known = outcome.result if isinstance(outcome, calls.Answered) else None
            handles.append(
                JobHandle(self, tool=submission.tool, tool_call_id=submission.tool_call_id, job_id=job_id, known=known)
            )
        return handles

    def _from_cache(self, submissions: Sequence[wire.Submission]) -> list[ToolResult | None]:
        hits: list[ToolResult | None] = [None] * len(submissions)
        if self._cache is None:
            return hits
        if self._catalogue.stale:
            self._catalogue.update(self._state.catalogue())
        keys: dict[int, tuple[str, ToolInfo]] = {}
        for place, submission in enumerate(submissions):
            info = self._catalogue.get(submission.tool)
            if info and calls.may_be_cached(info, submission.role):
                keys[place] = calls.cache_key(self.namespace, submission, info), info
        values = self._cache.get_many([(info.name, key) for key, info in keys.values()])
        for (place, (_, info)), value in zip(keys.items(), values, strict=True):
            if value is not None:
                hits[place] = calls.cached(submissions[place], info, value)
        return hits

    def _result(self, job_id: str, record: dict[str, str] | None, tool: str, seconds: float) -> ToolResult:
        if record is None:
            raise ResultTimeout(
                f"no result of {tool} (job {job_id}) within {seconds:g} s; the job goes on: wait longer, look at "
                f"`salesboost status {job_id}`, or cancel it"
            )
        if not record:
            raise _no_job(job_id)
        return calls.result_of(record)


def _no_job(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"the ledger has no job {json.dumps(job_id)}: check the id; settled jobs are kept for their retention "
        "(24 h by default), and a call answered from the cache never becomes a job"
    )
