"""The two servers as producers use them: the only place in the wheel that knows redis-py.

`StateStore` and `CacheStore` have asynchronous twins in `salesboost.aio`. Foreign errors are translated here, once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from salesboost import wire
from salesboost.errors import SalesBoostError, ToolUnavailable

T = TypeVar("T")

PIPELINE = 500
"""Calls sent in one pipeline: enough to hide the round trip, few enough not to hold up other clients."""


def translated(exc: redis.RedisError, url: str) -> SalesBoostError:
    """Return our error for one of redis-py's."""
    message = str(exc)
    if "Function not found" in message:
        return ToolUnavailable(
            f"the server at {url} has no SalesBoost functions of wire version {wire.WIRE_VERSION}: start a worker of "
            "this version (`salesboost up`), which loads them",
            retry_after=1.0,
        )
    if message.startswith("OOM") or "command not allowed when used memory" in message:
        return ToolUnavailable(
            f"the state server at {url} is out of memory and takes no new calls; raise its maxmemory or let workers "
            "drain it",
            retry_after=5.0,
        )
    return ToolUnavailable(
        f"the server at {url} did not answer ({type(exc).__name__}: {message}); check that it runs and can be reached",
        retry_after=1.0,
    )


def connect(url: str, *, timeout: float) -> redis.Redis:
    """Return a client whose commands fail within about *timeout* seconds; repeats are safe with our functions."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), 3),
        health_check_interval=30,
    )


class StateStore:
    """Calls server-side functions by name.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` URL.
        namespace: The ledger's name; several may share a server.
        timeout: Seconds until a command gives up.
    """

    def __init__(self, url: str, *, namespace: str = wire.DEFAULT_NAMESPACE, timeout: float = 5.0) -> None:
        self.url = url
        self.namespace = namespace
        self._root = wire.root(namespace)
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

    def call_many(self, operation: str, calls: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Run one function for each argument list, in pipelines; replies in the same order."""
        replies: list[Any] = []
        with self._translating():
            for start in range(0, len(calls), PIPELINE):
                pipeline = self._redis.pipeline(transaction=False)
                for args in calls[start : start + PIPELINE]:
                    pipeline.fcall(wire.function(operation), 1, self._root, *cast(Any, args))
                replies += pipeline.execute()
        return replies

    def pop_inbox(self, inbox: str, timeout: float) -> list[bytes]:
        """Return what has arrived in *inbox*, waiting up to *timeout* seconds for the first entry."""
        key = wire.inbox_key(self.namespace, inbox)
        with self._translating():
            first = cast(Any, self._redis.blpop([key], max(timeout, 0.001)))
            if first is None:
                return []
            more = cast(Any, self._redis.lpop(key, PIPELINE)) if self._redis.llen(key) else None
            return [first[1], *(more or [])]

    def catalogue(self) -> dict[str, bytes]:
        """Return the JSON of every published tool by name."""
        with self._translating():
            found = cast(Any, self._redis.hgetall(wire.catalogue_key(self.namespace)))
        return {wire.text(name): value for name, value in found.items()}

    def group(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Return the tools of a group and the fields of its ``bandit`` hash; no tools when it is unknown."""
        with self._translating():
            tools = cast(bytes | None, self._redis.hget(f"{self._root}:group:{name}", "tools"))
            fields = cast(dict[bytes, bytes], self._redis.hgetall(f"{self._root}:bandit:{name}"))
        return wire.text(tools or "").split(), {wire.text(k): wire.text(v) for k, v in fields.items()}

    def forget_group(self, name: str) -> None:
        """Delete the ``bandit`` hash of a group."""
        with self._translating():
            self._redis.delete(f"{self._root}:bandit:{name}")

    def statistics(self, tools: Sequence[str]) -> list[dict[str, str]]:
        """Return the fields of each tool's ``stats`` hash."""
        with self._translating():
            pipeline = self._redis.pipeline(transaction=False)
            for tool in tools:
                pipeline.hgetall(wire.statistics_key(self.namespace, tool))
            found = cast(list[dict[bytes, bytes]], pipeline.execute())
        return [{wire.text(name): wire.text(value) for name, value in fields.items()} for fields in found]

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class CacheStore:
    """Reads and writes cached results; a cache that is away costs its calls nothing but their hits.

    After a failure the cache is left alone for `pause` seconds, so that its time-outs stay off the path. Hits and
    misses are counted here and travel with the next look-up, or on `close`.
    """

    pause = 2.0

    def __init__(self, url: str, *, namespace: str = wire.DEFAULT_NAMESPACE, timeout: float = 0.25) -> None:
        self.url = url
        self._counts_key = wire.cache_counts_key(namespace)
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(ExponentialWithJitterBackoff(), 0),
        )
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

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
        with self._lock:
            for (tool, _), value in zip(keys, values, strict=True):
                self._counts[f"{tool}:misses" if value is None else f"{tool}:hits"] += 1
        return values

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* under *key* for *ttl* seconds."""
        self._run(lambda: self._redis.set(key, value, px=max(1, int(ttl * 1000))))

    def counts(self) -> dict[str, int]:
        """Return ``<tool>:hits`` and ``<tool>:misses`` of the whole fleet; empty when the server is away."""
        self._flush()
        found = self._run(lambda: self._redis.hgetall(self._counts_key)) or {}
        return {wire.text(name): int(count) for name, count in cast(dict[bytes, bytes], found).items()}

    def close(self) -> None:
        """Send the counts that are left and close the connections."""
        self._flush()
        self._redis.close()

    def _add_counts(self, pipeline: Any) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for name, count in counts.items():
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
            self._away_until = time.monotonic() + self.pause
            return None
