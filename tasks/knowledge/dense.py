"""Ranks chunks by how near their meaning is to the query's: the cosine of their embeddings, over all of them.

No approximate index: the product with 10,000 embeddings takes a few milliseconds and misses nothing.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from tasks.knowledge.embedder import Embedder
from tasks.knowledge.vectors import matrix, numpy

READ_CHARS: Final = 2_000
"""Characters of a query that can matter: the model reads 256 word pieces."""

MIN_COSINE: Final = 0.15
"""Below it texts have nothing in common. A guess; on Cranfield no ranking to depth 10 changes by it."""


def usable(connection: sqlite3.Connection, embedder: Embedder) -> bool:
    """Say whether the knowledge base has embeddings of the model."""
    found = connection.execute("SELECT 1 FROM embedding WHERE model = ? LIMIT 1", (embedder.model,))
    return found.fetchone() is not None


def direction(embedder: Embedder, query: str) -> Any:
    """Return the embedding of *query*. It needs no connection and may run beside what does."""
    return embedder.embed([query[:READ_CHARS]])[0]


def rank(connection: sqlite3.Connection, embedder: Embedder, direction: Any, depth: int) -> list[tuple[int, float]]:
    """Return the best *depth* chunks as (id, cosine with *direction*), equal ones by id."""
    known = matrix(connection, embedder)
    # einsum, because BLAS would share so small a product among threads that mostly wait for one another.
    cosines = numpy().einsum("ij,j->i", known.rows, direction)
    # A stable sort of the negated cosines leaves equal ones in the order of their ids.
    best = (-cosines).argsort(kind="stable")[:depth]
    return [(int(known.ids[at]), float(cosines[at])) for at in best if cosines[at] >= MIN_COSINE]
