"""One engine for each process and database, and the two ways to use it: reading and writing.

SQLite: WAL (set by the first migration), a busy time-out, foreign keys, and BEGIN IMMEDIATE for writing, so
that a writer waits for its turn when it begins and never fails half-way. PostgreSQL: time-outs below the
tool's own. SQLAlchemy's errors become faults here and nowhere else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from salesboost.faults import ConflictFault, InputFault, TransientFault

BUSY_SECONDS: Final = 10
"""How long a writer waits for SQLite's or a row's lock; below the tool's time-out of 30 s."""

_PASSING: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_PROTOCOL,
}
"""SQLite's primary result codes after which the same call may succeed later."""

_engines: Final[dict[tuple[int, str], Engine]] = {}


def parse_url(url: str) -> URL:
    """Return *url* with the driver that this project ships: psycopg 3 for PostgreSQL.

    Raises:
        ValueError: It names another kind of database, or no file.
    """
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise ValueError(
        "the CRM's URL must be sqlite:///FILE or postgresql://USER@HOST/NAME, "
        f"got {parsed.render_as_string(hide_password=True)!r}"
    )


def engine_for(url: str) -> Engine:
    """Return this process's engine for *url*; a forked child makes its own and leaves its parent's alone."""
    key = os.getpid(), url
    engine = _engines.get(key)
    if engine is None:
        for other in [known for known in _engines if known[0] != key[0]]:
            _engines.pop(other).dispose(close=False)
        # No lock, which a fork could leave held: an engine connects when it is used, so a second one is free.
        engine = _engines.setdefault(key, _make(parse_url(url)))
    return engine


def _make(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_recycle=1800,
            pool_timeout=BUSY_SECONDS,
            connect_args={
                "connect_timeout": 5,
                "application_name": "salesboost-crm",
                "options": f"-c statement_timeout=20s -c lock_timeout={BUSY_SECONDS}s -c timezone=UTC",
            },
        )
    engine = create_engine(url, pool_pre_ping=True, pool_timeout=BUSY_SECONDS, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Otherwise the sqlite3 module begins transactions by itself, and only before some statements.
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("crm_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def reading(url: str) -> Generator[Session]:
    """Give a session that sees one state of the database and changes nothing.

    Raises:
        TransientFault: The database is locked or away.
    """
    engine = engine_for(url)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with translated(), Session(engine) as session:
        yield session


@contextmanager
def writing(url: str) -> Generator[Session]:
    """Give a session whose changes are committed together, or not at all when the block raises.

    Raises:
        TransientFault: The database is locked or away. `no_effect` is False when the commit itself failed:
            then nobody knows whether it was done.
    """
    engine = engine_for(url).execution_options(crm_writing=True)
    with Session(engine, expire_on_commit=False) as session:
        with translated():
            session.begin()
            yield session
            session.flush()
        with translated(no_effect=False):
            session.commit()


@contextmanager
def translated(*, no_effect: bool = True) -> Generator[None]:
    """Turn SQLAlchemy's errors into faults."""
    try:
        yield
    except IntegrityError as exc:
        raise ConflictFault(f"the CRM refused the record, it contradicts another one: {exc.orig}") from exc
    except DataError as exc:
        raise InputFault(f"the CRM cannot store a value: {exc.orig}") from exc
    except PoolTimeout as exc:
        raise TransientFault("every connection to the CRM's database is busy", no_effect=no_effect) from exc
    except DBAPIError as exc:
        if not _passing(exc):
            raise
        raise TransientFault(f"the CRM's database is locked or out of reach: {exc.orig}", no_effect=no_effect) from exc


def _passing(exc: DBAPIError) -> bool:
    if isinstance(exc.orig, sqlite3.Error):
        code = getattr(exc.orig, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _PASSING
    return exc.connection_invalidated or isinstance(exc, (InterfaceError, OperationalError))
