"""A submitted call, held by its producer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from salesboost.models import Explanation, JobEvent, JobState, ToolResult

if TYPE_CHECKING:
    from salesboost.client import ToolClient


class JobHandle:
    """One job, or a call that was answered at once. Cheap to keep; the ledger has the truth.

    Attributes:
        tool: The tool's name.
        tool_call_id: The idempotency key: submitting with it again gives this job.
        job_id: The ledger's id; empty when the call was refused or answered from the cache.
    """

    def __init__(
        self,
        client: ToolClient,
        *,
        tool: str,
        tool_call_id: str,
        job_id: str,
        known: ToolResult | None = None,
    ) -> None:
        self._client = client
        self._known = known
        self.tool = tool
        self.tool_call_id = tool_call_id
        self.job_id = job_id

    def __repr__(self) -> str:
        return f"JobHandle(tool={self.tool!r}, tool_call_id={self.tool_call_id!r}, job_id={self.job_id!r})"

    @property
    def known(self) -> ToolResult | None:
        """The result when it was known at submit (a cache hit, a repeat, a refusal) or has been read since."""
        return self._known

    def status(self) -> JobState:
        """Return the state the job is in.

        Raises:
            JobNotFound: Its retention is over, or the call never became a job.
        """
        return self._client.job_state(self.job_id)

    def result(self, timeout: float | None = None) -> ToolResult:
        """Wait for the job to settle and return its result; also when it failed (see `ToolResult.unwrap`).

        Args:
            timeout: Seconds to wait; None for the client's default.

        Raises:
            ResultTimeout: The time ran out. The job goes on.
            JobNotFound: Its retention is over.
        """
        if self._known is None:
            self._known = next(iter(self._client.as_completed([self], timeout=timeout)))[1]
        assert self._known is not None
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
