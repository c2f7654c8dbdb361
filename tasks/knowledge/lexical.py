"""Ranks chunks by the words they share with the query: BM25 over stemmed words (FTS5, ``porter unicode61``).

A chunk need not hold every word; rare words count more, and words of its headings twice.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from typing import Final

MAX_WORDS: Final = 64
"""Distinct words of a query that are looked for; what follows them is passed over."""

_READ_CHARS: Final = 20_000
_WORD: Final = re.compile(r"[^\W_]+")

# Words that say how something is asked and not what about. BM25 gives the frequent ones next to no weight, but to the
# first word of a question far too much where few passages are questions; and without them a query over 10,000 chunks
# takes half the time. The first two lines are the stop words of Lucene's EnglishAnalyzer.
_STOP_WORDS: Final = """
    a an and are as at be but by for if in into is it no not of on or such that the their then there these they this
    to was will with
    am been did do does had has have i me my our us we you your can could may might must shall should would
    how what when where which who whom whose why
"""
_STOP: Final = frozenset(_STOP_WORDS.split())


def words(query: str) -> list[str]:
    """Return the words that *query* is searched by, each once: none when it holds nothing but signs.

    A query of stop words alone is searched by them.
    """
    text = unicodedata.normalize("NFC", query[:_READ_CHARS].lower())
    found = list(dict.fromkeys(_WORD.findall(text)))
    return ([word for word in found if word not in _STOP] or found)[:MAX_WORDS]


def rank(connection: sqlite3.Connection, query: str, depth: int) -> list[tuple[int, float]]:
    """Return the best *depth* chunks as (id, BM25 score), the higher the better, equal ones by id."""
    looked_for = words(query)
    if not looked_for:
        return []
    # Quoted, a word is a string to FTS5 and never an operator (https://sqlite.org/fts5.html, 3).
    match = " OR ".join(f'"{word}"' for word in looked_for)
    # bm25() itself: ordering by FTS5's hidden column `rank` takes a third longer here.
    rows = connection.execute(
        "SELECT rowid, bm25(words, 2.0, 1.0) AS score FROM words WHERE words MATCH ? ORDER BY score LIMIT ?",
        (match, depth),
    )
    return sorted(((chunk_id, -score) for chunk_id, score in rows), key=lambda found: (-found[1], found[0]))
