"""Records, audit trail, applied calls and secrets."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op

from tasks.crm.columns import ExactNumber, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _customers()
    _deals()
    _interactions()
    _orders()
    _products()
    _ledgers()


def _texts(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), nullable=nullable) for name in names]


def _record(table: str, *columns: sa.Column[Any] | sa.Constraint) -> None:
    op.create_table(
        table,
        *_texts("tenant", "id", nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("tenant", "id", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_tenant_created_at_id", table, ["tenant", "created_at", "id"])


def _key(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant", column], [f"{other}.tenant", f"{other}.id"], name=f"fk_{table}_tenant_{column}"
    )


def _customers() -> None:
    _record(
        "customers",
        *_texts("company", nullable=False),
        *_texts("contact_name", "contact_role", "email", "phone", "phone_type", "country", "region", "city"),
        *_texts("time_zone", "language", "currency", "industry"),
        sa.Column("employees", sa.Integer()),
        *_texts("segment"),
        *_texts("lifecycle_stage", nullable=False),
        sa.Column("marketing_consent", sa.Boolean(), nullable=False),
        sa.Column("sms_consent", sa.Boolean(), nullable=False),
        sa.Column("consent_updated_at", sa.Date()),
        *_texts("owner"),
        sa.Column("notes", sa.Text()),
    )


def _deals() -> None:
    _record(
        "deals",
        *_texts("customer_id", "name", nullable=False),
        *_texts("owner"),
        *_texts("stage", "status", nullable=False),
        sa.Column("amount", ExactNumber()),
        *_texts("currency"),
        sa.Column("discount_rate", ExactNumber()),
        *_texts("discount_approved_by", "competitor", "close_reason"),
        sa.Column("opened_at", sa.Date()),
        sa.Column("expected_close", sa.Date()),
        sa.Column("closed_at", sa.Date()),
        _key("deals", "customer_id", "customers"),
    )
    _index_by_customer("deals")


def _interactions() -> None:
    _record(
        "interactions",
        *_texts("customer_id", nullable=False),
        *_texts("deal_id"),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        *_texts("channel", "direction", nullable=False),
        *_texts("stage", "staff"),
        sa.Column("text", sa.Text(), nullable=False),
        _key("interactions", "customer_id", "customers"),
        _key("interactions", "deal_id", "deals"),
    )
    _index_by_customer("interactions")


def _orders() -> None:
    _record(
        "orders",
        *_texts("customer_id", nullable=False),
        *_texts("deal_id"),
        sa.Column("ordered_on", sa.Date(), nullable=False),
        *_texts("status", "currency", nullable=False),
        sa.Column("total", ExactNumber(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        _key("orders", "customer_id", "customers"),
        _key("orders", "deal_id", "deals"),
    )
    _index_by_customer("orders")


def _products() -> None:
    _record(
        "products",
        *_texts("name", nullable=False),
        *_texts("family", "unit"),
        sa.Column("unit_price", ExactNumber(), nullable=False),
        *_texts("currency", nullable=False),
        *_texts("tax_class", "tier"),
        sa.Column("discountable", sa.Boolean(), nullable=False),
        *_texts("status", nullable=False),
        sa.Column("description", sa.Text()),
    )


def _index_by_customer(table: str) -> None:
    op.create_index(f"ix_{table}_tenant_customer_id_created_at", table, ["tenant", "customer_id", "created_at"])


def _ledgers() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        *_texts("tenant", "role", "tool_call_id", "job_id", "action", "entity", "record_id", nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True)),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    columns = ["tenant", "entity", "record_id", "id"]
    op.create_index("ix_audit_entries_tenant_entity_record_id_id", "audit_entries", columns)
    op.create_table(
        "applied_calls",
        *_texts("tenant", "tool_call_id", "fingerprint", nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "tool_call_id", name="pk_applied_calls"),
    )
    secret_table = op.create_table(
        "secrets",
        *_texts("name", nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.bulk_insert(secret_table, [{"name": "cursor", "value": secrets.token_bytes(32)}])
