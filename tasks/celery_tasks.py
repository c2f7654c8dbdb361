"""The Celery tasks: ``tools.<name>`` for each tool. A hint carries the job's id and nothing else."""

from __future__ import annotations

import math
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Retry

from salesboost import wire
from salesboost.errors import CallError
from salesboost.models import ErrorInfo, ToolInfo
from scheduler.outcomes import Settled, Skip, Stale, Wait
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
        return follow(engine, job_id)

    app.task(
        name=wire.task_name(tool.name),
        bind=True,
        acks_late=True,
        throws=(CallError,),
        time_limit=math.ceil(policy.timeout + HARD_LIMIT_MARGIN),
        max_retries=None,
        __doc__=tool.description,
    )(run)


def follow(engine: Engine, job_id: str) -> Any:
    """Run what a hint points at and tell Celery, for Flower and for plain producers, how it went.

    Returns:
        The tool's result for a call of a plain Celery producer, else the state the job is in.

    Raises:
        Ignore: There was nothing to run, or the job waits.
        Retry: The job runs again later; nothing is published by this.
        CallError: The call failed.
    """
    done = engine.attempts().perform(job_id)
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
