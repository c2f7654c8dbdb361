"""Turns the bytes of a file into sections; one module for each format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from tasks.knowledge.documents import Section, UnreadableDocument

Reader = Callable[[bytes], list[Section]]
"""Raises `UnreadableDocument`, or whatever its library raises, for bytes that it cannot read."""

_MODULES: Final = {
    ".csv": "delimited",
    ".docx": "word",
    ".htm": "html",
    ".html": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".pdf": "pdf",
    ".text": "plain",
    ".tsv": "delimited",
    ".txt": "plain",
}

SUFFIXES: Final = frozenset(_MODULES)
"""The suffixes, in lower case, of the files that can be read."""


def read(suffix: str, data: bytes) -> list[Section]:
    """Return the sections of a file.

    Formats' libraries are imported when a file of the format is met: a worker that only searches needs none.

    Raises:
        UnreadableDocument: No reader knows the suffix, or the file holds no text.
    """
    name = _MODULES.get(suffix.lower())
    if name is None:
        raise UnreadableDocument(f"files of type {suffix or 'none'} are not read: {', '.join(sorted(SUFFIXES))} are")
    reader = cast(Reader, import_module(f"{__name__}.{name}").read)
    sections = reader(data)
    if not sections:
        raise UnreadableDocument("the file holds no text")
    return sections
