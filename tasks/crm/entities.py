"""The kinds of records: where each is stored, what it may hold, and what follows from what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from tasks.crm import models, records
from tasks.crm.reply import RecordView
from tasks.crm.request import EntityName


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of record.

    Attributes:
        prefix: Begins the ids that are made here.
        filters: The fields that a listing can be narrowed by.
        writable: False for what comes by import only.
    """

    name: EntityName
    table: type[models.Record]
    data: type[records.RecordData]
    prefix: str
    filters: frozenset[str]
    writable: bool = True

    @property
    def fields(self) -> list[str]:
        """The names of the fields that can be written."""
        return list(self.data.model_fields)

    def values(self, record: models.Record) -> dict[str, Any]:
        """Return the writable fields of *record*."""
        return {name: getattr(record, name) for name in self.fields}

    def view(self, record: models.Record) -> RecordView:
        """Return *record* as JSON."""
        first = ["id", "version", "created_at", "updated_at"]
        columns = [column.key for column in self.table.__table__.columns]
        names = first + [name for name in columns if name not in {*first, "tenant"}]
        return {"entity": self.name} | {name: _jsonable(getattr(record, name)) for name in names}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value


ENTITIES: Final[Mapping[EntityName, Entity]] = {
    entity.name: entity
    for entity in (
        Entity(
            "customer",
            models.Customer,
            records.CustomerData,
            "C",
            frozenset(
                {"country", "industry", "language", "lifecycle_stage", "marketing_consent", "owner"}
                | {"phone", "email", "segment", "sms_consent", "city", "company"}
            ),
        ),
        Entity(
            "deal",
            models.Deal,
            records.DealData,
            "D",
            frozenset({"competitor", "currency", "owner", "stage", "status"}),
        ),
        Entity(
            "interaction",
            models.Interaction,
            records.InteractionData,
            "I",
            frozenset({"channel", "deal_id", "direction", "staff", "stage"}),
        ),
        Entity(
            "order",
            models.Order,
            records.OrderData,
            "O",
            frozenset({"currency", "deal_id", "status"}),
            writable=False,
        ),
        Entity(
            "product",
            models.Product,
            records.ProductData,
            "P",
            frozenset({"currency", "discountable", "family", "status", "tax_class", "tier"}),
            writable=False,
        ),
    )
}


def merged(entity: Entity, before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay *changes* over the fields *before*; a deal that is reopened is not closed any more."""
    values = {**before, **changes}
    if entity.name == "deal" and "closed_at" not in changes and not str(values.get("stage", "")).startswith("closed_"):
        values["closed_at"] = None
    return values


def complete(entity: Entity, before: Mapping[str, Any], values: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return checked *values* with what follows from them.

    A deal's status follows from its stage, and closing it dates it; a changed consent is dated; an
    interaction without a time happened now.
    """
    values = dict(values)
    if entity.name == "deal":
        closed = {"closed_won": "won", "closed_lost": "lost"}.get(values["stage"])
        values["status"] = closed or "open"
        values["opened_at"] = values["opened_at"] or now.date()
        if closed and values["closed_at"] is None:
            values["closed_at"] = now.date()
    elif entity.name == "interaction":
        values["occurred_at"] = values["occurred_at"] or now
    elif entity.name == "customer":
        consents = ("marketing_consent", "sms_consent")
        given = any(values[name] != before.get(name, False) for name in consents)
        if given and values["consent_updated_at"] == before.get("consent_updated_at"):
            values["consent_updated_at"] = now.date()
    return values
