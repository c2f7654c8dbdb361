"""Imports records from CSV files and exports them.

An import can be repeated: it adds what is missing and leaves alone what is there, except that the files are
the master of products and orders, and that a row with a higher version than the record's replaces it. A row
that is wrong is reported and the others are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from salesboost.faults import InputFault
from tasks.crm.audit import Caller
from tasks.crm.csv_files import LAYOUTS, Layout, read_rows, write_rows
from tasks.crm.database import reading, writing
from tasks.crm.entities import ENTITIES, Entity, complete
from tasks.crm.migrate import migrate
from tasks.crm.writes import checked, create_record, update_record

_ADVISORY_LOCK: Final = 0x5A1E5B01
_KEYS: Final = frozenset({"id", "version", "created_at", "updated_at", "status"})
"""Columns that are not fields to write; a deal's status follows from its stage."""


@dataclass(slots=True)
class Imported:
    """What became of the rows of one file.

    Attributes:
        kept: Rows that differ from their record, which is newer.
        refused: Why rows were not taken, with file and line.
        ignored: Columns that records have no place for.
    """

    file: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list[str])
    ignored: set[str] = field(default_factory=set[str])


def import_directory(url: str, directory: Path, *, tenant: str = "default") -> list[Imported]:
    """Take the CSV files of *directory* into the CRM; one transaction for each file.

    Raises:
        TransientFault: The database is locked or away.
    """
    migrate(url)
    return [_import_file(url, layout, directory, tenant) for layout in LAYOUTS]


def export_directory(url: str, directory: Path, *, tenant: str = "default") -> dict[str, int]:
    """Write all records of *tenant* to CSV files in *directory*; return how many each file has."""
    migrate(url)
    directory.mkdir(parents=True, exist_ok=True)
    with reading(url) as session:
        return {layout.file: _export_file(session, layout, directory, tenant) for layout in LAYOUTS}


def _export_file(session: Session, layout: Layout, directory: Path, tenant: str) -> int:
    entity = ENTITIES[layout.entity]
    query = select(entity.table).where(entity.table.tenant == tenant).order_by(entity.table.id)
    return write_rows(layout, directory, (entity.view(record) for record in session.scalars(query)))


def _import_file(url: str, layout: Layout, directory: Path, tenant: str) -> Imported:
    report = Imported(layout.file)
    caller = Caller(tenant, "import", f"import:{layout.file}")
    seen: set[str] = set()
    with writing(url) as session, session.no_autoflush:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        for number, row in read_rows(layout, directory):
            try:
                if row.get("id") in seen:
                    raise InputFault(f"id {row['id']!r} stands twice in the file")
                _import_row(session, layout, row, caller, report)
            except (InputFault, ValueError) as exc:
                report.refused.append(f"{layout.file} line {number}: {exc}")
            seen.add(row.get("id") or "")
    return report


def _import_row(session: Session, layout: Layout, row: Mapping[str, Any], caller: Caller, report: Imported) -> None:
    entity, now = ENTITIES[layout.entity], datetime.now(UTC)
    fields = [name for name in row if name in entity.fields]
    report.ignored |= set(row) - set(fields) - _KEYS
    data = {name: _typed(entity, name, row[name]) for name in fields if row[name] is not None}
    record_id, version = row.get("id"), int(row.get("version") or 1)
    if not record_id:
        raise InputFault("id is required")
    record = session.get(entity.table, (caller.tenant, record_id))
    if record is None:
        begun = _moment(row.get("created_at") or row.get(layout.created or "")) or now
        create_record(
            session,
            entity,
            data,
            caller=caller,
            now=now,
            record_id=record_id,
            action="import",
            version=version,
            created_at=begun,
        )
        report.created += 1
        return
    values = complete(entity, entity.values(record), checked(entity, data), now)
    if all(getattr(record, name) == value for name, value in values.items()):
        report.unchanged += 1
    elif entity.writable and version <= record.version:
        report.kept += 1
    else:
        update_record(
            session,
            entity,
            record_id,
            data,
            caller=caller,
            now=now,
            action="import",
            version=max(version, record.version + 1),
        )
        report.updated += 1


def _typed(entity: Entity, name: str, value: Any) -> Any:
    kind = entity.table.__table__.columns[name].type.python_type
    if kind is bool:
        if value not in {"true", "false"}:
            raise InputFault(f"{name} must be true or false, got {value!r}")
        return value == "true"
    if kind is int:
        return int(value)
    return value


def _moment(value: str | None) -> datetime | None:
    if not value:
        return None
    if "T" in value:
        return datetime.fromisoformat(value).astimezone(UTC)
    return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
