"""What has become of each tool's calls, as the state server counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BASE = 1.1
"""Two buckets of a histogram differ by this factor, so that a quantile is at most 5 % off."""


@dataclass(frozen=True, slots=True)
class ToolStatistics:
    """Counts of one tool since the ledger began; gauges are of now.

    Attributes:
        tool: The tool's name.
        submitted: Calls taken into the ledger.
        waiting: Jobs in the waiting room, or parked until a limit is free.
        queued: Jobs that a worker may take.
        running: Attempts under way.
        retrying: Jobs between two attempts.
        succeeded: Jobs that ended with a result.
        failed: Jobs that ended without one, dead and unknown ones included.
        cached: Calls answered from the cache; they never became jobs.
        refused: Calls refused because of a limit.
        retries: Attempts after the first one.
        rescues: Attempts taken over from a process that died or fell silent.
        latencies: Jobs by latency from submit to settled: bucket -> count; bucket b holds BASE^b … BASE^(b+1) µs.
    """

    tool: str
    submitted: int = 0
    waiting: int = 0
    queued: int = 0
    running: int = 0
    retrying: int = 0
    succeeded: int = 0
    failed: int = 0
    cached: int = 0
    refused: int = 0
    retries: int = 0
    rescues: int = 0
    latencies: Mapping[int, int] | None = None

    def quantile(self, share: float, *, since: ToolStatistics | None = None) -> float | None:
        """Return the milliseconds within which *share* of the jobs settled, None when none has.

        Args:
            share: 0.5 for the median.
            since: Earlier statistics; only jobs settled after them count.
        """
        before = (since.latencies if since else None) or {}
        counts = {b: n - before.get(b, 0) for b, n in (self.latencies or {}).items() if n > before.get(b, 0)}
        left = share * sum(counts.values())
        for bucket in sorted(counts):
            left -= counts[bucket]
            if left <= 0:
                return float(BASE ** (bucket + 0.5) / 1000)
        return None


def read_all(
    tools: Sequence[str], fields: Sequence[Mapping[str, str]], counts: Mapping[str, int]
) -> dict[str, ToolStatistics]:
    """Return the statistics of each tool.

    Args:
        tools: The tools' names.
        fields: The fields of each one's ``stats:<tool>`` hash.
        counts: Hits and misses of the cache, ``<tool>:hits`` and ``<tool>:misses``.
    """
    return {tool: read(tool, found, counts.get(f"{tool}:hits", 0)) for tool, found in zip(tools, fields, strict=True)}


def read(tool: str, fields: Mapping[str, str], cached: int) -> ToolStatistics:
    """Return the statistics that the fields of a ``stats:<tool>`` hash say."""

    def number(name: str) -> int:
        return int(fields.get(name, 0))

    return ToolStatistics(
        tool=tool,
        submitted=number("submitted"),
        waiting=number("n:waiting"),
        queued=number("n:queued"),
        running=number("n:running"),
        retrying=number("n:retrying"),
        succeeded=number("t:succeeded"),
        failed=sum(number(f"t:{state}") for state in ("failed", "cancelled", "expired", "dead", "unknown")),
        cached=cached,
        refused=number("refused"),
        retries=number("retries"),
        rescues=number("rescues"),
        latencies={int(name[6:]): int(count) for name, count in fields.items() if name.startswith("total:")},
    )
