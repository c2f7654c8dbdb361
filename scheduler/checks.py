"""Checks everything a worker stands on and starts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import redis

from config.settings import Settings
from salesboost.connections import connect, without_password
from salesboost.errors import ConfigurationError

MIN_VERSION = (7, 0)
"""Functions came with Redis 7.0."""

PATIENCE = 3.0
"""Seconds for a server to answer a check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked.

    Attributes:
        level: ``ok``, ``warning``, or ``error``: workers refuse to start on an error.
        about: What was looked at.
        message: What was found, and the remedy.
    """

    level: Literal["ok", "warning", "error"]
    about: str
    message: str


def check_servers(settings: Settings) -> Iterator[Finding]:
    """Look at both servers: reachable, new enough, persistent, evicting or not as each must be."""
    try:
        state_url = settings.state_url
    except ConfigurationError as exc:
        yield Finding("error", "state server", str(exc))
        return
    facts = _ask(state_url)
    if isinstance(facts, Finding):
        yield Finding("error", "state server", facts.message)
        return
    yield from _check_version("state server", facts)
    shown = without_password(state_url)
    policy = facts.config.get("maxmemory-policy")
    if policy is None:
        yield Finding(
            "warning",
            "eviction",
            "the state server does not tell its maxmemory-policy; it must be noeviction",
        )
    elif policy != "noeviction" and facts.config.get("maxmemory") != "0":
        yield Finding(
            "error",
            "eviction",
            f"the state server at {shown} has maxmemory-policy {policy} and would delete jobs when it is full: set "
            "it to noeviction",
        )
    else:
        yield Finding("ok", "eviction", "the state server deletes nothing")
    if facts.config.get("appendonly") is None:
        yield Finding("warning", "persistence", "the state server does not tell whether it persists; it must use AOF")
    elif facts.config["appendonly"] != "yes":
        yield Finding(
            "error",
            "persistence",
            f"the state server at {shown} has appendonly {facts.config['appendonly']} and would lose every job in "
            "a restart: set appendonly yes",
        )
    else:
        yield Finding("ok", "persistence", "the state server keeps an append-only file")
    yield from _check_cache(settings, state=facts)


def _check_cache(settings: Settings, *, state: _Facts) -> Iterator[Finding]:
    cache_url = settings.cache_server_url
    if cache_url is None:
        yield Finding("warning", "cache server", "none is set: results are not cached; set SALESBOOST_CACHE_URL")
        return
    facts = _ask(cache_url)
    if isinstance(facts, Finding):
        # A server may come back; a URL that nobody can read keeps a worker from starting.
        rest = "; calls go on without a cache" if facts.level == "warning" else ""
        yield Finding(facts.level, "cache server", facts.message + rest)
        return
    if facts.run_id == state.run_id:
        yield Finding(
            "error",
            "cache server",
            f"the cache and the state server are both the one at {without_password(cache_url)} (databases of one "
            "server share its memory): use two servers, so that a full cache cannot stop the ledger",
        )
        return
    yield from _check_version("cache server", facts)
    policy = facts.config.get("maxmemory-policy", "allkeys-lru")
    if not policy.startswith("allkeys") or facts.config.get("maxmemory") == "0":
        yield Finding(
            "warning",
            "cache server",
            f"maxmemory {facts.config.get('maxmemory')} with {policy}: bound it and "
            "evict (allkeys-lru), or it will fill up",
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    server: str
    run_id: str
    version: tuple[int, ...]
    config: dict[str, str]


def _ask(url: str) -> _Facts | Finding:
    try:
        server = connect(url, timeout=PATIENCE)
    except ConfigurationError as exc:
        return Finding("error", "", str(exc))
    try:
        info = server.info("server")
        name = "valkey" if "valkey_version" in info else "redis"
        text = str(info.get("valkey_version") or info["redis_version"])
        config: dict[str, str] = {}
        for option in ("maxmemory", "maxmemory-policy", "appendonly"):
            try:
                config.update(cast(dict[str, str], server.config_get(option)))
            except redis.ResponseError:
                continue  # managed servers forbid CONFIG: reported as a warning by the caller
        return _Facts(name, str(info["run_id"]), tuple(int(part) for part in re.findall(r"\d+", text)[:3]), config)
    except redis.RedisError as exc:
        return Finding(
            "warning",
            "",
            f"the server at {without_password(url)} did not answer ({type(exc).__name__}: {exc}); start it, or set its "
            "URL",
        )
    finally:
        server.close()


def _check_version(about: str, facts: _Facts) -> Iterator[Finding]:
    text = f"{facts.server} {'.'.join(map(str, facts.version))}"
    if facts.server == "redis" and facts.version[:2] < MIN_VERSION:
        yield Finding("error", about, f"{text} is too old: Redis 7.0, or Valkey 8, is the least that works")
    else:
        yield Finding("ok", about, text)
