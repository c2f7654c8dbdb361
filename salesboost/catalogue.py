"""The tools that workers published, as a client remembers them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import orjson

from salesboost import wire
from salesboost.models import ToolInfo

FRESH = 10.0
"""Seconds for which a client trusts what it remembers; a new version's cache key follows within it."""


class Catalogue:
    """Remembers the catalogue for `FRESH` seconds. Does no I/O itself: its owner fetches."""

    def __init__(self) -> None:
        self._tools: dict[str, ToolInfo] = {}
        self._until = 0.0

    @property
    def stale(self) -> bool:
        """True when it is time to fetch."""
        return time.monotonic() >= self._until

    def update(self, published: Mapping[str, bytes]) -> None:
        """Remember what was fetched."""
        self._tools = {name: ToolInfo.model_validate_json(value) for name, value in published.items()}
        self._until = time.monotonic() + FRESH

    def tools(self) -> list[ToolInfo]:
        """Return all tools by name."""
        return [self._tools[name] for name in sorted(self._tools)]

    def cache_keys(self, namespace: str, submissions: Sequence[wire.Submission]) -> dict[int, tuple[str, ToolInfo]]:
        """Return, by place, the cache's key of each submission that may be answered from the cache."""
        keys: dict[int, tuple[str, ToolInfo]] = {}
        for place, submission in enumerate(submissions):
            info = self._tools.get(submission.tool)
            if info and info.cache_ttl > 0 and (not info.roles or submission.role in info.roles):
                payload = wire.canonical(wire.with_defaults(orjson.loads(submission.payload), info.input_schema))
                key = wire.cache_key(
                    namespace, info.name, info.version, payload, tenant=submission.tenant, role=submission.role
                )
                keys[place] = key, info
        return keys
