"""Brings a CRM database to this version's schema; safe when many processes start at once.

One process migrates and the others wait: behind a lock file beside an SQLite file, behind an advisory lock on
PostgreSQL. A database that is up to date costs one query.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from tasks.crm.database import engine_for, translated

HEAD: Final = "0002"
"""The newest revision in `migrations/versions`; a test holds the two together."""

_ADVISORY_LOCK: Final = 0x5A1E5B00
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_ready: Final[set[str]] = set()


def migrate(url: str) -> None:
    """Create or upgrade the schema of the database at *url*. Does nothing when it is up to date.

    Raises:
        TransientFault: The database is locked or away.
    """
    if url in _ready:
        return
    engine = engine_for(url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).resolve().parent.mkdir(parents=True, exist_ok=True)
    with translated():
        if _revision(engine) != HEAD:
            with _alone(engine):
                if _revision(engine) != HEAD:
                    _upgrade(engine)
    _ready.add(url)


def _revision(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except (OperationalError, ProgrammingError) as exc:
        if "alembic_version" not in str(exc.orig):
            raise
        return None


@contextmanager
def _alone(engine: Engine) -> Generator[None]:
    if engine.dialect.name == "sqlite":
        path = Path(str(engine.url.database)).resolve()
        with path.with_name(f"{path.name}.migrate.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Migrations of another process may take longer than the time-outs of calls.
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
            connection.invalidate()


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    if engine.dialect.name == "sqlite":
        # On the driver's connection, because the mode cannot change in a transaction.
        driver = engine.raw_connection()
        driver.cursor().execute("PRAGMA journal_mode=WAL")
        driver.close()
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(crm_writing=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
