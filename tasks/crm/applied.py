"""Makes a write idempotent by its tool_call_id.

The call's row is inserted before the change and in its transaction. A second worker with the same
tool_call_id waits at the unique key until the first one commits, then finds its answer; when the first one
rolls back, the second goes on as if it were alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from salesboost.faults import ConflictFault
from tasks.crm.audit import Caller
from tasks.crm.models import AppliedCall
from tasks.crm.reply import CrmReply
from tasks.crm.request import CrmRequest


def once(
    session: Session, caller: Caller, request: CrmRequest, now: datetime, write: Callable[[], CrmReply]
) -> CrmReply:
    """Run *write* unless the caller's tool_call_id has written already; return the first answer.

    Raises:
        ConflictFault: The tool_call_id was used for another write.
    """
    asked = fingerprint(request)
    if not _claim(session, caller, asked, now):
        return _answer(session, caller, asked)
    reply = write()
    call = session.get_one(AppliedCall, (caller.tenant, caller.tool_call_id))
    call.result = reply.model_dump(mode="json")
    return reply


def fingerprint(request: CrmRequest) -> str:
    """Return a digest of what *request* asks."""
    text = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _claim(session: Session, caller: Caller, asked: str, now: datetime) -> bool:
    values: dict[str, Any] = {
        "tenant": caller.tenant,
        "tool_call_id": caller.tool_call_id,
        "fingerprint": asked,
        "at": now,
    }
    dialect = session.get_bind().dialect.name
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(AppliedCall).on_conflict_do_nothing()
    return session.execute(statement.returning(AppliedCall.tenant), values).first() is not None


def _answer(session: Session, caller: Caller, asked: str) -> CrmReply:
    call = session.get_one(AppliedCall, (caller.tenant, caller.tool_call_id))
    if call.fingerprint != asked:
        raise ConflictFault(
            f"tool_call_id {caller.tool_call_id!r} has already written something else: "
            "a new request needs a new tool_call_id"
        )
    return CrmReply.model_validate({**(call.result or {}), "replayed": True})
