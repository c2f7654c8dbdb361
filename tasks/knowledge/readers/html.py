"""Reads HTML: a section for each heading, without scripts, navigation and other furniture of a page."""

from __future__ import annotations

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from tasks.knowledge.documents import Section
from tasks.knowledge.readers.plain import decode
from tasks.knowledge.sections import Outline

_FURNITURE: Final = "script, style, noscript, template, svg, canvas, iframe, nav, footer, aside, form, button, dialog"
_INLINE_TAGS: Final = """
    a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q s samp small span strong sub sup time tt u
    var wbr
"""
_INLINE: Final = frozenset(_INLINE_TAGS.split())
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}


def read(data: bytes) -> list[Section]:
    """Read an HTML file: its ``main`` element when it has one, else its body.

    The page's title stands for a missing ``h1``.
    """
    tree = LexborHTMLParser(decode(data))
    for node in tree.css(_FURNITURE):
        node.decompose()
    page = _Page()
    title = tree.css_first("title")
    if title is not None and tree.css_first("h1") is None:
        page.outline.heading(1, title.text())
    root = tree.css_first("main") or tree.body
    if root is not None:
        page.walk(root)
    return page.outline.sections()


class _Page:
    """Walks the elements in reading order; text between two boundaries of block elements is one block."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._words: list[str] = []

    def walk(self, root: LexborNode) -> None:
        # A stack instead of recursion: a hostile page can be nested deeper than Python's stack. A string on it
        # is the end of a block element of that tag.
        open_blocks = ["body"]
        stack: list[LexborNode | str | None] = [root.child]
        while stack:
            node = stack.pop()
            if isinstance(node, str):
                self._flush(node)
                open_blocks.pop()
            elif node is not None:
                stack.append(node.next)
                tag = node.tag or ""
                if tag == "-text":
                    self._words.append(re.sub(r"\s+", " ", node.text_content or ""))
                elif tag == "br":
                    self._words.append("\n")
                elif tag == "table":
                    self._flush(open_blocks[-1])
                    self.outline.table([[cell.text() for cell in row.css("th, td")] for row in node.css("tr")])
                elif tag in _INLINE:
                    stack.append(node.child)
                elif tag[:1].isalpha():
                    self._flush(open_blocks[-1])
                    open_blocks.append(tag)
                    stack += (tag, node.child)
        self._flush("body")

    def _flush(self, tag: str) -> None:
        text = "\n".join(filter(None, (" ".join(line.split()) for line in "".join(self._words).split("\n"))))
        self._words.clear()
        if tag in _HEADINGS:
            self.outline.heading(_HEADINGS[tag], text)
        elif text:
            self.outline.block(f"- {text}" if tag == "li" else text)
