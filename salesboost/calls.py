"""What the synchronous and the asynchronous client share: reading the ledger's replies. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from salesboost import wire
from salesboost.errors import CallError, JobNotFound, ResultTimeout
from salesboost.models import Audit, ErrorInfo, Explanation, JobEvent, JobState, ToolInfo, ToolResult


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


def read_submit(reply: Sequence[Any] | CallError, submission: wire.Submission) -> Outcome:
    """Read the reply of ``submit_job``, or what kept one of many from being made."""
    if isinstance(reply, CallError):
        return Answered("", refused(submission.tool, submission.tool_call_id, reply))
    kind = wire.text(reply[0])
    if kind == "refused":
        code, message = wire.text(reply[1]), wire.text(reply[2])
        retry_after = int(reply[3]) / 1e6 or None
        error = CallError.from_code(code)(message, retry_after=retry_after)
        return Answered("", refused(submission.tool, submission.tool_call_id, error))
    job_id = wire.text(reply[1])
    if kind == "known":
        return Answered(job_id, result_of(wire.record(reply[2:])))
    if kind == "joined":
        return Accepted(job_id, JobState(wire.text(reply[2])))
    if kind == "waiting":
        before, micros = int(reply[2]), int(reply[3])
        return Accepted(job_id, JobState.WAITING, max(before, 0), micros / 1e6)
    return Accepted(job_id, JobState(kind))


@dataclass(frozen=True, slots=True)
class Taken:
    """One of many calls, as a handle shows it.

    Attributes:
        tool: The tool's name.
        tool_call_id: The idempotency key.
        job_id: The job; empty for a refusal and for a cache hit.
        known: The result, when there is nothing to wait for.
    """

    tool: str
    tool_call_id: str
    job_id: str
    known: ToolResult | None


def members(prepared: Sequence[wire.Submission | ToolResult], batch: str) -> list[wire.Submission | ToolResult]:
    """Return the calls as members of a batch."""
    return [
        replace(one, batch=batch, index=place) if isinstance(one, wire.Submission) else one
        for place, one in enumerate(prepared)
    ]


def taken(
    prepared: Sequence[wire.Submission | ToolResult],
    hits: Iterable[ToolResult | None],
    replies: Iterable[Sequence[Any] | CallError],
) -> list[Taken]:
    """Put together what became of many calls, in their order.

    Args:
        prepared: Each call's submission, or the result that says why it was not sent.
        hits: For each submission what the cache had.
        replies: The reply of ``submit_job`` for each submission that the cache did not answer.
    """
    all_hits, all_replies = iter(hits), iter(replies)
    done: list[Taken] = []
    for one in prepared:
        job_id, known = "", one if isinstance(one, ToolResult) else next(all_hits)
        if known is None and isinstance(one, wire.Submission):
            outcome = read_submit(next(all_replies), one)
            job_id = outcome.job_id
            known = outcome.result if isinstance(outcome, Answered) else None
        done.append(Taken(one.tool, one.tool_call_id, job_id, known))
    return done


def refused(tool: str, tool_call_id: str, error: CallError) -> ToolResult:
    """Return the result of a call for which there is no job because of *error*."""
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


def raise_refusal(result: ToolResult | None) -> None:
    """Raise the error of a call that was refused, at submit or at its limit; do nothing about any other.

    Raises:
        CallError: The call was refused.
    """
    if result and (result.audit.status == "refused" or (result.error and result.error.code == "TOOL_RATE_LIMITED")):
        result.unwrap()


def hits(
    submissions: Sequence[wire.Submission],
    keys: Mapping[int, tuple[str, ToolInfo]],
    values: Iterable[bytes | None],
) -> list[ToolResult | None]:
    """Return for each submission the result that the cache had.

    Args:
        submissions: The submissions.
        keys: What `Catalogue.cache_keys` said of them.
        values: What the cache had for each of these keys.
    """
    found: list[ToolResult | None] = [None] * len(submissions)
    for (place, (_, info)), value in zip(keys.items(), values, strict=True):
        if value is not None:
            found[place] = ToolResult(
                ok=True,
                tool=submissions[place].tool,
                tool_call_id=submissions[place].tool_call_id,
                result=orjson.loads(value),
                audit=Audit(status=JobState.SUCCEEDED, cached=True, version=info.version),
            )
    return found


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


@dataclass(frozen=True, slots=True)
class JobView:
    """What ``read_job`` tells of a job.

    Attributes:
        record: Its record, as `wire.RECORD_FIELDS` names it.
        history: Its changes of state, when they were asked for.
        explanation: Why it is where it is; without place and start unless they were asked for.
    """

    record: dict[str, str]
    history: list[JobEvent]
    explanation: Explanation


def read_job(job_id: str, reply: Sequence[Any] | CallError) -> JobView:
    """Read the reply of ``read_job``.

    Raises:
        JobNotFound: The ledger has no such job.
        CallError: It is what kept one of many calls from being made.
    """
    if isinstance(reply, CallError):
        raise reply
    if not reply:
        raise no_job(job_id)
    record = wire.record(reply[0])
    before, micros = (int(reply[2][0]), int(reply[2][1])) if reply[2] else (-1, -1)
    return JobView(
        record=record,
        history=[_history_event(job_id, wire.text(line)) for line in reply[1]],
        explanation=Explanation(
            state=JobState(record["state"]),
            before=before if before >= 0 else None,
            expected_start=micros / 1e6 if micros >= 0 else None,
        ),
    )


def _history_event(job_id: str, line: str) -> JobEvent:
    at, kind, attempt, detail = line.split(" ", 3)
    return JobEvent(type=kind, job_id=job_id, at=int(at) / 1e6, attempt=int(attempt), detail=detail)


class Past:
    """Which events of a job were told already; history and the live stream overlap."""

    def __init__(self) -> None:
        self._told: set[tuple[str, float, str]] = set()

    def news(self, events: Iterable[JobEvent]) -> list[JobEvent]:
        """Return those of *events* that were not told yet."""
        found: list[JobEvent] = []
        for event in events:
            mark = (event.type, event.at, event.detail)
            if mark not in self._told:
                self._told.add(mark)
                found.append(event)
        return found


def settled_record(reply: Sequence[Any] | CallError) -> dict[str, str] | None:
    """Return a job's record when it has settled, an empty one when the ledger does not have it, else None.

    Raises:
        CallError: It is what kept one of many calls from being made.
    """
    if isinstance(reply, CallError):
        raise reply
    if not reply:
        return {}
    record = wire.record(reply[0])
    return record if record["settled"] else None


def settled_result(job_id: str, record: Mapping[str, str]) -> ToolResult:
    """Return the result that `settled_record` found.

    Raises:
        JobNotFound: The record is empty: the retention is over.
    """
    if not record:
        raise no_job(job_id)
    return result_of(record)


def no_result(tool: str, job_id: str, seconds: float, *, others: int = 0) -> ResultTimeout:
    """Return the error for a wait of *seconds* that ran out; *others* are jobs that were waited for as well."""
    which = f"{tool} (job {job_id})" + (f" and {others} other calls" if others else "")
    return ResultTimeout(
        f"no result of {which} within {seconds:g} s; the job goes on: wait longer, look at "
        f"`salesboost status {job_id}`, or cancel it"
    )


def read_cancel(job_id: str, reply: Sequence[Any]) -> bool:
    """Read the reply of ``cancel_job``.

    Raises:
        JobNotFound: The ledger has no such job.
    """
    word = wire.text(reply[0])
    if word == "gone":
        raise no_job(job_id)
    return word in ("cancelled", "requested")


def no_job(job_id: str) -> JobNotFound:
    """Return the error for a job that the ledger does not have."""
    if not job_id:
        return JobNotFound(
            "this call never became a job: it was refused, or answered from the cache; its result says which"
        )
    return JobNotFound(
        f"the ledger has no job {json.dumps(job_id)}: check the id; settled jobs are kept for their retention "
        "(24 h by default), and a call answered from the cache never becomes a job"
    )
