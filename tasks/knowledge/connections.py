"""Connections to a knowledge base's file, for any number of processes and threads of one host.

The file is in WAL mode: a reader sees the state at its first read, whatever writers do meanwhile, and never waits for
them; writers take turns, each waiting up to `BUSY_SECONDS`. WAL needs shared memory, so that the file must lie on a
disk of the host and not on a network file system.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from salesboost.faults import ToolFault, TransientFault

BUSY_SECONDS: Final = 30.0
_READER_SECONDS: Final = 5.0
"""A reader waits only while SQLite recovers the file after a crash."""

SCHEMA_VERSION: Final = 1

_Key = tuple[int, Path, int, int]
# Connections that no reader uses, by process, path and inode. A connection must not cross a fork, nor be closed by
# the child: the parent's lie under its process id and are left alone.
_idle: dict[_Key, deque[sqlite3.Connection]] = {}


@contextmanager
def reading(file: Path) -> Generator[sqlite3.Connection]:
    """Lend a connection inside a read transaction: all that is read through it is of one moment.

    Raises:
        FileNotFoundError: There is no such file.
        TransientFault: The file could not be read now.
        ToolFault: The file is damaged, or of another version.
    """
    stat = file.stat()
    key = (os.getpid(), file, stat.st_dev, stat.st_ino)
    with _translated(file):
        connection = _borrow(key)
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        _idle.setdefault(key, deque()).append(connection)


def _borrow(key: _Key) -> sqlite3.Connection:
    # list: another thread may add a key meanwhile.
    for stale in [other for other in list(_idle) if other[:2] == key[:2] and other != key]:
        for connection in _idle.pop(stale, ()):
            connection.close()
    with suppress(KeyError, IndexError):
        return _idle[key].pop()
    connection = _connect(key[1], _READER_SECONDS)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def writing(file: Path) -> Generator[sqlite3.Connection]:
    """Open a connection for writers; the file is made when it is not there.

    Raises:
        TransientFault: The file could not be opened now.
        ToolFault: The file is damaged, or of another version.
    """
    with _translated(file):
        if not file.exists():
            _create(file)
        connection = _connect(file, BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def turn(connection: sqlite3.Connection) -> Generator[None]:
    """Take the writers' turn: what is done inside is seen by others at its end and as a whole, or never."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _connect(file: Path, seconds: float) -> sqlite3.Connection:
    # mode=rw: a file that is gone is an error, not a new empty one. Connections move between threads, and are used
    # by one at a time.
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise ToolFault(
                f"{file.name} has version {version}, this release reads {SCHEMA_VERSION}: "
                "move the file away and add the documents again"
            )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(file: Path) -> None:
    """Make an empty knowledge base beside *file* and put it in place, unless another process was faster.

    No process ever opens a file that is half made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.stem}.{uuid.uuid4().hex}")
    try:
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(files("tasks.knowledge").joinpath("schema.sql").read_text(encoding="utf-8"))
            connection.execute("INSERT INTO meta (identity) VALUES (?)", (uuid.uuid4().hex,))
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        finally:
            connection.close()
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _translated(file: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise TransientFault(f"knowledge base {file.stem} cannot be reached now: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise ToolFault(f"{file.name} is damaged ({exc}): move the file away and add the documents again") from exc
