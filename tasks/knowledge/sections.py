"""Collects a document's blocks under its headings, for readers that meet them in reading order."""

from __future__ import annotations

from tasks.knowledge.documents import Block, Section


class Outline:
    """Takes headings and blocks as they come and gives sections."""

    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._blocks: list[Block] = []
        self._sections: list[Section] = []
        self._bare = False

    def heading(self, level: int, text: str) -> None:
        """Begin a section of *level*, 1 for the outermost. A heading without text is no heading."""
        text = " ".join(text.split())
        if not text:
            return
        self._close(level)
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))
        self._bare = True

    def block(self, text: str, header: str = "") -> None:
        """Add a block to the section that is open. One without text is left out."""
        if text.strip():
            self._blocks.append(Block(text.strip("\n"), header.strip("\n")))
            self._bare = False

    def table(self, rows: list[list[str]]) -> None:
        """Add a table whose first row is its header; cells become one line each, parted by ``|``."""
        lines = [" | ".join(" ".join(cell.split()) for cell in row) for row in rows if any(map(str.strip, row))]
        if len(lines) > 1:
            self.block("\n".join(lines[1:]), lines[0])
        else:
            self.block("\n".join(lines))

    def sections(self) -> list[Section]:
        """Return the sections so far."""
        self._close(0)
        return self._sections

    def _close(self, level: int) -> None:
        # A heading with nothing under it, not even deeper headings, is itself what there is to find.
        if self._bare and self._path[-1][0] >= level:
            self.block(self._path[-1][1])
        if self._blocks:
            self._sections.append(Section(tuple(self._blocks), tuple(text for _, text in self._path)))
            self._blocks = []
