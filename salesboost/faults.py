"""Faults a tool raises to say what went wrong and whether trying again can help.

::

    ToolFault                 TOOL_FAILED         not retried unless it says so
    ├── InputFault            TOOL_INPUT_INVALID  the payload is wrong; names the field
    ├── PermissionFault       TOOL_FORBIDDEN      the caller may not do this
    ├── NotFoundFault         TOOL_FAILED         the thing asked for does not exist
    ├── ConflictFault         TOOL_FAILED         somebody else changed the thing meanwhile
    ├── TransientFault        TOOL_UNAVAILABLE    retried with back-off
    │   └── ProviderLimited   TOOL_UNAVAILABLE    retried, not before the provider's Retry-After
    └── SoftTimeLimit         TOOL_TIMEOUT        raised in the tool by its worker; retried

Any other exception is classed by `is_retryable`: time-outs, connection errors and other `OSError` are
tried again, everything else is not.
"""

from __future__ import annotations

from typing import ClassVar


class ToolFault(Exception):
    """Raised by a tool whose work failed.

    Args:
        message: What went wrong, naming the thing, the value and the remedy. It reaches the caller.
        retry_after: Seconds before another attempt can succeed, when the provider said so.
        no_effect: True when the provider certainly did nothing, so that an effect that was begun may be
            begun again (connection refused, request rejected).
    """

    code: ClassVar[str] = "TOOL_FAILED"
    retryable: ClassVar[bool] = False
    default_no_effect: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None, no_effect: bool | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.no_effect = self.default_no_effect if no_effect is None else no_effect


class InputFault(ToolFault):
    """Raised when a value of the payload is wrong in a way that the schema cannot say."""

    code = "TOOL_INPUT_INVALID"
    default_no_effect = True


class PermissionFault(ToolFault):
    """Raised when the caller's role may call the tool but not with this payload."""

    code = "TOOL_FORBIDDEN"
    default_no_effect = True


class NotFoundFault(ToolFault):
    """Raised when what the payload names does not exist."""

    default_no_effect = True


class ConflictFault(ToolFault):
    """Raised when a record has changed since the caller read it."""

    default_no_effect = True


class TransientFault(ToolFault):
    """Raised when the same call may succeed later: a provider is down, slow or restarting."""

    code = "TOOL_UNAVAILABLE"
    retryable = True


class ProviderLimited(TransientFault):
    """Raised on a provider's 429: nothing was done, and `retry_after` says when to come back."""

    default_no_effect = True


class SoftTimeLimit(ToolFault):
    """Raised inside the tool when its soft time limit or the call's deadline is reached.

    A tool may catch it to clean up; the hard limit ends the attempt `timeout` seconds after its start.
    """

    code = "TOOL_TIMEOUT"
    retryable = True


def is_retryable(exc: BaseException) -> bool:
    """Say whether another attempt may succeed after *exc*.

    `TimeoutError`, `ConnectionError` and every other `OSError` are retryable except the ones that report a
    wrong request: permission denied and file not found.
    """
    if isinstance(exc, ToolFault):
        return exc.retryable
    if isinstance(exc, (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError)):
        return False
    return isinstance(exc, OSError)
