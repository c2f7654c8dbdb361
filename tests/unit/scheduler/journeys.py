"""The shortest way into each state and over each step between states, by the functions alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.unit.scheduler.ledger_bed import GRACE, LEASE, Bed

ERROR: Final = b'{"code":"TOOL_UNAVAILABLE","type":"TransientFault","message":"down","retryable":true}'
HOUR: Final = 3600.0


def publish_all(bed: Bed) -> None:
    """Publish one tool for each kind of policy."""
    bed.publish("free")
    bed.publish("single", concurrency=1)
    bed.publish("hourly", limit="1/hour", retries=5)
    bed.publish("tenanted", limit_keys=("1/hour per tenant",), retries=5)
    bed.publish("writer", effect="write")


def queued(bed: Bed, tool: str = "free", **fields: Any) -> str:
    return bed.accepted(tool, **fields)


def running(bed: Bed, tool: str = "free", **fields: Any) -> str:
    job = queued(bed, tool, **fields)
    bed.run(job)
    return job


def waiting(bed: Bed, tool: str = "hourly", **fields: Any) -> str:
    bed.accepted(tool)
    return bed.accepted(tool, **fields)


def retrying(bed: Bed, tool: str = "free", *, retry_in: float = 2.0, **fields: Any) -> str:
    job = running(bed, tool, **fields)
    bed.ledger.settle(job, 1, "retry", ERROR, retry_in=retry_in)
    return job


def succeeded(bed: Bed) -> str:
    job = running(bed)
    bed.ledger.settle(job, 1, "succeeded", b"{}")
    return job


def failed(bed: Bed, tool: str = "free") -> str:
    job = running(bed, tool)
    bed.ledger.settle(job, 1, "failed", ERROR)
    return job


def cancelled(bed: Bed) -> str:
    job = queued(bed)
    bed.cancel(job)
    return job


def expired(bed: Bed) -> str:
    job = queued(bed, deadline=1.0)
    bed.age(2)
    bed.advance()
    return job


def dead(bed: Bed, tool: str = "free") -> str:
    job = queued(bed, tool)
    for _ in range(3):
        bed.age(HOUR)
        bed.run(job)
        bed.ledger.abandon(job, "host:1", "killed")
    return job


def unknown(bed: Bed, tool: str = "writer") -> str:
    job = running(bed, tool)
    bed.ledger.begin_effect(job, 1, "sms")
    bed.ledger.abandon(job, "host:1", "killed")
    return job


INTO: Final[dict[str, Callable[[Bed], str]]] = {
    "waiting": waiting,
    "queued": queued,
    "running": running,
    "retrying": retrying,
    "succeeded": succeeded,
    "failed": failed,
    "cancelled": cancelled,
    "expired": expired,
    "dead": dead,
    "unknown": unknown,
}


def _waiting_to_queued(bed: Bed) -> str:
    job = waiting(bed)
    bed.age(HOUR)
    bed.advance()
    return job


def _waiting_to_waiting(bed: Bed) -> str:
    # Scheduled first, and at its limit when its time has come.
    job = bed.accepted("hourly", delay=60.0)
    bed.run(bed.accepted("hourly"))
    bed.age(61)
    bed.advance()
    return job


def _waiting_to_cancelled(bed: Bed) -> str:
    job = waiting(bed)
    bed.cancel(job)
    return job


def _waiting_to_expired(bed: Bed) -> str:
    job = waiting(bed, deadline=2 * HOUR)
    bed.publish("hourly", limit="1/day")
    bed.age(2 * HOUR)
    bed.advance()
    return job


def _queued_to_waiting(bed: Bed) -> str:
    bed.run(bed.accepted("tenanted"))
    job = bed.accepted("tenanted")
    bed.ledger.claim(job, "host:1")
    return job


def _queued_to_failed(bed: Bed) -> str:
    first, job = bed.accepted("tenanted", on_limit="raise"), bed.accepted("tenanted", on_limit="raise")
    bed.run(first)
    bed.ledger.claim(job, "host:1")
    return job


def _running_to(outcome: Any) -> Callable[[Bed], str]:
    def go(bed: Bed) -> str:
        job = running(bed)
        bed.ledger.settle(job, 1, outcome, ERROR)
        return job

    return go


def _running_to_queued(bed: Bed) -> str:
    job = running(bed)
    bed.age(LEASE + 1)
    bed.advance()
    return job


def _retrying_to_queued(bed: Bed) -> str:
    job = retrying(bed)
    bed.age(3)
    bed.advance()
    return job


def _retrying_to_waiting(bed: Bed) -> str:
    job = retrying(bed, "hourly")
    bed.age(3)
    bed.advance()
    return job


def _retrying_to_cancelled(bed: Bed) -> str:
    job = retrying(bed)
    bed.cancel(job)
    return job


def _retrying_to_expired(bed: Bed) -> str:
    # A retry that would end after the deadline is not begun, so the deadline passes while no pump runs.
    job = retrying(bed, deadline=3.0)
    bed.age(4)
    bed.advance()
    return job


def _replayed(into: Callable[..., str], tool: str) -> Callable[[Bed], str]:
    def go(bed: Bed) -> str:
        job = into(bed, tool)
        bed.ledger.replay(job)
        return job

    return go


STEPS: Final[dict[tuple[str, str], Callable[[Bed], str]]] = {
    ("new", "queued"): queued,
    ("new", "waiting"): waiting,
    ("waiting", "queued"): _waiting_to_queued,
    ("waiting", "waiting"): _waiting_to_waiting,
    ("waiting", "cancelled"): _waiting_to_cancelled,
    ("waiting", "expired"): _waiting_to_expired,
    ("queued", "running"): running,
    ("queued", "waiting"): _queued_to_waiting,
    ("queued", "cancelled"): cancelled,
    ("queued", "expired"): expired,
    ("queued", "failed"): _queued_to_failed,
    ("running", "succeeded"): succeeded,
    ("running", "failed"): failed,
    ("running", "retrying"): retrying,
    ("running", "queued"): _running_to_queued,
    ("running", "cancelled"): _running_to("cancelled"),
    ("running", "expired"): _running_to("expired"),
    ("running", "dead"): dead,
    ("running", "unknown"): unknown,
    ("retrying", "queued"): _retrying_to_queued,
    ("retrying", "waiting"): _retrying_to_waiting,
    ("retrying", "cancelled"): _retrying_to_cancelled,
    ("retrying", "expired"): _retrying_to_expired,
    ("failed", "queued"): _replayed(failed, "free"),
    ("failed", "waiting"): _replayed(failed, "hourly"),
    ("dead", "queued"): _replayed(dead, "free"),
    ("dead", "waiting"): _replayed(dead, "hourly"),
    ("unknown", "queued"): _replayed(unknown, "writer"),
    ("unknown", "waiting"): _replayed(unknown, "hourly_writer"),
}

__all__ = ["ERROR", "GRACE", "HOUR", "INTO", "STEPS", "publish_all"]
