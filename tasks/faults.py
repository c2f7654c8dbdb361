"""Turns whatever a tool raised into the outcome of its attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from salesboost.errors import CallError
from salesboost.faults import InputFault, SoftTimeLimit, ToolFault, is_retryable
from salesboost.models import ErrorInfo


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exception means for the attempt.

    Attributes:
        error: What the caller is told.
        retry: Whether another attempt may help.
        refund: Whether the tokens go back, because the provider was never reached.
    """

    error: ErrorInfo
    retry: bool
    refund: bool = False


def judge(exc: BaseException, tool: str) -> Verdict:
    """Return the verdict on *exc*, raised by *tool*."""
    retry = is_retryable(exc)
    retry_after = exc.retry_after if isinstance(exc, (ToolFault, CallError)) else None
    if isinstance(exc, (ToolFault, CallError)):
        code = exc.code
    elif isinstance(exc, TimeoutError):
        code = "TOOL_TIMEOUT"
    else:
        code = "TOOL_UNAVAILABLE" if retry else "TOOL_FAILED"
    kind = SoftTimeLimit.__name__ if isinstance(exc, SoftTimeLimit) else type(exc).__name__
    return Verdict(
        ErrorInfo(
            code=code,
            type=kind,
            message=f"{tool}: {_said(exc)}"[:2000],
            retryable=retry,
            retry_after=retry_after,
        ),
        retry,
        refund=isinstance(exc, InputFault),
    )


def _said(exc: BaseException) -> str:
    try:
        text = str(exc)
    except Exception:  # an exception of a tool's own may fail to say what it is
        text = ""
    # Half of a surrogate pair is no text that can be stored.
    return text.encode("utf-8", "replace").decode() or type(exc).__name__


def invalid_input(exc: ValidationError, tool: str) -> Verdict:
    """Return the verdict on a payload that does not fit the tool's input model."""
    wrong = "; ".join(_field(error) for error in exc.errors(include_url=False, include_context=False))
    return Verdict(
        ErrorInfo(code="TOOL_INPUT_INVALID", type="InputInvalid", message=f"{tool}: {wrong}"[:2000]),
        retry=False,
        refund=True,
    )


def _field(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "payload"
    given = "" if error["type"] == "missing" else f", got {repr(error.get('input'))[:80]}"
    return f"{where}: {error['msg']}{given}"
