"""The values that producers get back."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salesboost.errors import CallError


class JobState(StrEnum):
    """The states of a job; the server-side functions enforce the steps between them."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"
    UNKNOWN = "unknown"

    @property
    def settled(self) -> bool:
        """True when no attempt will run any more unless a person asks for it."""
        return self in _SETTLED


_SETTLED = frozenset(
    {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
        JobState.DEAD,
        JobState.UNKNOWN,
    }
)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class ErrorInfo(_Value):
    """Why a call has no result.

    Attributes:
        code: One of the codes in `salesboost.errors`.
        type: Class name of the exception, for people.
        message: Names the thing, the value and the remedy.
        retryable: Whether the same call may succeed later.
        retry_after: Seconds before it can, when known.
    """

    code: str
    type: str
    message: str
    retryable: bool = False
    retry_after: float | None = None


class Audit(_Value):
    """How a call was served.

    Attributes:
        status: The job's state; ``refused`` when there is no job, ``succeeded`` for a cache hit.
        attempts: Executions begun.
        cached: True when the result came from the cache and nothing ran.
        queued_ms: Milliseconds from submit to the first start, by the state server's clock.
        run_ms: Milliseconds the last attempt's tool body ran, by the worker's monotonic clock.
        total_ms: Milliseconds from submit to settled, by the state server's clock.
        worker: ``host:pid`` of the last attempt.
        version: Version of the tool.
        job_id: The ledger's identity of the call, empty when there is no job.
    """

    status: str
    attempts: int = 0
    cached: bool = False
    queued_ms: float = 0.0
    run_ms: float = 0.0
    total_ms: float = 0.0
    worker: str = ""
    version: str = ""
    job_id: str = ""


class ToolResult(_Value):
    """The answer to one call.

    Attributes:
        ok: True when `result` holds the tool's result.
        tool: The tool's name.
        tool_call_id: The caller's idempotency key.
        result: The JSON value the tool returned, None unless `ok`.
        error: Why there is no result, None when `ok`.
        audit: How the call was served.
    """

    ok: bool
    tool: str
    tool_call_id: str
    result: Any = None
    error: ErrorInfo | None = None
    audit: Audit

    def unwrap(self) -> Any:
        """Return `result`, or raise the error as the exception of its code.

        Raises:
            CallError: The subclass whose `code` is ``error.code``.
        """
        if self.error is None:
            return self.result
        raise CallError.from_code(self.error.code)(
            self.error.message,
            tool=self.tool,
            tool_call_id=self.tool_call_id,
            retry_after=self.error.retry_after,
            retryable=self.error.retryable,
        )


class JobEvent(_Value):
    """One change of state, or a progress report, of a job.

    Attributes:
        type: The state entered, or ``progress``, ``cancelling``.
        job_id: The job.
        at: Seconds since the epoch by the state server's clock.
        attempt: Attempts begun so far.
        detail: The reason, or the JSON of a progress report.
    """

    type: str
    job_id: str
    at: float
    attempt: int
    detail: str = ""

    @property
    def settles(self) -> bool:
        """True for the last event of a job."""
        return self.type in {state.value for state in _SETTLED}


class Explanation(_Value):
    """Why a job is where it is.

    Attributes:
        state: Its state.
        before: Jobs of the same waiting room that start first, None when it is in none.
        expected_start: Seconds until it can start at the steady rate, None when nothing is known.
    """

    state: JobState
    before: int | None = None
    expected_start: float | None = None


class ToolInfo(_Value):
    """A tool as the workers published it.

    Attributes:
        name: The tool's name.
        version: The tool's version.
        description: What it does, for agents.
        input_schema: JSON schema of the payload.
        output_schema: JSON schema of the result.
        roles: Roles that may call it; empty for every role.
        limit: Starts per period, None for no limit.
        limit_keys: Further limits by key.
        effect: ``read``, ``idempotent`` or ``write``.
        timeout: Seconds an attempt may take.
        cache_ttl: Seconds a result is answered from the cache, 0 for never.
        queue: The queue its workers serve.
    """

    name: str
    version: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    roles: list[str] = Field(default_factory=list)
    limit: str | None = None
    limit_keys: list[str] = Field(default_factory=list)
    effect: str = "read"
    timeout: float = 60.0
    cache_ttl: float = 0.0
    queue: str = "default"
