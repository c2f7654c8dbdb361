"""Reads PDF: a section for each page, so that a citation can name it."""

from __future__ import annotations

import io
import logging
import re

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from tasks.knowledge.documents import Section, UnreadableDocument
from tasks.knowledge.readers.plain import paragraphs

# What it has to say of a damaged file is reported with the file; of the others nobody needs to know.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read(data: bytes) -> list[Section]:
    """Read a PDF file. One that is protected by a password or holds pictures of text only is unreadable."""
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocument("the PDF is protected by a password")
        title = " ".join((reader.metadata.title or "").split()) if reader.metadata else ""
        pages = [_tidy(page.extract_text()) for page in reader.pages]
    except PyPdfError as exc:
        raise UnreadableDocument(f"the PDF is damaged: {exc}") from exc
    if pages and not any(pages):
        raise UnreadableDocument("the PDF holds no text, only pictures: run text recognition on it first")
    headings = (title,) if title else ()
    return [Section(paragraphs(text), headings, page=number) for number, text in enumerate(pages, start=1) if text]


def _tidy(text: str) -> str:
    """Join words that were divided at the end of a line."""
    return re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text.replace("\0", "")).strip()
