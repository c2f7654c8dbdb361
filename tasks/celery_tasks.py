"""The Celery tasks: ``tools.<name>`` for each tool. A hint carries the job's id and nothing else."""

from __future__ import annotations

import math
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Retry
from celery.states import READY_STATES

from salesboost import wire
from salesboost.errors import CallError
from salesboost.models import ErrorInfo, ToolInfo
from scheduler.outcomes import Settled, Skip, Stale, Wait
from tasks.attempt import Finished
from tasks.engine import Engine
from tasks.registry import Registered

HARD_LIMIT_MARGIN = 2.0
"""Seconds that the parent grants over a tool's hard limit for claim and settle before it kills the child."""


def bind(app: Celery, engine: Engine) -> None:
    """Register one Celery task for each tool of the engine's registry."""
    for registered in engine.registry:
        _bind_one(app, engine, registered)


def _bind_one(app: Celery, engine: Engine, registered: Registered) -> None:
    tool, policy = registered.tool, registered.policy

    def run(self: Task[Any, Any], job_id: str) -> Any:
        done = engine.attempts().perform(job_id)
        if isinstance(done, Skip) and done.state in _SETTLED_ELSEWHERE and _untold(self):
            _raise_error(engine, job_id)
        return answer(job_id, done)

    app.task(
        name=wire.task_name(tool.name),
        bind=True,
        acks_late=True,
        throws=(CallError,),
        time_limit=math.ceil(policy.timeout + HARD_LIMIT_MARGIN),
        max_retries=None,
        typing=False,  # a plain producer's callbacks carry the tool's payload, not a job's id
        __doc__=tool.description,
    )(run)


_SETTLED_ELSEWHERE = frozenset({"expired", "cancelled", "dead", "unknown"})
"""States that a job may reach outside of an attempt."""


def _untold(task: Task[Any, Any]) -> bool:
    """Say whether the job is a plain producer's that Celery's result back end has no answer for yet."""
    return bool(task.request.get("plain")) and task.backend.get_state(str(task.request.id)) not in READY_STATES


def _raise_error(engine: Engine, job_id: str) -> None:
    ledger = engine.ledger()
    try:
        result = ledger.result(job_id)
    finally:
        ledger.store.close()
    if result:
        result.unwrap()


def answer(job_id: str, done: Wait | Skip | Finished) -> Any:
    """Tell Celery, for Flower and for plain producers, what became of a hint.

    Returns:
        The tool's result for a call of a plain Celery producer, else the state the job is in.

    Raises:
        Ignore: There was nothing to run, or the job waits.
        Retry: The job runs again later; nothing is published by this.
        CallError: The call failed.
    """
    match done:
        case Wait() | Skip():
            raise Ignore(str(done))
        case (Stale(), _, _):
            raise Ignore("another attempt holds the job")
        case (Settled("succeeded"), _, result):
            return result if result is not None else "succeeded"
        case (Settled("queued" | "retrying" as state), _, error):
            raise Retry(state, exc=CallError(error.message) if isinstance(error, ErrorInfo) else None)
        case (Settled(state), _, error):
            if isinstance(error, ErrorInfo):
                raise CallError.from_code(error.code)(error.message)
            raise CallError.from_code("TOOL_DEAD")(f"job {job_id} is {state}")
        case _:
            raise AssertionError(done)


def describe(registered: Registered) -> ToolInfo:
    """Return a tool's entry in the catalogue."""
    tool, policy = registered.tool, registered.policy
    return ToolInfo(
        name=tool.name,
        version=tool.version,
        description=tool.description,
        input_schema=tool.input_model.model_json_schema(),
        output_schema=tool.output_model.model_json_schema(mode="serialization"),
        roles=sorted(policy.roles),
        limit=policy.limit,
        limit_keys=list(policy.limit_keys),
        effect=policy.effect,
        timeout=policy.timeout,
        cache_ttl=policy.cache_ttl,
        queue=policy.queue,
    )
