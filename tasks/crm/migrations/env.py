"""Runs the revisions on the connection that `tasks.crm.migrate` gives; one transaction for all of them."""

from __future__ import annotations

from alembic import context

from tasks.crm.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
