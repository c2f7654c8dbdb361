"""The audit trail: who changed what, when, from what, to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks.crm.models import AuditEntry
from tasks.crm.reply import RecordView


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf the CRM is used."""

    tenant: str
    role: str
    tool_call_id: str
    job_id: str = ""


def write_audit(
    session: Session,
    caller: Caller,
    action: str,
    now: datetime,
    *,
    before: RecordView | None,
    after: RecordView,
) -> None:
    """Record a change in the transaction that makes it."""
    session.add(
        AuditEntry(
            at=now,
            tenant=caller.tenant,
            role=caller.role,
            tool_call_id=caller.tool_call_id,
            job_id=caller.job_id,
            action=action,
            entity=str(after["entity"]),
            record_id=str(after["id"]),
            before=before,
            after=after,
        )
    )


def audit_trail(session: Session, tenant: str, entity: str, record_id: str) -> Sequence[AuditEntry]:
    """Return the changes of one record, oldest first."""
    query = (
        select(AuditEntry)
        .where(AuditEntry.tenant == tenant, AuditEntry.entity == entity, AuditEntry.record_id == record_id)
        .order_by(AuditEntry.id)
    )
    return session.scalars(query).all()
