"""Checks the parameters of calls and turns them into submissions. No I/O; both clients share it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict, cast

from salesboost import wire
from salesboost.calls import refused
from salesboost.errors import CallError, InputInvalid
from salesboost.models import ToolResult

OnLimit = Literal["raise", "wait"]

MAX_NAME: Final = 256
"""Characters of a tool_call_id, a role, a tenant or a tool's name."""

MAX_SECONDS: Final = 366 * 86_400.0
"""The longest deadline and the longest wait."""


class CallSpec(TypedDict, total=False):
    """One call of a list, as agents write it: ``{"name": …, "payload": …}``.

    Keys:
        name: The tool's name. Required.
        payload: The tool's input. Required.
        tool_call_id: Idempotency key; a fresh one when absent.
        priority: 0 to 9, 9 first.
        deadline: Seconds from now.
        tenant: The client's when absent.
    """

    name: str
    payload: Mapping[str, Any]
    tool_call_id: str
    priority: int
    deadline: float
    tenant: str


def prepare(
    tool: str,
    payload: Mapping[str, Any],
    *,
    caller_role: str,
    tenant: str,
    tool_call_id: str | None = None,
    on_limit: OnLimit = "wait",
    deadline: float | None = None,
    max_wait: float | None = None,
    priority: int = wire.DEFAULT_PRIORITY,
) -> wire.Submission:
    """Check a call's parameters and return its submission.

    Raises:
        InputInvalid: A parameter is of a wrong type or out of bounds, or the payload is no JSON object.
    """
    role_is_word = _is_name(caller_role) and not any(map(str.isspace, caller_role))
    wrong = (
        ("tool", tool, "a tool's name", _is_name(tool)),
        ("caller_role", caller_role, "a role's name without white space", role_is_word),
        ("tenant", tenant, "a tenant's name", _is_name(tenant)),
        ("priority", priority, "0 to 9; 9 runs first", type(priority) is int and 0 <= priority <= 9),
        ("deadline", deadline, "seconds from now, above 0", _is_span(deadline) and deadline != 0),
        ("max_wait", max_wait, "seconds, 0 or more", _is_span(max_wait)),
        ("on_limit", on_limit, "'wait' or 'raise'", on_limit in ("wait", "raise")),
        (
            "tool_call_id",
            tool_call_id,
            f"text of 1 to {MAX_NAME} characters",
            tool_call_id is None or _is_name(tool_call_id),
        ),
    )
    for name, value, allowed, fits in wrong:
        if not fits:
            raise InputInvalid(f"{name} must be {allowed}, got {value!r}", tool=str(tool))
    if not isinstance(payload, Mapping):
        raise InputInvalid(f"the payload for {tool} must be a JSON object, got {type(payload).__name__}", tool=tool)
    return wire.Submission(
        tool=tool,
        payload=wire.canonical(payload, tool=tool),
        role=caller_role,
        tenant=tenant,
        tool_call_id=tool_call_id or uuid.uuid4().hex,
        on_limit=on_limit,
        deadline=deadline,
        max_wait=max_wait,
        priority=priority,
    )


def _is_name(value: Any) -> bool:
    # Lone surrogates cannot be sent; NUL separates the parts of a job's id.
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_NAME
        and "\0" not in value
        and (value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value))
    )


def _is_span(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= MAX_SECONDS


def prepare_spec(spec: object, caller_role: str, tenant: str, on_limit: OnLimit) -> wire.Submission:
    """Return the submission of one call of a list, a `CallSpec` if its caller is right.

    Raises:
        InputInvalid: The call has no name or payload, an unknown key, or a parameter out of bounds.
    """
    if not isinstance(spec, Mapping):
        raise InputInvalid(f"a call must be an object with name and payload, got {type(spec).__name__}")
    said = cast(Mapping[str, Any], spec)
    if set(said) - CallSpec.__optional_keys__ or "name" not in said or "payload" not in said:
        raise InputInvalid(
            "a call must be an object with name and payload (optional: tool_call_id, priority, deadline, tenant), "
            f"got keys {sorted(map(str, said))}"
        )
    return prepare(
        said["name"],
        said["payload"],
        caller_role=caller_role,
        tenant=said.get("tenant", tenant),
        tool_call_id=said.get("tool_call_id"),
        on_limit=on_limit,
        deadline=said.get("deadline"),
        priority=said.get("priority", wire.DEFAULT_PRIORITY),
    )


def prepare_many(
    specs: Iterable[object], caller_role: str, tenant: str, on_limit: OnLimit
) -> list[wire.Submission | ToolResult]:
    """Return for each call its submission, or the result that says why it cannot be sent."""
    prepared: list[wire.Submission | ToolResult] = []
    for spec in specs:
        try:
            prepared.append(prepare_spec(spec, caller_role, tenant, on_limit))
        except CallError as exc:
            said: Mapping[str, Any] = cast(Mapping[str, Any], spec) if isinstance(spec, Mapping) else {}
            prepared.append(refused(str(said.get("name", "")), str(said.get("tool_call_id", "")), exc))
    return prepared


def check_window(max_concurrent: int | None) -> int | str:
    """Return the argument of ``open_batch`` for a window.

    Raises:
        InputInvalid: It is below 1.
    """
    if max_concurrent is None:
        return ""
    if type(max_concurrent) is not int or max_concurrent < 1:
        raise InputInvalid(f"max_concurrent must be a whole number of 1 or more, got {max_concurrent!r}")
    return max_concurrent
