"""The two servers as asynchronous producers use them: the twin of `salesboost.store`, in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry

from salesboost import wire
from salesboost.connections import (
    CACHE_PATIENCE,
    CACHE_PAUSE,
    CONNECTIONS,
    PIPELINE,
    RETRIES,
    backoff,
    errors_translated,
    silent,
    translated,
)
from salesboost.errors import CallError
from salesboost.store import CacheCounts

T = TypeVar("T")


def connect(url: str, *, timeout: float, retries: int = RETRIES) -> Redis:
    """Return a client whose connections fail as those of `salesboost.connections.connect`."""
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(backoff(), retries, supported_errors=(redis.ConnectionError,)),
        health_check_interval=30,
    )


@contextmanager
def _cancelling_is_heard() -> Generator[None]:
    """Make sure that a task which is cancelled in the block ends.

    redis-py sends within `asyncio.wait_for`, which before Python 3.12 loses a cancelling that comes as it ends.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


class AsyncStateStore:
    """Calls server-side functions by name. The methods are those of `salesboost.store.StateStore`.

    Of all tasks at most `CONNECTIONS` talk to the server at a time; the others wait their turn.
    """

    def __init__(self, url: str, *, namespace: str, timeout: float) -> None:
        self.url = url
        self.namespace = namespace
        self._root = wire.root(namespace)
        self._timeout = timeout
        self._redis = connect(url, timeout=timeout)
        self._turns = asyncio.Semaphore(CONNECTIONS)

    @asynccontextmanager
    async def _translating(self, seconds: float) -> AsyncGenerator[None]:
        try:
            with _cancelling_is_heard():
                async with self._turns, asyncio.timeout(seconds):
                    yield
        except TimeoutError as exc:
            raise silent(self.url, f"nothing within {seconds:g} s") from exc
        except redis.RedisError as exc:
            raise translated(exc, self.url) from exc

    async def call(self, operation: str, *args: str | bytes | int) -> Any:
        async with self._translating(self._timeout):
            return await self._redis.fcall(wire.function(operation), 1, self._root, *cast(Any, args))

    async def call_many(
        self, operation: str, calls: Sequence[Sequence[str | bytes | int]]
    ) -> list[Sequence[Any] | CallError]:
        replies: list[Any] = []
        for start in range(0, len(calls), PIPELINE):
            async with self._translating(self._timeout):
                pipeline = self._redis.pipeline(transaction=False)
                for args in calls[start : start + PIPELINE]:
                    pipeline.fcall(wire.function(operation), 1, self._root, *cast(Any, args))
                replies += await pipeline.execute(raise_on_error=False)
        return errors_translated(replies, self.url)

    async def pop_inbox(self, inbox: str, timeout: float) -> list[bytes]:  # noqa: ASYNC109 - the server's own time-out
        seconds = max(min(timeout, self._timeout / 2), 0.001)
        key = wire.inbox_key(self.namespace, inbox)
        async with self._translating(self._timeout + seconds):
            found = cast(Any, await self._redis.blmpop(seconds, 1, key, direction="LEFT", count=PIPELINE))
        return found[1] if found else []

    async def group(self, name: str) -> tuple[list[str], dict[str, str]]:
        async with self._translating(self._timeout):
            tools = await cast(Any, self._redis.hget(wire.group_key(self.namespace, name), "tools"))
            fields = await cast(Any, self._redis.hgetall(wire.bandit_key(self.namespace, name)))
        return wire.text(tools or "").split(), wire.texts(fields)

    async def forget_group(self, name: str) -> None:
        async with self._translating(self._timeout):
            await self._redis.delete(wire.bandit_key(self.namespace, name))

    async def statistics(self, tools: Sequence[str]) -> list[dict[str, str]]:
        async with self._translating(self._timeout):
            pipeline = self._redis.pipeline(transaction=False)
            for tool in tools:
                pipeline.hgetall(wire.statistics_key(self.namespace, tool))
            return [wire.texts(fields) for fields in await pipeline.execute()]

    async def catalogue(self) -> dict[str, bytes]:
        async with self._translating(self._timeout):
            found = cast(Any, await self._redis.hgetall(wire.catalogue_key(self.namespace)))
        return {wire.text(name): value for name, value in found.items()}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class AsyncCacheStore:
    """Reads cached results. The methods are those of `salesboost.store.CacheStore`; only workers write."""

    def __init__(self, url: str, *, namespace: str, timeout: float = CACHE_PATIENCE) -> None:
        self._counts_key = wire.cache_counts_key(namespace)
        self._timeout = timeout
        self._redis = connect(url, timeout=timeout, retries=0)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._away_until = 0.0
        self._counts = CacheCounts()

    async def get_many(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        if not keys:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget([key for _, key in keys])
        self._add_counts(pipeline)
        replies = await self._run(pipeline.execute)
        values: list[bytes | None] = replies[0] if replies else [None] * len(keys)
        self._counts.add(keys, values)
        return values

    async def counts(self) -> dict[str, int]:
        await self._flush()
        found: Any = await self._run(lambda: cast(Any, self._redis.hgetall(self._counts_key)))
        return {name: int(count) for name, count in wire.texts(found or {}).items()}

    async def aclose(self) -> None:
        await self._flush()
        await self._redis.aclose()

    def _add_counts(self, pipeline: Any) -> None:
        for name, count in self._counts.drain().items():
            pipeline.hincrby(self._counts_key, name, count)

    async def _flush(self) -> None:
        if self._counts:
            pipeline = self._redis.pipeline(transaction=False)
            self._add_counts(pipeline)
            await self._run(pipeline.execute)

    async def _run(self, command: Callable[[], Awaitable[T]]) -> T | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            with _cancelling_is_heard():
                async with self._turns, asyncio.timeout(self._timeout):
                    return await command()
        except (redis.RedisError, TimeoutError):
            self._away_until = time.monotonic() + CACHE_PAUSE
            return None
