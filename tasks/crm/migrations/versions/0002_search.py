"""Full-text search: one document for each record, kept by triggers, so that every writer keeps it.

SQLite indexes the documents with FTS5 (`porter unicode61`); PostgreSQL with a generated tsvector that holds
both the words as they are (names have no stop words) and their English stems.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# (entity, table, customer, words of the title, words of the body); columns are taken from the new row.
SOURCES = (
    (
        "customer",
        "customers",
        "id",
        ("id", "company", "contact_name"),
        (
            *("contact_role", "email", "phone", "country", "region", "city", "industry", "segment"),
            *("lifecycle_stage", "owner", "notes"),
        ),
    ),
    (
        "deal",
        "deals",
        "customer_id",
        ("id", "name"),
        ("customer_id", "stage", "status", "owner", "currency", "competitor", "close_reason"),
    ),
    (
        "interaction",
        "interactions",
        "customer_id",
        ("id",),
        ("customer_id", "deal_id", "channel", "direction", "stage", "staff", "text"),
    ),
    ("order", "orders", "customer_id", ("id",), ("customer_id", "deal_id", "status", "currency")),
    ("product", "products", None, ("id", "name"), ("family", "tax_class", "status", "description")),
)


def upgrade() -> None:
    """Create the documents, their index and the triggers."""
    op.create_table(
        "search_documents",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_documents"),
    )
    columns = ["tenant", "entity", "record_id"]
    name = "ix_search_documents_tenant_entity_record_id"
    op.create_index(name, "search_documents", columns, unique=True)
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _words(columns: tuple[str, ...]) -> str:
    return " || ' ' || ".join(f"coalesce(new.{column}, '')" for column in columns)


def _upsert(entity: str, customer: str | None, title: tuple[str, ...], body: tuple[str, ...]) -> str:
    of_customer = f"new.{customer}" if customer else "NULL"
    values = ", ".join(("new.tenant", f"'{entity}'", "new.id", of_customer, _words(title), _words(body)))
    parts = (
        "INSERT INTO search_documents (tenant, entity, record_id, customer_id, title, body) VALUES (",
        values,
        ") ON CONFLICT (tenant, entity, record_id) DO UPDATE SET customer_id = excluded.customer_id,",
        "title = excluded.title, body = excluded.body;",
    )
    return " ".join(parts)


def _delete(entity: str) -> str:
    parts = (
        "DELETE FROM search_documents WHERE tenant = old.tenant AND entity =",
        f"'{entity}'",
        "AND record_id = old.id;",
    )
    return " ".join(parts)


def _sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE crm_search USING fts5(title, body, content='search_documents', "
        "content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')"
    )
    add = "INSERT INTO crm_search (rowid, title, body) VALUES (new.id, new.title, new.body);"
    drop = "INSERT INTO crm_search (crm_search, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);"
    for event, action in (("insert", add), ("delete", drop), ("update", drop + add)):
        op.execute(f"CREATE TRIGGER search_documents_{event} AFTER {event} ON search_documents BEGIN {action} END")
    for entity, table, customer, title, body in SOURCES:
        upsert = _upsert(entity, customer, title, body)
        for event, action in (("insert", upsert), ("update", upsert), ("delete", _delete(entity))):
            op.execute(f"CREATE TRIGGER {table}_search_{event} AFTER {event} ON {table} BEGIN {action} END")


def _postgresql() -> None:
    # Its parser keeps addresses and numbers whole; with punctuation gone it splits as SQLite's does. Named
    # characters, because [:alnum:] means ASCII alone in a database with locale C.
    plain = r"regexp_replace({}, '[!-/:-@\[-`{{-~]+', ' ', 'g')"
    vectors = " || ".join(
        f"setweight(to_tsvector('{language}', {plain.format(column)}), '{weight}')"
        for column, weight in (("title", "A"), ("body", "D"))
        for language in ("simple", "english")
    )
    op.execute(f"ALTER TABLE search_documents ADD COLUMN document tsvector GENERATED ALWAYS AS ({vectors}) STORED")
    op.execute("CREATE INDEX ix_search_documents_document ON search_documents USING gin (document)")
    for entity, table, customer, title, body in SOURCES:
        upsert = _upsert(entity, customer, title, body)
        op.execute(
            f"CREATE FUNCTION {table}_search() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP = 'DELETE' THEN {_delete(entity)} RETURN old; END IF; {upsert} RETURN new; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_search AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_search()"
        )
