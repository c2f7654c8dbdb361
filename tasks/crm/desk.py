"""Serves a request: who may do what, in which transaction, and once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue
from sqlalchemy.orm import Session

from salesboost.faults import InputFault, PermissionFault
from tasks.crm.applied import once
from tasks.crm.audit import Caller
from tasks.crm.database import reading, writing
from tasks.crm.entities import ENTITIES
from tasks.crm.listing import list_records
from tasks.crm.migrate import migrate
from tasks.crm.reply import CrmReply
from tasks.crm.request import WRITES, CrmRequest
from tasks.crm.search import search_records
from tasks.crm.writes import create_record, found, update_record

WRITERS: Final = frozenset({"sdr", "session_director", "system", "admin"})
READERS: Final = WRITERS | {"coach", "compliance"}


def check_permission(request: CrmRequest, role: str) -> None:
    """Check that *role* may make *request*.

    Raises:
        PermissionFault: It may not.
    """
    allowed = WRITERS if request.action in WRITES else READERS
    if role not in allowed:
        raise PermissionFault(
            f"role {role!r} may not {request.action} in the CRM; these may: {', '.join(sorted(allowed))}"
        )


def serve(url: str, request: CrmRequest, caller: Caller) -> CrmReply:
    """Answer *request* from the database at *url*, which is created when it does not exist.

    Raises:
        ToolFault: As `InputFault`, `PermissionFault`, `NotFoundFault`, `ConflictFault` or `TransientFault`.
    """
    check_permission(request, caller.role)
    migrate(url)
    if request.action in WRITES:
        with writing(url) as session:
            now = datetime.now(UTC)
            return once(session, caller, request, now, lambda: _write(session, request, caller, now))
    with reading(url) as session:
        return _read(session, request, caller)


def _read(session: Session, request: CrmRequest, caller: Caller) -> CrmReply:
    if request.action == "list":
        return list_records(session, request, caller.tenant)
    if request.action == "search":
        return search_records(session, request, caller.tenant)
    entity = ENTITIES[request.kind]
    record = found(session, entity, request.target or "", caller.tenant)
    return CrmReply(action="read", entity=entity.name, record=entity.view(record))


def _write(session: Session, request: CrmRequest, caller: Caller, now: datetime) -> CrmReply:
    entity = ENTITIES[request.kind]
    if not entity.writable:
        raise InputFault(f"entity {entity.name} can only be read here: it comes by import")
    data = dict(request.data or {})
    version = _expected_version(request, data)
    if request.action == "create":
        if entity.name != "customer" and request.customer_id is not None:
            data.setdefault("customer_id", request.customer_id)
        if request.customer_id is not None and data.get("customer_id", request.customer_id) != request.customer_id:
            raise InputFault("customer_id and data.customer_id name two customers; give one")
        view = create_record(session, entity, data, caller=caller, now=now, record_id=request.target)
        return CrmReply(action="create", entity=entity.name, record=view, changed=True)
    if not data:
        raise InputFault(f"data must hold at least one of {', '.join(entity.fields)}")
    view, changed = update_record(
        session,
        entity,
        request.target or "",
        data,
        caller=caller,
        now=now,
        expected_version=version,
    )
    return CrmReply(action="update", entity=entity.name, record=view, changed=changed)


def _expected_version(request: CrmRequest, data: dict[str, JsonValue]) -> int | None:
    version = data.pop("version", None)
    if version is None:
        return request.expected_version
    if request.action == "create" or isinstance(version, bool) or not isinstance(version, int):
        raise InputFault(f"data.version is the version you read of a record to update, got {version!r}")
    if request.expected_version not in {None, version}:
        raise InputFault(f"data.version {version} and expected_version {request.expected_version} differ")
    return version
