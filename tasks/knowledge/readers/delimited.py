"""Reads CSV and TSV: one table whose first row names the columns."""

from __future__ import annotations

import csv
import io
from typing import Final

from tasks.knowledge.documents import Section, UnreadableDocument
from tasks.knowledge.readers.plain import decode
from tasks.knowledge.sections import Outline

_SAMPLE: Final = 16_384
_DELIMITERS: Final = ",;\t|"


def read(data: bytes) -> list[Section]:
    """Read a table of delimited values; comma, semicolon, tab and ``|`` are told apart by the first rows."""
    text = decode(data)
    try:
        dialect = csv.Sniffer().sniff(text[:_SAMPLE], _DELIMITERS)
    except csv.Error:
        dialect = csv.excel  # one column, or too little to tell
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), dialect))
    except csv.Error as exc:
        raise UnreadableDocument(f"the table is malformed: {exc}") from exc
    outline = Outline()
    outline.table(rows)
    return outline.sections()
