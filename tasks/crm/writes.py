"""Creates and updates records, checked, versioned and audited."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue, ValidationError
from sqlalchemy.orm import Session

from salesboost.faults import ConflictFault, InputFault, NotFoundFault
from tasks.crm.audit import Caller, write_audit
from tasks.crm.entities import ENTITIES, Entity, complete, merged
from tasks.crm.models import Record
from tasks.crm.reply import RecordView


def create_record(
    session: Session,
    entity: Entity,
    data: Mapping[str, Any],
    *,
    caller: Caller,
    now: datetime,
    record_id: str | None = None,
    action: str = "create",
    version: int = 1,
    created_at: datetime | None = None,
) -> RecordView:
    """Add a record and return it.

    Raises:
        InputFault: A field is wrong, or names a record that does not exist.
        ConflictFault: There is a record of that id.
    """
    values = complete(entity, {}, checked(entity, data), now)
    _check_references(session, values, caller.tenant)
    key = record_id or _new_id(entity)
    if session.get(entity.table, (caller.tenant, key)) is not None:
        raise ConflictFault(f"{entity.name} {key!r} exists already: update it, or leave the id out")
    record = entity.table(
        tenant=caller.tenant, id=key, version=version, created_at=created_at or now, updated_at=now, **values
    )
    session.add(record)
    view = entity.view(record)
    write_audit(session, caller, action, now, before=None, after=view)
    return view


def update_record(
    session: Session,
    entity: Entity,
    record_id: str,
    changes: Mapping[str, Any],
    *,
    caller: Caller,
    now: datetime,
    expected_version: int | None = None,
    action: str = "update",
    version: int | None = None,
) -> tuple[RecordView, bool]:
    """Change fields of a record; return it and whether anything changed.

    The version rises by one, or to *version*. A change that changes nothing leaves no trace.

    Raises:
        InputFault: A field is wrong, or names a record that does not exist.
        NotFoundFault: There is no such record.
        ConflictFault: The record is not of *expected_version*.
    """
    record = found(session, entity, record_id, caller.tenant, lock=True)
    if expected_version is not None and record.version != expected_version:
        raise ConflictFault(
            f"{entity.name} {record_id!r} is at version {record.version}, not {expected_version}: "
            "somebody changed it since you read it; read it again"
        )
    before, old = entity.view(record), entity.values(record)
    values = complete(entity, old, checked(entity, merged(entity, old, changes), changes), now)
    _check_references(session, values, caller.tenant)
    if all(getattr(record, name) == value for name, value in values.items()):
        return before, False
    for name, value in values.items():
        setattr(record, name, value)
    record.version = version or record.version + 1
    record.updated_at = now
    after = entity.view(record)
    write_audit(session, caller, action, now, before=before, after=after)
    return after, True


def found(session: Session, entity: Entity, record_id: str, tenant: str, *, lock: bool = False) -> Record:
    """Return a record, locked against other writers when *lock*.

    Raises:
        NotFoundFault: There is none.
    """
    record = session.get(entity.table, (tenant, record_id), with_for_update=lock or None)
    if record is None:
        raise NotFoundFault(f"there is no {entity.name} {record_id!r}; search finds records by their words")
    return record


def checked(
    entity: Entity, data: Mapping[str, JsonValue], given: Mapping[str, JsonValue] | None = None
) -> dict[str, Any]:
    """Return *data* as the fields of *entity*; *given* are the ones that the caller wrote.

    Raises:
        InputFault: A field is unknown or wrong; the message names field, value and what is allowed.
    """
    unknown = sorted(set(given if given is not None else data) - set(entity.fields))
    if unknown:
        raise InputFault(
            f"data.{unknown[0]} is not a field of {entity.name} that can be written; "
            f"these are: {', '.join(entity.fields)}"
        )
    try:
        # Not model_dump, which writes decimals as text.
        return dict(entity.data.model_validate(data))
    except ValidationError as exc:
        raise InputFault("; ".join(_wrong(error) for error in exc.errors(include_url=False))) from exc


def _wrong(error: Any) -> str:
    where = ".".join(("data", *(str(part) for part in error["loc"])))
    why = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{where} is required"
    return f"{where}: {why}" if not error["loc"] else f"{where}: {why}, got {str(error['input'])[:60]!r}"


def _check_references(session: Session, values: Mapping[str, Any], tenant: str) -> None:
    customer_id, deal_id = values.get("customer_id"), values.get("deal_id")
    if customer_id is not None and session.get(ENTITIES["customer"].table, (tenant, customer_id)) is None:
        raise InputFault(f"data.customer_id: there is no customer {customer_id!r}")
    if deal_id is None:
        return
    deal = session.get(ENTITIES["deal"].table, (tenant, deal_id))
    if deal is None:
        raise InputFault(f"data.deal_id: there is no deal {deal_id!r}")
    if getattr(deal, "customer_id", None) != customer_id:
        raise InputFault(f"data.deal_id: deal {deal_id!r} is not one of customer {customer_id!r}")


def _new_id(entity: Entity) -> str:
    return f"{entity.prefix}-{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
