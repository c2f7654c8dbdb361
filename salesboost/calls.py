"""What the synchronous and the asynchronous client share: building requests and reading replies. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import orjson

from salesboost import wire
from salesboost.errors import CallError, InputInvalid
from salesboost.models import Audit, ErrorInfo, Explanation, JobEvent, JobState, ToolInfo, ToolResult

OnLimit = Literal["raise", "wait"]


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


@dataclass(frozen=True, slots=True)
class Accepted:
    """The ledger has the job.

    Attributes:
        job_id: Its id.
        state: The state it was in when the submit returned.
        before: Jobs of the same room that start first, when it waits.
        expected_start: Seconds until it can start at the steady rate, when it waits.
    """

    job_id: str
    state: JobState
    before: int | None = None
    expected_start: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """There is nothing to wait for: the result was known, or the call was refused."""

    job_id: str
    result: ToolResult


Outcome = Accepted | Answered


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
        InputInvalid: A parameter is out of bounds, or the payload is no JSON object.
    """
    wrong = (
        ("tool", tool, "a tool's name", bool(tool) and "\0" not in tool),
        (
            "caller_role",
            caller_role,
            "a role's name without white space",
            bool(caller_role) and not any(map(str.isspace, caller_role)),
        ),
        ("tenant", tenant, "a tenant's name", bool(tenant) and "\0" not in tenant),
        ("priority", priority, "0 to 9; 9 runs first", type(priority) is int and 0 <= priority <= 9),
        ("deadline", deadline, "seconds from now, above 0", deadline is None or deadline > 0),
        ("max_wait", max_wait, "seconds, 0 or more", max_wait is None or max_wait >= 0),
        ("on_limit", on_limit, "'wait' or 'raise'", on_limit in ("wait", "raise")),
        (
            "tool_call_id",
            tool_call_id,
            "1 to 256 characters",
            tool_call_id is None or 1 <= len(tool_call_id) <= 256,
        ),
    )
    for name, value, allowed, fits in wrong:
        if not fits:
            raise InputInvalid(f"{name} must be {allowed}, got {value!r}", tool=tool)
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


def read_submit(reply: Sequence[Any], submission: wire.Submission) -> Outcome:
    """Read the reply of ``submit_job``."""
    kind = wire.text(reply[0])
    if kind == "refused":
        _, code, message, micros = map(wire.text, reply)
        return Answered("", refusal(submission, code, message, int(micros) / 1e6 or None))
    job_id = wire.text(reply[1])
    if kind == "known":
        return Answered(job_id, result_of(wire.record(reply[2:])))
    if kind == "joined":
        return Accepted(job_id, JobState(wire.text(reply[2])))
    if kind == "waiting":
        return Accepted(job_id, JobState.WAITING, max(int(reply[2]), 0), int(reply[3]) / 1e6)
    return Accepted(job_id, JobState(kind))


def refusal(submission: wire.Submission, code: str, message: str, retry_after: float | None = None) -> ToolResult:
    """Return the result of a call for which there is no job."""
    kind = CallError.from_code(code)
    return ToolResult(
        ok=False,
        tool=submission.tool,
        tool_call_id=submission.tool_call_id,
        error=ErrorInfo(
            code=code, type=kind.__name__, message=message, retryable=kind.retryable, retry_after=retry_after
        ),
        audit=Audit(status="refused"),
    )


def refused(tool: str, tool_call_id: str, error: CallError) -> ToolResult:
    """Return the result of a call that *error* stopped before it was sent."""
    return ToolResult(
        ok=False,
        tool=tool,
        tool_call_id=tool_call_id,
        error=ErrorInfo(
            code=error.code,
            type=type(error).__name__,
            message=error.message,
            retryable=error.retryable,
            retry_after=error.retry_after,
        ),
        audit=Audit(status="refused"),
    )


def cached(submission: wire.Submission, info: ToolInfo, value: bytes) -> ToolResult:
    """Return the result of a cache hit."""
    return ToolResult(
        ok=True,
        tool=submission.tool,
        tool_call_id=submission.tool_call_id,
        result=orjson.loads(value),
        audit=Audit(status=JobState.SUCCEEDED, cached=True, version=info.version),
    )


def result_of(record: Mapping[str, str]) -> ToolResult:
    """Return the result that a settled job's record holds."""
    created, started, settled = (int(record[name] or 0) for name in ("created", "started", "settled"))
    ok = record["state"] == JobState.SUCCEEDED
    return ToolResult(
        ok=ok,
        tool=record["tool"],
        tool_call_id=record["tool_call_id"],
        result=orjson.loads(record["result"]) if ok else None,
        error=None if ok else ErrorInfo.model_validate_json(record["error"]),
        audit=Audit(
            status=record["state"],
            attempts=int(record["attempts"] or 0),
            queued_ms=((started or settled) - created) / 1000,
            run_ms=int(record["run_us"] or 0) / 1000,
            total_ms=(settled - created) / 1000,
            worker=record["worker"],
            version=record["version"],
            job_id=record["id"],
        ),
    )


def history_event(job_id: str, line: str) -> JobEvent:
    """Return the event of one line of a job's history."""
    at, kind, attempt, detail = line.split(" ", 3)
    return JobEvent(type=kind, job_id=job_id, at=int(at) / 1e6, attempt=int(attempt), detail=detail)


def may_be_cached(info: ToolInfo | None, role: str) -> bool:
    """Say whether a call by *role* may be answered from the cache."""
    return info is not None and info.cache_ttl > 0 and (not info.roles or role in info.roles)


def cache_key(namespace: str, submission: wire.Submission, info: ToolInfo) -> str:
    """Return the key under which the result of *submission* would be cached."""
    payload = wire.with_defaults(orjson.loads(submission.payload), info.input_schema)
    return wire.cache_key(
        namespace,
        info.name,
        info.version,
        wire.canonical(payload),
        tenant=submission.tenant,
        role=submission.role,
    )


def explanation(state: str, outlook: Sequence[Any]) -> Explanation:
    """Read the outlook of ``read_job``."""
    before, micros = (int(outlook[0]), int(outlook[1])) if outlook else (-1, -1)
    return Explanation(
        state=JobState(state),
        before=before if before >= 0 else None,
        expected_start=micros / 1e6 if micros >= 0 else None,
    )


def prepare_spec(spec: CallSpec, caller_role: str, tenant: str, on_limit: OnLimit) -> wire.Submission:
    """Return the submission of one call of a list.

    Raises:
        InputInvalid: The call has no name or payload, an unknown key, or a parameter out of bounds.
    """
    unknown = set(spec) - CallSpec.__required_keys__ - CallSpec.__optional_keys__
    if unknown or "name" not in spec or "payload" not in spec:
        raise InputInvalid(
            f"a call must be an object with name and payload (optional: tool_call_id, priority, deadline, tenant), "
            f"got keys {sorted(spec)}"
        )
    return prepare(
        spec["name"],
        spec["payload"],
        caller_role=caller_role,
        tenant=spec.get("tenant", tenant),
        tool_call_id=spec.get("tool_call_id"),
        on_limit=on_limit,
        deadline=spec.get("deadline"),
        priority=spec.get("priority", wire.DEFAULT_PRIORITY),
    )
