"""How both clients talk to a server: patience, repeats, and the one translation of redis-py's errors."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import FullJitterBackoff
from redis.retry import Retry

from salesboost import wire
from salesboost.errors import CallError, ConfigurationError, ToolUnavailable

PIPELINE: Final = 500
"""Calls sent in one pipeline: enough to hide the round trip, few enough not to hold up other clients."""

CONNECTIONS: Final = 32
"""Connections of one client to one server; further threads and tasks wait for their turn."""

RETRIES: Final = 3
"""Times that a command is repeated on a new connection after one broke. Repeats are safe with our functions."""

CACHE_PATIENCE: Final = 0.25
"""Seconds until a command to the cache gives up."""

CACHE_PAUSE: Final = 2.0
"""Seconds for which a cache that failed is left alone, so that its time-outs stay off the path."""


def backoff() -> FullJitterBackoff:
    """Return the waits between repeats of a command."""
    return FullJitterBackoff(base=0.02, cap=0.5)


def connect(url: str, *, timeout: float, retries: int = RETRIES) -> redis.Redis:
    """Return a client whose commands fail within about *timeout* seconds.

    A broken connection is tried again at once; a silent server is not, or the time-outs would add up.

    Raises:
        ConfigurationError: *url* is no URL of a server.
    """
    with url_errors(url):
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(backoff(), retries, supported_errors=(redis.ConnectionError,)),
            health_check_interval=30,
        )
    return redis.Redis.from_pool(pool)


def check_url(url: str) -> None:
    """Do nothing when *url* is well formed.

    Raises:
        ConfigurationError: It is no URL of a server.
    """
    with url_errors(url):
        redis.ConnectionPool.from_url(url)


@contextmanager
def url_errors(url: str) -> Generator[None]:
    """Turn redis-py's complaint about *url* into ours.

    Raises:
        ConfigurationError: redis-py cannot read it.
    """
    try:
        yield
    except ValueError as exc:
        raise ConfigurationError(
            "a server's URL must be such as redis://127.0.0.1:6379/0, rediss://… or unix:///path?db=0, got "
            f"{without_password(url)!r}: {exc}"
        ) from exc


def translated(exc: redis.RedisError, url: str) -> ToolUnavailable:
    """Return our error for one of redis-py's."""
    message, server = str(exc), without_password(url)
    if "Function not found" in message:
        return ToolUnavailable(
            f"the server at {server} has no SalesBoost functions of wire version {wire.WIRE_VERSION}: start a worker "
            "of this version (`salesboost up`), which loads them",
            retry_after=1.0,
        )
    if message.startswith("OOM") or "command not allowed when used memory" in message:
        return ToolUnavailable(
            f"the state server at {server} is out of memory and takes no new calls; raise its maxmemory or let "
            "workers drain it",
            retry_after=5.0,
        )
    if isinstance(exc, redis.ResponseError):
        return ToolUnavailable(f"the server at {server} refused a command: {message}", retry_after=1.0)
    return silent(url, f"{type(exc).__name__}: {message}")


def silent(url: str, why: str) -> ToolUnavailable:
    """Return the error for a server that does not answer."""
    return ToolUnavailable(
        f"the server at {without_password(url)} did not answer ({why}); check that it runs and can be reached",
        retry_after=1.0,
    )


def errors_translated(replies: Sequence[Any], url: str) -> list[Sequence[Any] | CallError]:
    """Return a pipeline's replies with our errors in the place of redis-py's."""
    return [translated(reply, url) if isinstance(reply, redis.RedisError) else reply for reply in replies]


def without_password(url: str) -> str:
    """Return *url* as it may be shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url
