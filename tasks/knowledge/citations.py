"""Writes what was found as one text that a model can quote from: each passage under a number and its source."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.knowledge.search import Hit


def cite(hit: Hit) -> str:
    """Return where a passage stands: document, headings, page."""
    place = f"{hit.source}, {hit.heading}" if hit.heading else hit.source
    return f"{place} (p. {hit.page})" if hit.page is not None else place


def context(hits: Iterable[Hit]) -> str:
    """Return the passages in their order, each under ``[number] source``; empty without hits."""
    return "\n\n".join(f"[{number}] {cite(hit)}\n{hit.text}" for number, hit in enumerate(hits, start=1))
