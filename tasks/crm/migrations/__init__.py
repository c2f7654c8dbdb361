"""The CRM's schema, revision by revision (alembic)."""
