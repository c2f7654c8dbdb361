"""The two servers as producers use them; `salesboost.async_store` is the twin for event loops.

With `salesboost.connections` these are the only modules in the wheel that know redis-py.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis

from salesboost import wire
from salesboost.connections import (
    CACHE_PATIENCE,
    CACHE_PAUSE,
    PIPELINE,
    connect,
    errors_translated,
    translated,
)
from salesboost.errors import CallError

T = TypeVar("T")


class StateStore:
    """Calls server-side functions by name.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL.
        namespace: The ledger's name; several may share a server.
        timeout: Seconds until a command gives up.

    Raises:
        ConfigurationError: *url* is no URL of a server.
    """

    def __init__(self, url: str, *, namespace: str = wire.DEFAULT_NAMESPACE, timeout: float = 5.0) -> None:
        self.url = url
        self.namespace = namespace
        self._root = wire.root(namespace)
        self._longest_pop = timeout / 2
        self._redis = connect(url, timeout=timeout)

    @property
    def redis(self) -> redis.Redis:
        """The connection pool, for what the server side does beside functions."""
        return self._redis

    @contextmanager
    def _translating(self) -> Generator[None]:
        try:
            yield
        except redis.RedisError as exc:
            raise translated(exc, self.url) from exc

    def call(self, operation: str, *args: str | bytes | int) -> Any:
        """Run one function and return its reply.

        Raises:
            ToolUnavailable: The server is away, full, or has no functions.
        """
        with self._translating():
            return self._redis.fcall(wire.function(operation), 1, self._root, *cast(Any, args))

    def call_many(
        self, operation: str, calls: Sequence[Sequence[str | bytes | int]]
    ) -> list[Sequence[Any] | CallError]:
        """Run one function for each argument list, in pipelines; replies in the same order.

        A call that the server refuses does not harm the others: its error stands in the place of its reply.

        Raises:
            ToolUnavailable: The server is away.
        """
        replies: list[Any] = []
        with self._translating():
            for start in range(0, len(calls), PIPELINE):
                pipeline = self._redis.pipeline(transaction=False)
                for args in calls[start : start + PIPELINE]:
                    pipeline.fcall(wire.function(operation), 1, self._root, *cast(Any, args))
                replies += pipeline.execute(raise_on_error=False)
        return errors_translated(replies, self.url)

    def pop_inbox(self, inbox: str, timeout: float) -> list[bytes]:
        """Return what has arrived in *inbox*, waiting up to *timeout* seconds for the first entry."""
        seconds = max(min(timeout, self._longest_pop), 0.001)
        key = wire.inbox_key(self.namespace, inbox)
        with self._translating():
            found = cast(Any, self._redis.blmpop(seconds, 1, key, direction="LEFT", count=PIPELINE))
        return found[1] if found else []

    def catalogue(self) -> dict[str, bytes]:
        """Return the JSON of every published tool by name."""
        with self._translating():
            found = cast(Any, self._redis.hgetall(wire.catalogue_key(self.namespace)))
        return {wire.text(name): value for name, value in found.items()}

    def group(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Return the tools of a group and the fields of its ``bandit`` hash; no tools when it is unknown."""
        with self._translating():
            tools = cast(bytes | None, self._redis.hget(wire.group_key(self.namespace, name), "tools"))
            fields = self._redis.hgetall(wire.bandit_key(self.namespace, name))
        return wire.text(tools or "").split(), wire.texts(fields)

    def forget_group(self, name: str) -> None:
        """Delete the ``bandit`` hash of a group."""
        with self._translating():
            self._redis.delete(wire.bandit_key(self.namespace, name))

    def statistics(self, tools: Sequence[str]) -> list[dict[str, str]]:
        """Return the fields of each tool's ``stats`` hash."""
        with self._translating():
            pipeline = self._redis.pipeline(transaction=False)
            for tool in tools:
                pipeline.hgetall(wire.statistics_key(self.namespace, tool))
            return [wire.texts(fields) for fields in pipeline.execute()]

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class CacheCounts:
    """Counts hits and misses by tool until they travel to the cache server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, keys: Sequence[tuple[str, str]], values: Sequence[bytes | None]) -> None:
        """Count the values found for (tool, key)."""
        with self._lock:
            for (tool, _), value in zip(keys, values, strict=True):
                self._counts[f"{tool}:misses" if value is None else f"{tool}:hits"] += 1

    def drain(self) -> Mapping[str, int]:
        """Return the counts by field name and begin anew."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts


class CacheStore:
    """Reads and writes cached results; a cache that is away costs its calls nothing but their hits.

    After a failure the cache is left alone for `CACHE_PAUSE` seconds. Hits and misses are counted here and travel with
    the next look-up, or on `close`.

    Raises:
        ConfigurationError: *url* is no URL of a server.
    """

    def __init__(self, url: str, *, namespace: str = wire.DEFAULT_NAMESPACE, timeout: float = CACHE_PATIENCE) -> None:
        self.url = url
        self._counts_key = wire.cache_counts_key(namespace)
        self._redis = connect(url, timeout=timeout, retries=0)
        self._away_until = 0.0
        self._counts = CacheCounts()

    def get_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Return the value of each (tool, key), None where there is none or the server is away."""
        if not keys:
            return []

        def look_up() -> list[bytes | None]:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.mget([key for _, key in keys])
            self._add_counts(pipeline)
            return cast(list[bytes | None], pipeline.execute()[0])

        none: list[bytes | None] = [None] * len(keys)
        values = self._run(look_up) or none
        self._counts.add(keys, values)
        return values

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* under *key* for *ttl* seconds."""
        self._run(lambda: self._redis.set(key, value, px=max(1, int(ttl * 1000))))

    def counts(self) -> dict[str, int]:
        """Return ``<tool>:hits`` and ``<tool>:misses`` of the whole fleet; empty when the server is away."""
        self._flush()
        found = self._run(lambda: self._redis.hgetall(self._counts_key)) or {}
        return {name: int(count) for name, count in wire.texts(found).items()}

    def close(self) -> None:
        """Send the counts that are left and close the connections."""
        self._flush()
        self._redis.close()

    def _add_counts(self, pipeline: Any) -> None:
        for name, count in self._counts.drain().items():
            pipeline.hincrby(self._counts_key, name, count)

    def _flush(self) -> None:
        if self._counts:
            pipeline = self._redis.pipeline(transaction=False)
            self._add_counts(pipeline)
            self._run(pipeline.execute)

    def _run(self, command: Callable[[], T]) -> T | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            return command()
        except redis.RedisError:
            self._away_until = time.monotonic() + CACHE_PAUSE
            return None
