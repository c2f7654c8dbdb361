"""Every test of this package that takes `crm_url` runs on SQLite and, where it is installed, on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tasks.crm.audit import Caller
from tasks.crm.database import engine_for
from tasks.crm.desk import serve
from tasks.crm.migrate import migrate
from tasks.crm.reply import CrmReply
from tasks.crm.request import CrmRequest
from tests.unit.crm.postgres import PostgresServer, running_server

Ask = Callable[..., CrmReply]


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crm") / "migrated.sqlite3"
    migrate(f"sqlite:///{path}")
    engine_for(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    name = postgres.create()
    migrate(postgres.url(name))
    engine_for(postgres.url(name)).dispose()
    return name


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def crm_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """Give the URL of an empty CRM."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "crm.sqlite3")
        url = f"sqlite:///{tmp_path / 'crm.sqlite3'}"
    else:
        template = request.getfixturevalue("migrated_postgres")
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.create(template))
    yield url
    engine_for(url).dispose()


@pytest.fixture
def ask(crm_url: str) -> Ask:
    """Give a function that serves a request; each call has its own tool_call_id unless it names one."""
    numbers = iter(range(1_000_000))

    def ask(action: str, *, role: str = "sdr", tenant: str = "default", call: str = "", **payload: Any) -> CrmReply:
        request = CrmRequest.model_validate({"action": action, **payload})
        return serve(crm_url, request, Caller(tenant, role, call or f"call-{next(numbers)}", "job"))

    return ask
