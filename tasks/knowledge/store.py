"""What is written to a knowledge base. Each function is one atomic step; readers see it whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tasks.knowledge.connections import turn
from tasks.knowledge.documents import Chunk

_EXIST: Final = "UPDATE meta SET exists_since = ? WHERE exists_since IS NULL"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the index knows of a document's state.

    Attributes:
        fingerprint: Changes when the document would have to be read again.
        model: The embedding model it was embedded with, None when it was not.
    """

    fingerprint: str
    model: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is ready to be published.

    Attributes:
        path: Absolute; its identity.
        source: How it is cited.
        state: What it was made of and with.
        chunks: In reading order.
        vectors: An embedding for each chunk, or none at all.
    """

    path: Path
    source: str
    state: Stored
    chunks: Sequence[Chunk]
    vectors: Sequence[bytes] = ()


def begin(connection: sqlite3.Connection) -> None:
    """Make the knowledge base exist, also while it has no documents."""
    connection.execute(_EXIST, (_now(),))


def stored(connection: sqlite3.Connection, path: Path) -> Stored | None:
    """Return the state of the document at *path*, None when the index has none."""
    row = connection.execute("SELECT fingerprint, model FROM document WHERE path = ?", (str(path),)).fetchone()
    return Stored(*row) if row else None


def publish(connection: sqlite3.Connection, document: Document, expected: Stored | None) -> bool:
    """Put *document* in the place of what the index has of it.

    Args:
        connection: From `connections.writing`.
        document: The document.
        expected: The state that the index had when the file was read.

    Returns:
        False when another process has published the document since then: read the file again.
    """
    with turn(connection):
        if stored(connection, document.path) != expected:
            return False
        connection.execute("DELETE FROM document WHERE path = ?", (str(document.path),))
        document_id = connection.execute(
            "INSERT INTO document (path, source, fingerprint, model, added_at) VALUES (?, ?, ?, ?, ?)",
            (str(document.path), document.source, document.state.fingerprint, document.state.model, _now()),
        ).lastrowid
        for ordinal, chunk in enumerate(document.chunks):
            chunk_id = connection.execute(
                "INSERT INTO chunk (document_id, ordinal, heading, page, text) VALUES (?, ?, ?, ?, ?)",
                (document_id, ordinal, chunk.heading, chunk.page, chunk.text),
            ).lastrowid
            if document.vectors:
                connection.execute(
                    "INSERT INTO embedding (chunk_id, model, vector) VALUES (?, ?, ?)",
                    (chunk_id, document.state.model, document.vectors[ordinal]),
                )
        begin(connection)  # it may have been removed since this ingestion began
        _changed(connection)
    return True


def under(connection: sqlite3.Connection, folder: Path) -> dict[Path, str]:
    """Return the documents in *folder* and below it, their sources by their paths."""
    rows = connection.execute("SELECT path, source FROM document ORDER BY path")
    return {path: source for text, source in rows if (path := Path(text)).is_relative_to(folder)}


def drop(connection: sqlite3.Connection, path: Path) -> bool:
    """Remove the document at *path*; False when there was none."""
    with turn(connection):
        dropped = connection.execute("DELETE FROM document WHERE path = ?", (str(path),)).rowcount > 0
        if dropped:
            _changed(connection)
    return dropped


def clear(connection: sqlite3.Connection) -> int:
    """Remove every document, let the knowledge base cease to exist, and return how many documents it had."""
    with turn(connection):
        dropped = connection.execute("DELETE FROM document").rowcount
        connection.execute("UPDATE meta SET exists_since = NULL")
        _changed(connection)
    connection.execute("VACUUM")
    return dropped


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET generation = generation + 1")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
