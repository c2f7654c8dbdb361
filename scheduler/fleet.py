"""What workers publish about themselves: the tools they serve and that they are alive.

Keys: ``catalogue`` (HASH, name -> ToolInfo JSON), ``tool:<name>`` (HASH, the policy as functions read it), ``tools``
(SET), ``fleet`` (HASH, switches), ``group:<name>`` (HASH, tools and switches of a routing group), all permanent and
rewritten by every worker that starts; ``worker:<name>`` (HASH, TTL `WORKER_TTL`) and ``workers`` (ZSET, name -> second
of its last heartbeat by the server's clock).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
import redis

from config import policies
from config.settings import Settings
from salesboost import wire
from salesboost.models import ToolInfo
from salesboost.policy import ToolPolicy
from salesboost.rates import KeyedRate

WORKER_TTL = 15
"""Seconds after its last heartbeat for which a worker counts as alive."""


def publish(server: redis.Redis, tools: Iterable[tuple[ToolInfo, ToolPolicy]], settings: Settings) -> None:
    """Make the tools known to producers and their policies known to the functions, in one transaction."""
    root = wire.root(settings.namespace)
    pipeline = server.pipeline(transaction=True)
    for info, policy in tools:
        pipeline.sadd(f"{root}:tools", info.name)
        pipeline.hset(wire.catalogue_key(settings.namespace), info.name, info.model_dump_json())
        pipeline.hset(f"{root}:tool:{info.name}", mapping=cast(Any, _fields(info, policy, settings)))
    for group, members in policies.read_groups(settings.groups_file).items():
        pipeline.hset(
            f"{root}:group:{group}",
            mapping={
                "tools": " ".join(members),
                "enabled": int(settings.tool_bandit_enabled),
                "epsilon": settings.tool_bandit_epsilon,
            },
        )
    pipeline.hset(
        f"{root}:fleet",
        mapping={
            "parallel_enabled": int(settings.tool_parallel_enabled),
            "parallel_max_concurrent": settings.tool_parallel_max_concurrent,
        },
    )
    pipeline.execute()


def _fields(info: ToolInfo, policy: ToolPolicy, settings: Settings) -> dict[str, str | int]:
    rate = policy.rate
    keyed = [KeyedRate.parse(text) for text in policy.limit_keys]
    attempts = (policy.retries or 0) + 1
    return {
        "version": info.version,
        "queue": policy.queue,
        "roles": f" {' '.join(sorted(policy.roles))} " if policy.roles else "",
        "interval": rate.interval_us if rate else 0,
        "burst": (policy.burst or rate.count) if rate else 0,
        "limit_keys": orjson.dumps([(k.key, k.rate.interval_us, k.rate.count) for k in keyed]).decode()
        if keyed
        else "",
        "concurrency": policy.concurrency or 0,
        "attempts": attempts,
        "crashes": settings.max_crashes,
        "effect": policy.effect,
        "max_payload": settings.max_payload,
        "retention": int(settings.retention * 1_000_000),
    }


def heartbeat(server: redis.Redis, namespace: str, worker: str, facts: Mapping[str, str | int]) -> None:
    """Say that *worker* is alive, with what it is: tools, queues, pool, concurrency, version."""
    root = wire.root(namespace)
    pipeline = server.pipeline(transaction=False)
    pipeline.hset(f"{root}:worker:{worker}", mapping=cast(Any, {**facts, "pid": os.getpid(), "seen": time.time()}))
    pipeline.expire(f"{root}:worker:{worker}", WORKER_TTL)
    pipeline.zadd(f"{root}:workers", {worker: _server_seconds(server)})
    pipeline.execute()


def leave(server: redis.Redis, namespace: str, worker: str) -> None:
    """Take *worker* off the list at once."""
    root = wire.root(namespace)
    pipeline = server.pipeline(transaction=False)
    pipeline.delete(f"{root}:worker:{worker}")
    pipeline.zrem(f"{root}:workers", worker)
    pipeline.execute()


def workers(server: redis.Redis, namespace: str) -> dict[str, dict[str, str]]:
    """Return the living workers and their facts by name."""
    root = wire.root(namespace)
    horizon = _server_seconds(server) - WORKER_TTL
    server.zremrangebyscore(f"{root}:workers", "-inf", horizon)
    names = [wire.text(name) for name in cast(list[bytes], server.zrange(f"{root}:workers", 0, -1))]
    pipeline = server.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(f"{root}:worker:{name}")
    found = cast(list[dict[bytes, bytes]], pipeline.execute())
    return {
        name: {wire.text(key): wire.text(value) for key, value in facts.items()}
        for name, facts in zip(names, found, strict=True)
        if facts
    }


def _server_seconds(server: redis.Redis) -> float:
    seconds, micros = server.time()
    return seconds + micros / 1e6
