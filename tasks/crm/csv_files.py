"""How records lie in CSV files: one file for each entity, the same for import and export.

Text is UTF-8 with a header; an empty value is none; an order takes one row for each of its lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tasks.crm.request import EntityName


@dataclass(frozen=True, slots=True)
class Layout:
    """The file of one entity.

    Attributes:
        names: Columns whose name differs from the record's.
        created: The column that says when a record began, for those that have no created_at.
        lines: Columns that do not belong to `lines` of an order; None where rows are records.
    """

    entity: EntityName
    file: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    created: str | None = None
    lines: frozenset[str] | None = None


LAYOUTS: Final = (
    Layout("product", "products.csv", {"sku": "id"}),
    Layout("customer", "customers.csv"),
    Layout("deal", "deals.csv", created="opened_at"),
    Layout("interaction", "interactions.csv", created="occurred_at"),
    Layout(
        "order",
        "orders.csv",
        {"order_id": "id", "order_total": "total"},
        created="ordered_on",
        lines=frozenset(
            {"id", "version", "created_at", "updated_at"}
            | {"customer_id", "deal_id", "ordered_on", "status", "currency", "total"}
        ),
    ),
)
"""In the order in which records refer to each other."""


def read_rows(layout: Layout, directory: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of the entity's file; nothing when there is none."""
    path = directory / layout.file
    if not path.exists():
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = ((reader.line_num, _renamed(row, layout.names)) for row in reader)
        if layout.lines is None:
            yield from rows
            return
        for _, group in groupby(rows, key=lambda numbered: numbered[1].get("id")):
            yield _gathered(list(group), layout.lines)


def _renamed(row: Mapping[str | None, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(column, column): value or None for column, value in row.items() if column is not None}


def _gathered(rows: Sequence[tuple[int, dict[str, Any]]], own: frozenset[str]) -> tuple[int, dict[str, Any]]:
    number, first = rows[0]
    record = {name: value for name, value in first.items() if name in own}
    lines = [{name: value for name, value in row.items() if name not in own and value} for _, row in rows]
    return number, record | {"lines": lines}


def write_rows(layout: Layout, directory: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write the entity's file, replacing it at once; return the number of records."""
    outward = {inner: outer for outer, inner in layout.names.items()}
    rows: list[dict[str, Any]] = []
    count = 0
    for record in records:
        count += 1
        own = {outward.get(name, name): _text(value) for name, value in record.items() if name not in _UNWRITTEN}
        rows.extend(own | line for line in record.get("lines", [{}]))
    path = directory / layout.file
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(path)
    return count


_UNWRITTEN: Final = frozenset({"entity", "lines"})


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
