"""Lists records, newest first, page by page.

Keyset pagination on (created_at, id), which never change: a page neither skips nor repeats a record that was
there when the listing began, whatever is written meanwhile.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from salesboost.faults import InputFault
from tasks.crm.cursor import read_cursor
from tasks.crm.entities import ENTITIES, Entity
from tasks.crm.models import Record
from tasks.crm.paging import cursor_key, page
from tasks.crm.reply import CrmReply
from tasks.crm.request import CrmRequest


def list_records(session: Session, request: CrmRequest, tenant: str) -> CrmReply:
    """Answer a listing.

    Raises:
        InputFault: A filter or the cursor is wrong.
    """
    entity = ENTITIES[request.kind]
    scope = json.dumps(["list", tenant, entity.name, request.customer_id, request.filters], sort_keys=True)
    query = _narrowed(select(entity.table).where(entity.table.tenant == tenant), entity, request)
    if request.cursor is not None:
        query = query.where(_after(entity, read_cursor(cursor_key(session), scope, request.cursor)))
    query = query.order_by(entity.table.created_at.desc(), entity.table.id.desc()).limit(request.limit + 1)
    rows = session.scalars(query).all()
    records, cursor = page(session, scope, rows, limit=request.limit, view=entity.view, sort_key=_sort_key)
    return CrmReply(action="list", entity=entity.name, records=records, next_cursor=cursor)


def _narrowed(query: Select[Any], entity: Entity, request: CrmRequest) -> Select[Any]:
    if request.customer_id is not None:
        if entity.name == "product":
            raise InputFault("customer_id: products belong to no customer; leave it out")
        column = "id" if entity.name == "customer" else "customer_id"
        query = query.where(getattr(entity.table, column) == request.customer_id)
    for name, value in request.filters.items():
        if name not in entity.filters:
            raise InputFault(
                f"filters.{name}: a listing of {entity.name} can be narrowed by {', '.join(sorted(entity.filters))}"
            )
        column = getattr(entity.table, name)
        kind = column.type.python_type
        if not isinstance(value, kind):
            raise InputFault(f"filters.{name} must be of type {kind.__name__}, got {value!r}")
        query = query.where(column == value)
    return query


def _sort_key(record: Record) -> list[Any]:
    return [record.created_at.isoformat(), record.id]


def _after(entity: Entity, last: list[Any]) -> Any:
    created_at, key = datetime.fromisoformat(last[0]), last[1]
    table = entity.table
    return or_(table.created_at < created_at, and_(table.created_at == created_at, table.id < key))
