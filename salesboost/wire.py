"""The wire contract: every name and shape that producers, workers and the state server share.

Keys, queues and functions are named here and nowhere else in Python; `scheduler/functions/00_keys.lua` holds the
server's side of it. What travels is JSON; `WIRE_VERSION` rises when an old reader could not read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, cast

import orjson

from salesboost.errors import InputInvalid

WIRE_VERSION: Final = 1
DEFAULT_NAMESPACE: Final = "sb"
DEFAULT_TENANT: Final = "default"
DEFAULT_PRIORITY: Final = 5
TASK_PREFIX: Final = "tools."
PLAIN_QUEUE: Final = "celery"
"""The queue of Celery producers that know nothing of us: Celery's own default."""

RECORD_FIELDS: Final = (
    "id",
    "tool",
    "tool_call_id",
    "state",
    "attempts",
    "created",
    "started",
    "settled",
    "run_us",
    "worker",
    "version",
    "role",
    "tenant",
    "batch",
    "index",
    "result",
    "error",
)


def root(namespace: str) -> str:
    """Return the root of a ledger's keys; the braces keep them in one cluster slot."""
    return "{" + namespace + "}"


def function(operation: str) -> str:
    """Return the name of a server-side function."""
    return f"sb{WIRE_VERSION}_{operation}"


def task_name(tool: str) -> str:
    """Return the name of a tool's Celery task."""
    return TASK_PREFIX + tool


def queue_key(namespace: str, queue: str) -> str:
    """Return the Celery queue, which is also the Redis list, of a policy's queue name."""
    return f"{root(namespace)}:q:{queue}"


def inbox_key(namespace: str, inbox: str) -> str:
    """Return the list in which a client is told of its jobs."""
    return f"{root(namespace)}:inbox:{inbox}"


def catalogue_key(namespace: str) -> str:
    """Return the hash of the tools that workers published, by name."""
    return f"{root(namespace)}:catalogue"


def job_id(tenant: str, tool: str, tool_call_id: str) -> str:
    """Return the id of the one job of an idempotency key; `submit_job` computes the same."""
    return hashlib.sha1(f"{tenant}\0{tool}\0{tool_call_id}".encode(), usedforsecurity=False).hexdigest()


def canonical(payload: Mapping[str, Any], *, tool: str = "") -> bytes:
    """Return the canonical JSON of *payload*: sorted keys, no white space, UTF-8.

    Raises:
        InputInvalid: A key is no string, or a value is no JSON (a set, NaN, an integer beyond 64 bits).
    """
    try:
        text = orjson.dumps(payload if isinstance(payload, dict) else dict(payload), option=orjson.OPT_SORT_KEYS)
        # orjson writes null for NaN and infinities, which would change the call without a word.
        if b"null" in text and not _finite(payload):
            raise TypeError("NaN and infinities are no JSON numbers")
    except (TypeError, RecursionError) as exc:
        raise InputInvalid(
            f"the payload for {tool or 'the tool'} is not JSON: {exc}; use strings, finite numbers, booleans, lists "
            "and objects with string keys",
            tool=tool,
        ) from exc
    return text


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, cast(Any, value).values()))
    if isinstance(value, (list, tuple)):
        return all(map(_finite, cast(Sequence[Any], value)))
    return True


def with_defaults(payload: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *payload* with the defaults that *schema* states for fields it leaves out.

    Two calls that mean the same then have one cache key, whoever computes it.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    defaults = {name: field["default"] for name, field in properties.items() if "default" in field}
    return {**defaults, **payload}


def cache_key(namespace: str, tool: str, version: str, payload: bytes, *, tenant: str, role: str) -> str:
    """Return the key of a result in the cache.

    Tenant and role are part of it: a tool may answer by who asks, and nobody must read another's result.
    """
    text = b"\0".join((tenant.encode(), role.encode(), payload))
    digest = hashlib.blake2b(text, digest_size=20, salt=b"salesboost").hexdigest()
    return f"{root(namespace)}:cache:{tool}:{version}:{digest}"


def cache_counts_key(namespace: str) -> str:
    """Return the hash, on the cache server, of hits and misses by tool."""
    return f"{root(namespace)}:cachecounts"


def statistics_key(namespace: str, tool: str) -> str:
    """Return the hash of a tool's gauges, totals and histograms."""
    return f"{root(namespace)}:stats:{tool}"


def group_key(namespace: str, group: str) -> str:
    """Return the hash of a tool group."""
    return f"{root(namespace)}:group:{group}"


def bandit_key(namespace: str, group: str) -> str:
    """Return the hash of what routing has learned about a tool group."""
    return f"{root(namespace)}:bandit:{group}"


@dataclass(frozen=True, slots=True)
class Submission:
    """The arguments of ``submit_job``.

    Attributes:
        tool: The tool's name.
        payload: Canonical JSON.
        role: The caller's role.
        tenant: The caller's tenant.
        tool_call_id: The idempotency key.
        priority: 0 to 9; 9 runs first.
        deadline: Seconds from now, None for none.
        max_wait: Longest wait for a limit in seconds, None for any.
        on_limit: ``wait`` or ``raise``.
        inbox: The client's inbox that is told of the settling, empty for none.
        batch: The batch, empty for none.
        index: Place in the batch.
        retention: Seconds the settled job is kept, None for the fleet's (24 h by default).
        celery: (task id, embed JSON, headers JSON) of a plain Celery message, None for our own.
        delay: Seconds before it may start, None for at once.
    """

    tool: str
    payload: bytes
    role: str
    tenant: str
    tool_call_id: str
    priority: int = DEFAULT_PRIORITY
    deadline: float | None = None
    max_wait: float | None = None
    on_limit: str = "wait"
    inbox: str = ""
    batch: str = ""
    index: int = 0
    retention: float | None = None
    celery: tuple[str, str, str] | None = None
    delay: float | None = None

    def arguments(self) -> list[str | bytes | int]:
        """Return ARGV."""
        return [
            self.tool,
            self.payload,
            self.role,
            self.tenant,
            self.tool_call_id,
            self.priority,
            micros(self.deadline),
            micros(self.max_wait),
            self.on_limit,
            self.inbox,
            self.batch,
            self.index,
            micros(self.retention),
            *(self.celery or ("", "", "")),
            micros(self.delay),
        ]


def micros(seconds: float | None) -> str:
    """Return *seconds* as the integer microseconds that functions take, empty for None."""
    return "" if seconds is None else str(int(seconds * 1_000_000))


def text(value: Any) -> str:
    """Return a reply's string; Redis gives bytes, a Lua number an int."""
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(fields: Any) -> dict[str, str]:
    """Return the fields of a hash that Redis gave."""
    return {text(name): text(value) for name, value in cast(Mapping[Any, Any], fields).items()}


def record(values: Sequence[Any]) -> dict[str, str]:
    """Return the record that a reply or an inbox entry lists in the order of `RECORD_FIELDS`."""
    return {name: text(value) for name, value in zip(RECORD_FIELDS, values, strict=True)}
