"""Every exception that SalesBoost raises at its users.

::

    SalesBoostError
    ├── ConfigurationError       SB_CONFIG              a setting is wrong; nothing was started
    │   └── ToolDefinitionError  SB_TOOL_DEFINITION     a @tool is wrong
    ├── CallError                                       a call was refused, or its job did not succeed
    │   ├── ToolNotFound         TOOL_NOT_FOUND         no worker ever published the tool
    │   ├── ToolForbidden        TOOL_FORBIDDEN         the role may not call it
    │   ├── InputInvalid         TOOL_INPUT_INVALID     the payload does not fit the tool
    │   │   └── PayloadTooLarge  TOOL_PAYLOAD_TOO_LARGE over the bound; nothing was stored
    │   ├── IdempotencyConflict  TOOL_CONFLICT          the tool_call_id was used with another payload
    │   ├── RateLimitError       TOOL_RATE_LIMITED      over the limit; `retry_after` says when
    │   ├── ToolTimeout          TOOL_TIMEOUT           the tool ran into its time limit
    │   ├── ToolUnavailable      TOOL_UNAVAILABLE       the provider or the state server is away
    │   ├── CallExpired          TOOL_EXPIRED           the deadline passed before the call was done
    │   ├── CallCancelled        TOOL_CANCELLED         the caller cancelled it
    │   ├── CallDead             TOOL_DEAD              it took its worker down, attempt after attempt
    │   ├── OutcomeUnknown       TOOL_OUTCOME_UNKNOWN   an effect was begun and never confirmed
    │   └── ToolFailed           TOOL_FAILED            the tool raised
    │       └── ResultTooLarge   TOOL_RESULT_TOO_LARGE  the result is over the bound
    ├── ResultTimeout            SB_RESULT_TIMEOUT      `result(timeout)` ran out; the job goes on
    └── JobNotFound              SB_JOB_NOT_FOUND       no such job, or its retention is over

`CallError.from_code` gives the class of a code, so that an error read from the ledger or from HTTP is raised
as the same class.
"""

from __future__ import annotations

from typing import ClassVar


class SalesBoostError(Exception):
    """Base of all errors.

    Attributes:
        code: Stable; safe to branch on.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds before it can, when known.
    """

    code: ClassVar[str] = "SB_ERROR"
    retryable: bool = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class ConfigurationError(SalesBoostError):
    """Raised when a setting is missing, unknown or out of bounds."""

    code = "SB_CONFIG"


class ToolDefinitionError(ConfigurationError):
    """Raised by `@tool` and by discovery for a tool that cannot be registered."""

    code = "SB_TOOL_DEFINITION"


class CallError(SalesBoostError):
    """Raised when a call was refused or its job ended without a result."""

    def __init__(
        self,
        message: str,
        *,
        tool: str = "",
        tool_call_id: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.tool = tool
        self.tool_call_id = tool_call_id
        if retryable is not None:
            self.retryable = retryable

    @staticmethod
    def from_code(code: str) -> type[CallError]:
        """Return the class whose `code` is *code*, `ToolFailed` for one this version does not know."""
        return _BY_CODE.get(code, ToolFailed)


class ToolNotFound(CallError):
    """Raised when no worker has published a tool of that name."""

    code = "TOOL_NOT_FOUND"


class ToolForbidden(CallError):
    """Raised when the caller's role is not one of the tool's roles."""

    code = "TOOL_FORBIDDEN"


class InputInvalid(CallError):
    """Raised when the payload does not fit the tool's input model; the message names field and remedy."""

    code = "TOOL_INPUT_INVALID"


class PayloadTooLarge(InputInvalid):
    """Raised before anything is stored when the payload's JSON is over the bound (64 KiB by default)."""

    code = "TOOL_PAYLOAD_TOO_LARGE"


class IdempotencyConflict(CallError):
    """Raised when the tool_call_id was already used for this tool with another payload."""

    code = "TOOL_CONFLICT"


class RateLimitError(CallError):
    """Raised with ``on_limit="raise"`` when no token is free; `retry_after` is in seconds."""

    code = "TOOL_RATE_LIMITED"
    retryable = True


class ToolTimeout(CallError):
    """Raised when the last attempt ran into its time limit."""

    code = "TOOL_TIMEOUT"
    retryable = True


class ToolUnavailable(CallError):
    """Raised when the provider, the state server or every worker of a tool is out of reach."""

    code = "TOOL_UNAVAILABLE"
    retryable = True


class CallExpired(CallError):
    """Raised when the deadline passed before the call was done."""

    code = "TOOL_EXPIRED"


class CallCancelled(CallError):
    """Raised when the call was cancelled."""

    code = "TOOL_CANCELLED"


class CallDead(CallError):
    """Raised when every attempt ended with the death of its worker; the job waits for a person."""

    code = "TOOL_DEAD"


class OutcomeUnknown(CallError):
    """Raised when an effect was begun and its confirmation never came; the job waits for a person."""

    code = "TOOL_OUTCOME_UNKNOWN"


class ToolFailed(CallError):
    """Raised when the tool raised and no attempt is left or none can help."""

    code = "TOOL_FAILED"


class ResultTooLarge(ToolFailed):
    """Raised when the tool's result is over the bound (256 KiB by default); it was not stored."""

    code = "TOOL_RESULT_TOO_LARGE"


class ResultTimeout(SalesBoostError):
    """Raised when `result(timeout)` ran out. The job goes on; ask again, or cancel it."""

    code = "SB_RESULT_TIMEOUT"
    retryable = True


class JobNotFound(SalesBoostError):
    """Raised when the ledger has no such job: the id is wrong or its retention is over."""

    code = "SB_JOB_NOT_FOUND"


def _subclasses(cls: type[CallError]) -> list[type[CallError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _subclasses(child))]


_BY_CODE = {cls.code: cls for cls in _subclasses(CallError) if cls is not CallError}
