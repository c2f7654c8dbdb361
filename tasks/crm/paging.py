"""Pages of records: bounded in number and in bytes, with a cursor to the next one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks.crm.cursor import sign_cursor
from tasks.crm.models import Secret
from tasks.crm.reply import RecordView

PAGE_BYTES: Final = 200_000
"""A page ends before its JSON grows over this; a result may have 256 KiB."""

_T = TypeVar("_T")


def cursor_key(session: Session) -> bytes:
    """Return the key that signs this database's cursors."""
    return session.scalars(select(Secret.value).where(Secret.name == "cursor")).one()


def page(
    session: Session,
    scope: str,
    rows: Sequence[_T],
    *,
    limit: int,
    view: Callable[[_T], RecordView],
    sort_key: Callable[[_T], list[Any]],
) -> tuple[list[RecordView], str | None]:
    """Return the first *limit* of *rows* (one more than that was asked for) and the cursor to the rest."""
    records: list[RecordView] = []
    size = 0
    for row in rows[:limit]:
        record = view(row)
        size += len(json.dumps(record, ensure_ascii=False).encode())
        if records and size > PAGE_BYTES:
            break
        records.append(record)
    if len(records) == len(rows):
        return records, None
    return records, sign_cursor(cursor_key(session), scope, sort_key(rows[len(records) - 1]))
