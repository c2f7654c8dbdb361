"""Asks the index whether it answers."""

from __future__ import annotations

from salesboost.faults import ToolFault
from tasks.knowledge.catalogue import snapshot
from tasks.knowledge.locations import DEFAULT_KB
from tasks.knowledge.search import search


def probe(kb: str = DEFAULT_KB) -> None:
    """Search the knowledge base for the beginning of its newest passage, the way a caller would.

    Raises:
        NotFoundFault: It does not exist.
        ToolFault: It holds nothing, or does not find what it holds.
    """
    with snapshot(kb) as connection:
        row = connection.execute("SELECT text FROM chunk ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        raise ToolFault(f"knowledge base {kb} holds no document: add some with: salesboost kb add FOLDER --kb {kb}")
    if not search(row[0][:100], kb=kb, top_k=1).hits:
        raise ToolFault(f"knowledge base {kb} does not find a passage that it holds: add its documents again")
