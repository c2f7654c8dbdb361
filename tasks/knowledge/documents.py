"""What a document is while it is on its way into the index."""

from __future__ import annotations

from dataclasses import dataclass


class UnreadableDocument(Exception):
    """Raised by a reader for a file that it cannot make sense of; the message says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list or a table.

    Attributes:
        text: The text; of a table the rows, one a line.
        header: The heading line or lines of a table, which each part of it repeats; empty for prose.
    """

    text: str
    header: str = ""

    @property
    def whole(self) -> str:
        """The text under its header."""
        return f"{self.header}\n{self.text}" if self.header else self.text


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, or on one page.

    Attributes:
        blocks: In reading order.
        headings: From the outermost to the section's own; empty before the first heading.
        page: Counted from 1; None where the format has no pages.
    """

    blocks: tuple[Block, ...]
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage that is found and cited as one."""

    text: str
    heading: str = ""
    page: int | None = None

    @property
    def passage(self) -> str:
        """What is embedded: the text under the headings that say what it is about."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text
