"""The knowledge bases there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from salesboost.faults import NotFoundFault
from tasks.knowledge import store
from tasks.knowledge.connections import reading, writing
from tasks.knowledge.locations import kb_file, kb_files


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """What a knowledge base holds.

    Attributes:
        name: Its name.
        documents: Documents in it.
        chunks: Passages that can be found.
        embedded: Of these, the ones that can be found by meaning too.
        since: When its first document was added, in UTC (ISO 8601).
        size: Of its file, in bytes.
    """

    name: str
    documents: int
    chunks: int
    embedded: int
    since: str
    size: int


def list_kbs() -> list[KnowledgeBase]:
    """Return the knowledge bases, by name.

    Raises:
        TransientFault: One of them cannot be read now.
    """
    found: list[KnowledgeBase] = []
    for name, file in kb_files().items():
        with reading(file) as connection:
            since, *counts = connection.execute(
                "SELECT exists_since, (SELECT count(*) FROM document), (SELECT count(*) FROM chunk), "
                "(SELECT count(*) FROM embedding) FROM meta"
            ).fetchone()
            if since is not None:
                documents, chunks, embedded = counts
                found.append(KnowledgeBase(name, documents, chunks, embedded, since, file.stat().st_size))
    return found


def remove(kb: str) -> int:
    """Remove a knowledge base and return how many documents it had.

    Searches that are under way end on what they began with. The file stays, empty: another process may have it open,
    and SQLite forbids to delete a file under it.

    Raises:
        NotFoundFault: There is no such knowledge base.
    """
    with snapshot(kb):
        pass
    with writing(kb_file(kb)) as connection:
        return store.clear(connection)


@contextmanager
def snapshot(kb: str) -> Generator[sqlite3.Connection]:
    """Lend a connection to *kb* through which all is read as of one moment.

    Raises:
        NotFoundFault: There is no such knowledge base.
        TransientFault: It cannot be read now.
    """
    file = kb_file(kb)
    if not file.is_file():
        raise _missing(kb)
    with reading(file) as connection:
        if connection.execute("SELECT exists_since FROM meta").fetchone()[0] is None:
            raise _missing(kb)
        yield connection


def _missing(kb: str) -> NotFoundFault:
    names = ", ".join(known.name for known in list_kbs())
    return NotFoundFault(
        f"kb must be a knowledge base that exists ({names or 'there is none yet'}), got {kb!r}; "
        f"make it with: salesboost kb add FOLDER --kb {kb}"
    )
