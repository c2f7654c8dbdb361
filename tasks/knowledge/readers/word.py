"""Reads DOCX: a section for each heading, paragraphs and tables in their order."""

from __future__ import annotations

import io
import zipfile
from typing import Final

import docx
from docx.table import Table

from tasks.knowledge.documents import Section, UnreadableDocument
from tasks.knowledge.sections import Outline

MAX_UNPACKED: Final = 200 * 2**20
"""Bytes that a DOCX, which is a ZIP archive, may have when unpacked; more is a bomb or no document for sellers."""


def read(data: bytes) -> list[Section]:
    """Read a DOCX file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise UnreadableDocument(f"the DOCX is {unpacked} bytes when unpacked, at most {MAX_UNPACKED} are read")
        document = docx.Document(io.BytesIO(data))
    except (zipfile.BadZipFile, KeyError, ValueError) as exc:
        raise UnreadableDocument(f"the DOCX is damaged: {exc}") from exc
    outline = Outline()
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            outline.table([[cell.text for cell in row.cells] for row in part.rows])
            continue
        style = (part.style.name if part.style else None) or ""
        if level := _level(style):
            outline.heading(level, part.text)
        else:
            outline.block(f"- {part.text}" if style.startswith("List") and part.text.strip() else part.text)
    return outline.sections()


def _level(style: str) -> int:
    """Return a heading style's level, 0 for any other style."""
    if style == "Title":
        return 1
    name, _, number = style.rpartition(" ")
    return int(number) if name == "Heading" and number.isdecimal() else 0
