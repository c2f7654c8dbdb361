"""Reads Markdown: a section for each heading. The source is kept as it is; models read Markdown well."""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tasks.knowledge.documents import Section
from tasks.knowledge.readers.plain import decode
from tasks.knowledge.sections import Outline

_FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_COMMENT: Final = re.compile(r"\A\s*<!--.*?-->\s*\Z", re.DOTALL)
_PARSER: Final = MarkdownIt("commonmark").enable("table")


def _plain(inline: Token) -> str:
    """Return the words of a heading without its markup."""
    return "".join(child.content or " " * (child.type == "softbreak") for child in inline.children or ())


def read(data: bytes) -> list[Section]:
    """Read a Markdown file. Metadata before the text and comments are left out."""
    text = _FRONT_MATTER.sub("", decode(data), count=1)
    lines = text.split("\n")
    tokens = _PARSER.parse(text)
    outline = Outline()
    for index, token in enumerate(tokens):
        if token.level or not token.map or token.nesting < 0:
            continue
        first, last = token.map
        source = "\n".join(lines[first:last]).rstrip()
        if token.type == "heading_open":
            outline.heading(int(token.tag[1:]), _plain(tokens[index + 1]))
        elif token.type == "table_open":
            head, _, rows = source.partition("\n")
            rule, _, rows = rows.partition("\n")
            outline.block(rows or head, f"{head}\n{rule}" if rows else "")
        elif not (token.type == "html_block" and _COMMENT.match(source)):
            outline.block(source)
    return outline.sections()
