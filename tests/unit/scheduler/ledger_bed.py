"""A ledger of its own for one test: real functions on a real server, and time that passes at will.

Nothing sleeps. `Bed.age` moves everything the ledger remembers into the past, which the functions cannot tell from
time that has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import redis

from config.settings import Settings
from salesboost import calls, wire
from salesboost.models import ToolInfo
from salesboost.policy import ToolPolicy
from salesboost.store import StateStore
from scheduler import fleet
from scheduler.ledger import Ledger
from scheduler.outcomes import Run

LEASE: Final = 10.0
GRACE: Final = 5.0
"""Seconds after which a hint that nobody followed is pushed again the first time: `sb.GRACE`."""

FUNCTIONS: Final = Path(__file__).parents[3] / "scheduler" / "functions"
STATES: Final = (
    "waiting",
    "queued",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
    "dead",
    "unknown",
)
SETTLED: Final = frozenset(STATES[4:])

_AGE: Final = """
local P, us = KEYS[1], tonumber(ARGV[1])
local function int(x) return string.format('%.0f', x) end
local function zset(key)
  local pairs_ = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #pairs_, 2 do redis.call('ZADD', key, int(pairs_[i + 1] - us), pairs_[i]) end
end
zset(P .. ':due')
zset(P .. ':rooms')
for _, pattern in ipairs({':released:*', ':running:*'}) do
  for _, key in ipairs(redis.call('KEYS', P .. pattern)) do zset(key) end
end
for _, key in ipairs(redis.call('KEYS', P .. ':bucket:*')) do
  redis.call('SET', key, int(redis.call('GET', key) - us), 'KEEPTTL')
end
for _, key in ipairs(redis.call('KEYS', P .. ':job:*')) do
  for _, field in ipairs({'lease', 'deadline', 'created', 'started', 'settled'}) do
    local value = tonumber(redis.call('HGET', key, field) or '')
    if value then redis.call('HSET', key, field, int(value - us)) end
  end
end
"""


class Bed:
    """One namespace of a server, driven as producers and workers drive it.

    Attributes:
        store: The producers' side.
        ledger: The workers' side.
        server: The plain connection.
    """

    def __init__(self, url: str, namespace: str, *, lease: float = LEASE) -> None:
        self.namespace = namespace
        self.root = wire.root(namespace)
        self.store = StateStore(url, namespace=namespace)
        self.ledger = Ledger(self.store, lease=lease)
        self.server: redis.Redis = self.store.redis
        self._age = self.server.register_script(_AGE)
        self._count = 0

    def close(self) -> None:
        self.store.close()

    def publish(self, tool: str, *, settings: dict[str, Any] | None = None, **policy: Any) -> None:
        """Publish a tool as a worker that starts does; without a limit unless one is named."""
        info = ToolInfo(name=tool, version="1", description=tool, input_schema={}, output_schema={})
        fields: dict[str, Any] = {"limit": None, "retries": 2, **policy}
        stated = ToolPolicy(**fields)
        fleet.publish(self.server, [(info, stated)], Settings(namespace=self.namespace, **(settings or {})))

    def submit(self, tool: str = "free", payload: dict[str, Any] | None = None, **fields: Any) -> calls.Outcome:
        self._count += 1
        submission = wire.Submission(
            tool=tool,
            payload=wire.canonical(payload or {}),
            role=fields.pop("role", "sdr"),
            tenant=fields.pop("tenant", "default"),
            tool_call_id=fields.pop("tool_call_id", f"call-{self._count}"),
            **fields,
        )
        return calls.read_submit(self.store.call("submit_job", *submission.arguments()), submission)

    def accepted(self, tool: str = "free", payload: dict[str, Any] | None = None, **fields: Any) -> str:
        """Submit a call that must be taken; return its job's id."""
        outcome = self.submit(tool, payload, **fields)
        assert isinstance(outcome, calls.Accepted), outcome
        return outcome.job_id

    def run(self, job: str, worker: str = "host:1") -> Run:
        """Claim a job that must be runnable."""
        claim = self.ledger.claim(job, worker)
        assert isinstance(claim, Run), claim
        return claim

    def cancel(self, job: str) -> str:
        return wire.text(self.store.call("cancel_job", job)[0])

    def age(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._age(keys=[self.root], args=[int(seconds * 1_000_000)])

    def advance(self) -> int:
        """Pump until nothing is due; return how much that was."""
        total = 0
        while done := self.ledger.advance()[0]:
            total += done
        return total

    def fields(self, job: str) -> dict[str, str]:
        return {wire.text(name): wire.text(value) for name, value in self._hash(f"{self.root}:job:{job}").items()}

    def state(self, job: str) -> str:
        return wire.text(self.server.hget(f"{self.root}:job:{job}", "state"))

    def history(self, job: str) -> list[str]:
        """Return the states the job has been in, oldest first."""
        reply = self.store.call("read_job", job, "", 1, 0)
        return [wire.text(line).split(" ")[1] for line in reply[1]]

    def starts(self, job: str) -> list[int]:
        """Return when the job's attempts started, in microseconds of the server's clock."""
        reply = self.store.call("read_job", job, "", 1, 0)
        lines = [wire.text(line).split(" ") for line in reply[1]]
        return [int(line[0]) for line in lines if line[1] == "running"]

    def stats(self, tool: str) -> dict[str, int]:
        return {wire.text(name): int(value) for name, value in self._hash(f"{self.root}:stats:{tool}").items()}

    def due(self) -> dict[str, float]:
        """Return the jobs that are to be looked at, with the seconds until then."""
        found = cast(list[tuple[bytes, float]], self.server.zrange(f"{self.root}:due", 0, -1, withscores=True))
        now = self.now()
        return {wire.text(job): score / 1e6 - now for job, score in found}

    def now(self) -> float:
        seconds, micros = self.server.time()
        return seconds + micros / 1e6

    def hints(self, queue: str = "default") -> list[str]:
        """Return the jobs whose hints are queued, in the order in which workers pop them."""
        keys = [f"{self.root}:q:{queue}{band}" for band in ("", "\x06\x163", "\x06\x166", "\x06\x169")]
        entries = [entry for key in keys for entry in reversed(self._list(key))]
        return [re.findall(rb'"delivery_tag":"([0-9a-f]+)\.', entry)[0].decode() for entry in entries]

    def pop_hint(self, queue: str = "default") -> str | None:
        """Pop a hint as a worker does, and lose it unless the caller follows it."""
        keys = [f"{self.root}:q:{queue}{band}" for band in ("", "\x06\x163", "\x06\x166", "\x06\x169")]
        for key in keys:
            entry = cast(bytes | None, self.server.rpop(key))
            if entry:
                return str(re.findall(rb'"delivery_tag":"([0-9a-f]+)\.', entry)[0].decode())
        return None

    def room(self, tool: str) -> list[str]:
        return [wire.text(job) for job in cast(list[bytes], self.server.zrange(f"{self.root}:room:{tool}", 0, -1))]

    def jobs(self) -> list[str]:
        return [key.rsplit(":", 1)[1] for key in self.keys() if key.startswith(f"{self.root}:job:")]

    def keys(self) -> list[str]:
        # The braces are no pattern of Redis.
        return sorted(wire.text(key) for key in cast(Iterator[bytes], self.server.scan_iter(f"{self.root}:*", 1000)))

    def keys_without_reason_to_stay(self) -> list[str]:
        """Return the keys that have no TTL and are not on the list of `00_keys.lua`."""
        allowed = permanent_patterns()
        return [
            key
            for key in self.keys()
            if self.server.ttl(key) == -1
            and not any(pattern.fullmatch(key.removeprefix(self.root)) for pattern in allowed)
            and not self._is_open_job(key)
        ]

    def _is_open_job(self, key: str) -> bool:
        state = self.server.hget(key, "state") if key.startswith(f"{self.root}:job:") else None
        return state is not None and wire.text(state) not in SETTLED - {"dead", "unknown"}

    def _hash(self, key: str) -> dict[bytes, bytes]:
        return cast(dict[bytes, bytes], self.server.hgetall(key))

    def _list(self, key: str) -> list[bytes]:
        return cast(list[bytes], self.server.lrange(key, 0, -1))


def permanent_patterns() -> list[re.Pattern[str]]:
    """Return what `00_keys.lua` lists as permanent, or as gone when the last member leaves."""
    text = (FUNCTIONS / "00_keys.lua").read_text(encoding="utf-8")
    entries = re.findall(r"^--   (P:\S+(?:, P:\S+)*)\s+[A-Z]{3,}\b(.*)$", text, re.MULTILINE)
    assert len(entries) >= 18, "the key list of 00_keys.lua has another form than this test reads"
    return [
        re.compile(re.sub(r"<\w+>|…", ".+", name.strip().removeprefix("P")))
        for names, text in entries
        if "(permanent)" in text or "lives while" in text or "likewise" in text
        for name in names.split(",")
    ]


def legal_transitions() -> set[tuple[str, str]]:
    """Return the table `sb.LEGAL` of `10_jobs.lua`."""
    text = (FUNCTIONS / "10_jobs.lua").read_text(encoding="utf-8")
    match = re.search(r"sb\.LEGAL = \{\n(.*?)\n\}", text, re.DOTALL)
    assert match, "sb.LEGAL has another form than this test reads"
    rows = re.findall(r"(\w+) = \{([^}]*)\}", match[1])
    return {(source, target) for source, row in rows for target in re.findall(r"(\w+) = true", row)}
