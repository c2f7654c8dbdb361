"""Takes the messages of plain Celery producers, who know nothing of us, into the ledger.

``Celery(broker=…).send_task("tools.price_calculator", kwargs={…})`` becomes a job with the least role, at the moment a
worker receives it: from then on it cannot be lost. Its hint carries the producer's task id, callbacks and group, so
that result, chain and chord go on as in Celery.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from celery import Celery
from celery.app.task import Context
from kombu.message import Message

from config.settings import Settings
from salesboost import calls, wire
from salesboost.errors import CallError, InputInvalid, ToolNotFound
from salesboost.store import StateStore

OURS = "salesboost"
"""The header by which we know our own hints."""

_KEPT_HEADERS = (
    "root_id",
    "parent_id",
    "group",
    "group_index",
    "ignore_result",
    "replaced_task_nesting",
    "stamps",
)
_EMBED: dict[str, type] = {"callbacks": list, "errbacks": list, "chain": list, "chord": dict}


def is_ours(headers: Mapping[str, Any]) -> bool:
    """Say whether a message is a hint of the ledger."""
    return headers.get(OURS) == wire.WIRE_VERSION


def adopt(store: StateStore, settings: Settings, message: Message) -> None:
    """Submit the call that a plain message makes; its hint is on its way when this returns.

    Raises:
        CallError: The call is refused: unknown tool, role, payload. Nothing was stored.
    """
    headers: Mapping[str, Any] = message.headers
    tool = str(headers["task"]).removeprefix(wire.TASK_PREFIX)
    args, kwargs, _ = message.decode()
    embed = _embed(message)
    try:
        payload = wire.canonical(_payload(tool, args, kwargs), tool=tool)
    except InputInvalid as exc:
        if not store.redis.hexists(wire.catalogue_key(settings.namespace), tool):
            raise ToolNotFound(f"no worker has published a tool named {tool}") from exc
        raise
    submission = wire.Submission(
        tool=tool,
        payload=payload,
        role=settings.adopted_role,
        tenant=wire.DEFAULT_TENANT,
        tool_call_id=str(headers["id"]),
        deadline=_seconds_until(headers.get("expires")),
        delay=_seconds_until(headers.get("eta")),
        celery=(
            str(headers["id"]),
            _json(embed),
            _fragment(headers),
        ),
    )
    outcome = calls.read_submit(store.call("submit_job", *submission.arguments()), submission)
    if isinstance(outcome, calls.Answered) and outcome.result.audit.status == "refused":
        outcome.result.unwrap()


def refuse(app: Celery, message: Message, error: CallError) -> None:
    """Tell the plain producer, through Celery's result back end, that its call was refused.

    A chord or chain that the call is part of is told as well, also when nobody asked for its result.
    """
    request = Context({**message.headers, **_embed(message)})
    wanted = not message.headers.get("ignore_result")
    app.backend.mark_as_failure(message.headers["id"], error, request=request, store_result=wanted)


def _payload(tool: str, args: Any, kwargs: Any) -> dict[str, Any]:
    first = args[0] if len(args) == 1 and isinstance(args[0], dict) else None
    if (args and first is None) or not isinstance(kwargs, dict):
        raise InputInvalid(
            f"{tool} takes its payload as keyword arguments (or one object as the only argument), got "
            f"{len(args)} positional arguments",
            tool=tool,
        )
    return {**(first or {}), **kwargs}


def _embed(message: Message) -> dict[str, Any]:
    """Return what is to happen after the call.

    Raises:
        ValueError: It is in no form that Celery could work with.
    """
    _, _, embed = message.decode()
    kept: dict[str, Any] = {name: (embed or {}).get(name) for name in _EMBED}
    for name, value in kept.items():
        if value is not None and not isinstance(value, _EMBED[name]):
            raise ValueError(f"{name} must be a {_EMBED[name].__name__}, got {value!r}")
    return kept


def _seconds_until(moment: Any) -> float | None:
    if not moment:
        return None
    at = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.001)


def _fragment(headers: Mapping[str, Any]) -> str:
    return _json({key: headers.get(key) for key in _KEPT_HEADERS if key in headers} | {"plain": True})[1:-1]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
