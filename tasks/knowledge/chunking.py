"""Cuts sections into chunks.

A chunk never spans two sections: a heading is where an author changes the subject, and a chunk on two subjects is
found for neither. Sections are not merged either, however short: the answer under a question of a FAQ is exactly
what should be found.

- At most `MAX_CHARS`, some 250 word pieces of English: more than that the embedding model does not read (256), and
  a model that gets three chunks of this size still has room to think.
- A section that is longer is cut into parts of about the same size, so that none ends as a stub of a few words:
  between blocks where possible, else between items of a list, sentences, lines, words. Each part of a table repeats
  its header.
- A part of prose begins with up to `OVERLAP_CHARS` of the part before it, a sentence or two: what is said across
  the cut is then whole in one of them. Between blocks that need no cut, and rows of a table, nothing is repeated.

The three figures are guesses that are common in the field and measured on Cranfield alone
(`python -m tests.performance.retrieval`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tasks.knowledge.documents import Block, Chunk, Section

MAX_CHARS: Final = 1_300
OVERLAP_CHARS: Final = 150
_HEADER_SHARE: Final = 3

# Items of a list, sentences, lines, words.
_CUTS: Final = tuple(map(re.compile, (r"(?<=\n)(?=[ \t]*(?:[-*+•]|\d+[.)])\s)", r"(?<=[.!?])\s+", r"(?<=\n)", r"\s+")))


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    continues: bool = False
    """It goes on where the piece before it was cut."""


def chunk(sections: Iterable[Section], title: str = "") -> list[Chunk]:
    """Return the chunks of a document in reading order.

    Args:
        sections: The document.
        title: Stands for the headings of sections that have none.
    """
    chunks: list[Chunk] = []
    for section in sections:
        heading = _clean(" > ".join(section.headings) or title)
        blocks = [Block(_clean(block.text), _clean(block.header)) for block in section.blocks]
        chunks += [Chunk(text, heading, section.page) for text in map(str.strip, _parts(blocks)) if text]
    return chunks


def _clean(text: str) -> str:
    """Compose accents, as queries are, and drop what no database or model should be given."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "ignore").decode()).replace("\0", "")


def _parts(blocks: Iterable[Block]) -> Iterator[str]:
    pieces = [piece for block in blocks for piece in _pieces(block)]
    total = sum(len(piece.text) for piece in pieces)
    target = total / max(1, math.ceil(total / MAX_CHARS))
    part = ""
    for piece in pieces:
        glue = "" if piece.continues or not part else "\n\n"
        joined = part + glue + piece.text
        if part and (len(joined) > MAX_CHARS or len(part) >= target):
            yield part
            joined = _tail(part) + piece.text if piece.continues else piece.text
        part = joined
    if part:
        yield part


def _pieces(block: Block) -> Iterator[_Piece]:
    """Return *block* as it is when it fits a chunk, else what it can be cut into."""
    if not block.text.strip():
        return
    if len(block.whole) <= MAX_CHARS:
        yield _Piece(block.whole)
    elif block.header:
        header = block.header[: MAX_CHARS // _HEADER_SHARE]
        yield from (_Piece(f"{header}\n{rows}") for rows in _row_groups(block.text, MAX_CHARS - len(header) - 1))
    else:
        for number, text in enumerate(_cut(block.text, MAX_CHARS - OVERLAP_CHARS)):
            yield _Piece(text, continues=number > 0)


def _row_groups(text: str, limit: int) -> Iterator[str]:
    target = len(text) / math.ceil(len(text) / limit)
    group = ""
    for row in _cut(text, limit):
        if group and (len(group) + len(row) > limit or len(group) >= target):
            yield group.rstrip()
            group = ""
        group += row
    yield group.rstrip()


def _cut(text: str, limit: int, level: int = 0) -> Iterator[str]:
    """Yield *text* in parts of at most *limit*, cut at the first kind of `_CUTS` that will do."""
    if level == len(_CUTS):
        yield from (text[start : start + limit] for start in range(0, len(text), limit))
        return
    start = 0
    for end in (*(match.end() for match in _CUTS[level].finditer(text)), len(text)):
        part = text[start:end]
        if len(part) > limit:
            yield from _cut(part, limit, level + 1)
        elif part:
            yield part
        start = end


def _tail(part: str) -> str:
    """Return the last sentence or two of *part*, or its last words when a sentence is longer than the overlap."""
    tail = part.rstrip()[-OVERLAP_CHARS:]
    if len(part) > OVERLAP_CHARS:
        cut = next(filter(None, (pattern.search(tail) for pattern in _CUTS[1:])), None)
        tail = tail[cut.end() :] if cut else ""
    return tail + part[len(part.rstrip()) :] if tail else ""
