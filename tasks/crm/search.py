"""Finds records by their words, best first. No text is an error.

Every word of the query must begin a word of the record (``nor tag`` finds *Norvane Tag*); punctuation
separates words, so query syntax such as ``"``, ``OR`` or ``*`` has no meaning. SQLite ranks by FTS5's bm25 with
a title's words four times as heavy, PostgreSQL by ts_rank with its default weights.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from tasks.crm.cursor import read_cursor
from tasks.crm.entities import ENTITIES
from tasks.crm.models import Record
from tasks.crm.paging import cursor_key, page
from tasks.crm.reply import CrmReply, RecordView
from tasks.crm.request import CrmRequest, EntityName

MOST_WORDS: Final = 16
"""Words of a query that count; the rest is ignored."""

_WORD: Final = re.compile(r"[^\W_]+")

_SQLITE: Final = """
SELECT id, entity, record_id, score FROM (
    SELECT d.id, d.tenant, d.entity, d.record_id, d.customer_id, bm25(crm_search, 4.0, 1.0) AS score
    FROM crm_search JOIN search_documents AS d ON d.id = crm_search.rowid
    WHERE crm_search MATCH :words)
"""
_POSTGRESQL: Final = """
SELECT id, entity, record_id, score FROM (
    SELECT d.id, d.tenant, d.entity, d.record_id, d.customer_id, -ts_rank(d.document, q)::float8 AS score
    FROM search_documents AS d,
        (SELECT to_tsquery('simple', :words) || to_tsquery('english', :words) AS q) AS asked
    WHERE d.document @@ q) AS hits
"""
_NARROWED: Final = """
WHERE tenant = :tenant AND (:entity = '' OR entity = :entity)
AND (:customer_id = '' OR customer_id = :customer_id)
AND (score > :last_score OR (score = :last_score AND id > :last_id))
ORDER BY score, id LIMIT :limit
"""


def words_of(query: str) -> list[str]:
    """Split *query* into the words that count, in lower case."""
    return _WORD.findall(unicodedata.normalize("NFC", query).lower())[:MOST_WORDS]


def search_records(session: Session, request: CrmRequest, tenant: str) -> CrmReply:
    """Answer a search.

    Raises:
        InputFault: The cursor is wrong.
    """
    words = words_of(request.query or "")
    scope = json.dumps(["search", tenant, request.entity, request.customer_id, words])
    last = [float("-inf"), 0]
    if request.cursor is not None:
        last = read_cursor(cursor_key(session), scope, request.cursor)
    rows = _hits(session, request, tenant, words, last)
    views = _views(session, rows, tenant)
    records, cursor = page(
        session,
        scope,
        rows,
        limit=request.limit,
        view=lambda row: views[row.entity, row.record_id],
        sort_key=lambda row: [row.score, row.id],
    )
    return CrmReply(action="search", entity=request.entity, records=records, next_cursor=cursor)


def _hits(session: Session, request: CrmRequest, tenant: str, words: list[str], last: list[Any]) -> Sequence[Row[Any]]:
    if not words:
        return []
    statement, match = _statement(session, words)
    return session.execute(
        statement,
        {
            "words": match,
            "tenant": tenant,
            "entity": request.entity or "",
            "customer_id": request.customer_id or "",
            "last_score": last[0],
            "last_id": last[1],
            "limit": request.limit + 1,
        },
    ).all()


def _statement(session: Session, words: list[str]) -> tuple[TextClause, str]:
    if session.get_bind().dialect.name == "sqlite":
        return text(_SQLITE + _NARROWED), " ".join(f'"{word}"*' for word in words)
    return text(_POSTGRESQL + _NARROWED), " & ".join(f"'{word}':*" for word in words)


def _views(session: Session, rows: Sequence[Row[Any]], tenant: str) -> dict[tuple[EntityName, str], RecordView]:
    found: dict[tuple[EntityName, str], RecordView] = {}
    for name, entity in ENTITIES.items():
        keys = [row.record_id for row in rows if row.entity == name]
        if keys:
            table: type[Record] = entity.table
            for record in session.query(table).where(table.tenant == tenant, table.id.in_(keys)):
                found[name, record.id] = entity.view(record)
    return found
