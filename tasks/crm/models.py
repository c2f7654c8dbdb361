"""The tables. A record's key is (tenant, id), so that no record can refer to another tenant's."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKeyConstraint, Index, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tasks.crm.columns import ExactNumber, UtcDateTime


class Base(DeclarativeBase):
    """Base of all tables; constraints have the same names on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it so
        str: String(),
        Decimal: ExactNumber(),
        datetime: UtcDateTime(),
        list[dict[str, Any]]: JSON(),
        dict[str, Any]: JSON(none_as_null=True),
    }


class Record(Base):
    """What every record has: its key, a version that rises with each change, and when it came and changed."""

    __abstract__ = True

    tenant: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


def _listed() -> Index:
    return Index(None, "tenant", "created_at", "id")


def _of_customer(*further: ForeignKeyConstraint) -> tuple[Index | ForeignKeyConstraint, ...]:
    return (
        _listed(),
        Index(None, "tenant", "customer_id", "created_at"),
        ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.id"]),
        *further,
    )


def _of_deal() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "deal_id"], ["deals.tenant", "deals.id"])


class Customer(Record):
    """A company with the person we talk to."""

    __tablename__ = "customers"

    company: Mapped[str]
    contact_name: Mapped[str | None]
    contact_role: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    phone_type: Mapped[str | None]
    country: Mapped[str | None]
    region: Mapped[str | None]
    city: Mapped[str | None]
    time_zone: Mapped[str | None]
    language: Mapped[str | None]
    currency: Mapped[str | None]
    industry: Mapped[str | None]
    employees: Mapped[int | None]
    segment: Mapped[str | None]
    lifecycle_stage: Mapped[str]
    marketing_consent: Mapped[bool]
    sms_consent: Mapped[bool]
    consent_updated_at: Mapped[date | None]
    owner: Mapped[str | None]
    notes: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_listed(),)


class Deal(Record):
    """A chance of a sale. Its status follows from its stage."""

    __tablename__ = "deals"

    customer_id: Mapped[str]
    name: Mapped[str]
    owner: Mapped[str | None]
    stage: Mapped[str]
    status: Mapped[str]
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None]
    discount_rate: Mapped[Decimal | None]
    discount_approved_by: Mapped[str | None]
    competitor: Mapped[str | None]
    close_reason: Mapped[str | None]
    opened_at: Mapped[date | None]
    expected_close: Mapped[date | None]
    closed_at: Mapped[date | None]

    __table_args__ = _of_customer()


class Interaction(Record):
    """A message, a call or a meeting with a customer."""

    __tablename__ = "interactions"

    customer_id: Mapped[str]
    deal_id: Mapped[str | None]
    occurred_at: Mapped[datetime]
    channel: Mapped[str]
    direction: Mapped[str]
    stage: Mapped[str | None]
    staff: Mapped[str | None]
    text: Mapped[str] = mapped_column(Text)

    __table_args__ = _of_customer(_of_deal())


class Order(Record):
    """What a customer ordered; *lines* hold decimals as strings."""

    __tablename__ = "orders"

    customer_id: Mapped[str]
    deal_id: Mapped[str | None]
    ordered_on: Mapped[date]
    status: Mapped[str]
    currency: Mapped[str]
    total: Mapped[Decimal]
    lines: Mapped[list[dict[str, Any]]]

    __table_args__ = _of_customer(_of_deal())


class Product(Record):
    """A product of the price book; its id is the SKU."""

    __tablename__ = "products"

    name: Mapped[str]
    family: Mapped[str | None]
    unit: Mapped[str | None]
    unit_price: Mapped[Decimal]
    currency: Mapped[str]
    tax_class: Mapped[str | None]
    tier: Mapped[str | None]
    discountable: Mapped[bool]
    status: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_listed(),)


class AuditEntry(Base):
    """Who changed what, when, from what, to what. Never changed, never deleted."""

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    tenant: Mapped[str]
    role: Mapped[str]
    tool_call_id: Mapped[str]
    job_id: Mapped[str]
    action: Mapped[str]
    entity: Mapped[str]
    record_id: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any]]

    __table_args__ = (Index(None, "tenant", "entity", "record_id", "id"),)


class AppliedCall(Base):
    """The answer to a tool call that wrote, kept so that its repetition is answered and not done again."""

    __tablename__ = "applied_calls"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    tool_call_id: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    result: Mapped[dict[str, Any] | None]
    at: Mapped[datetime]


class SearchDocument(Base):
    """The text of a record that search sees; kept by triggers (see the migrations), never written here."""

    __tablename__ = "search_documents"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    tenant: Mapped[str]
    entity: Mapped[str]
    record_id: Mapped[str]
    customer_id: Mapped[str | None]
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index(None, "tenant", "entity", "record_id", unique=True),)


class Secret(Base):
    """A random key of this database, such as the one that signs cursors."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
