"""Reads plain text: one section, a block for each paragraph."""

from __future__ import annotations

import codecs
import re
from typing import Final

from tasks.knowledge.documents import Block, Section, UnreadableDocument

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes) -> str:
    r"""Return the text of *data*, its lines ended by ``\n``.

    A byte order mark decides; without one it is UTF-8, and what is not UTF-8 is taken for Windows-1252, which is
    what spreadsheets and old editors write.

    Raises:
        UnreadableDocument: The bytes are no text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise UnreadableDocument("the file is binary, not text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def paragraphs(text: str) -> tuple[Block, ...]:
    """Return the parts of *text* between blank lines."""
    return tuple(Block(part.strip("\n")) for part in re.split(r"\n\s*\n", text) if part.strip())


def read(data: bytes) -> list[Section]:
    """Read a text file."""
    blocks = paragraphs(decode(data))
    return [Section(blocks)] if blocks else []
