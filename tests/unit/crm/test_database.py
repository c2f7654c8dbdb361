"""The schema, the engines, and what the database's errors become."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from salesboost.faults import TransientFault
from tasks.crm import database
from tasks.crm.audit import Caller
from tasks.crm.database import engine_for, parse_url
from tasks.crm.desk import serve
from tasks.crm.migrate import HEAD, migrate
from tasks.crm.models import Base
from tasks.crm.request import CrmRequest
from tasks.locations import REPOSITORY

LIST = CrmRequest(action="list")
CREATE = CrmRequest(action="create", data={"company": "Acme"})
CALLER = Caller("default", "sdr", "call")


def test_the_newest_revision_is_the_one_that_migrate_goes_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "tasks" / "crm" / "migrations"))

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_the_migrated_schema_is_that_of_the_models(crm_url: str) -> None:
    def ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
        return not (name or "").startswith(("crm_search", "ix_search_documents_document")) and name != "document"

    with engine_for(crm_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})

        assert compare_metadata(context, Base.metadata) == []


def test_a_new_sqlite_database_is_created_with_its_directory_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "crm.sqlite3"

    migrate(f"sqlite:///{path}")

    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    engine_for(f"sqlite:///{path}").dispose()


def test_a_forked_child_makes_its_own_engine(crm_url: str) -> None:
    # Given an engine with an open connection
    mine = engine_for(crm_url)
    serve(crm_url, LIST, CALLER)

    # When a child asks for its engine and uses it
    child = os.fork()
    if child == 0:
        own = engine_for(crm_url) is not mine
        works = serve(crm_url, LIST, CALLER).records == []
        os._exit(0 if own and works else 1)

    # Then it has another one, and the parent's still works
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine_for(crm_url) is mine
    assert serve(crm_url, LIST, CALLER).records == []


def test_a_locked_database_is_a_fault_that_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a database that somebody holds locked, and no patience
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path / 'crm.sqlite3'}"
    migrate(url)
    holder = sqlite3.connect(tmp_path / "crm.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    # When a call writes, then the fault is retryable and says that nothing was done
    with pytest.raises(TransientFault, match="database is locked") as caught:
        serve(url, CREATE, CALLER)
    assert caught.value.no_effect

    # And reading goes on, and writing too once the lock is gone
    assert serve(url, LIST, CALLER).records == []
    holder.execute("ROLLBACK")
    holder.close()
    assert serve(url, CREATE, CALLER).changed
    engine_for(url).dispose()


def test_a_database_out_of_reach_is_a_fault_that_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(TransientFault, match="locked or out of reach"):
        serve(f"postgresql://nobody@/nothing?host={tmp_path}", LIST, CALLER)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"crm\.sqlite3|file"):
        serve(f"sqlite:///{tmp_path / 'file' / 'crm.sqlite3'}", LIST, CALLER)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://me:secret@host/name"])
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="must be sqlite:///FILE or postgresql://") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
