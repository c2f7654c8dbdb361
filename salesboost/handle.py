"""A submitted call, held by its producer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from salesboost.calls import Taken
from salesboost.models import Explanation, JobEvent, JobState, ToolResult

if TYPE_CHECKING:
    from salesboost.aio import AsyncToolClient
    from salesboost.client import ToolClient


class Handle:
    """What both kinds of handles are.

    Attributes:
        tool: The tool's name.
        tool_call_id: The idempotency key: submitting with it again gives this job.
        job_id: The ledger's id; empty when the call was refused or answered from the cache.
    """

    def __init__(self, taken: Taken) -> None:
        self.tool = taken.tool
        self.tool_call_id = taken.tool_call_id
        self.job_id = taken.job_id
        self._known: ToolResult | None = taken.known

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}(tool={self.tool!r}, tool_call_id={self.tool_call_id!r}, job_id={self.job_id!r})"

    @property
    def known(self) -> ToolResult | None:
        """The result when it was known at submit (a cache hit, a repeat, a refusal) or has been read since."""
        return self._known


class JobHandle(Handle):
    """One job, or a call that was answered at once. Cheap to keep; the ledger has the truth."""

    def __init__(self, client: ToolClient, taken: Taken) -> None:
        super().__init__(taken)
        self._client = client

    def status(self) -> JobState:
        """Return the state the job is in.

        Raises:
            JobNotFound: Its retention is over, or the call never became a job.
        """
        return self._client.job_state(self.job_id)

    def result(self, timeout: float | None = None) -> ToolResult:
        """Wait for the job to settle and return its result; also when it failed (see `ToolResult.unwrap`).

        Args:
            timeout: Seconds to wait, 0 for a look; None for the client's default.

        Raises:
            ResultTimeout: The time ran out. The job goes on.
            JobNotFound: Its retention is over.
        """
        if self._known is None:
            self._known = dict(self._client.as_completed([self], timeout=timeout))[self]
        return self._known

    def cancel(self) -> bool:
        """Cancel the job. Return True when it will run no more, or was asked to stop while running.

        A running attempt learns of it at its next heartbeat, and ends when its tool looks at `ctx.cancelled`.
        """
        return self._client.cancel(self.job_id)

    def events(self) -> Iterator[JobEvent]:
        """Yield what has happened to the job so far, then what happens, until it settles."""
        return self._client.job_events(self.job_id)

    def history(self) -> list[JobEvent]:
        """Return every change of state so far, oldest first."""
        return self._client.job_history(self.job_id)

    def explain(self) -> Explanation:
        """Say why the job is where it is: its place in the waiting room and its expected start."""
        return self._client.explain(self.job_id)


class AsyncJobHandle(Handle):
    """As `JobHandle`, of an `AsyncToolClient`; usable while that client is open."""

    def __init__(self, client: AsyncToolClient, taken: Taken) -> None:
        super().__init__(taken)
        self._client = client

    async def status(self) -> JobState:
        """See `JobHandle.status`."""
        return await self._client.job_state(self.job_id)

    async def result(self, timeout: float | None = None) -> ToolResult:  # noqa: ASYNC109 - bounds the wait alone
        """See `JobHandle.result`. Cancelling the task that awaits it leaves the job running."""
        if self._known is None:
            results = {handle: result async for handle, result in self._client.as_completed([self], timeout=timeout)}
            self._known = results[self]
        return self._known

    async def cancel(self) -> bool:
        """See `JobHandle.cancel`."""
        return await self._client.cancel(self.job_id)

    def events(self) -> AsyncIterator[JobEvent]:
        """See `JobHandle.events`."""
        return self._client.job_events(self.job_id)

    async def history(self) -> list[JobEvent]:
        """See `JobHandle.history`."""
        return await self._client.job_history(self.job_id)

    async def explain(self) -> Explanation:
        """See `JobHandle.explain`."""
        return await self._client.explain(self.job_id)
