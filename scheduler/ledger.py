"""The worker's side of the ledger: one typed method for each server-side function that workers call.

Keys and their TTLs are listed in `functions/00_keys.lua`. All methods are atomic, run by the state server's clock, and
may be repeated after a lost reply: the store repeats a command that broke with the connection, and the functions answer
a repeat of what they have done with the same answer or with `Stale`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Literal

from salesboost import calls, wire
from salesboost.models import ToolResult
from salesboost.store import StateStore
from scheduler.outcomes import Begin, Claim, Done, Fence, Run, Settled, Settlement, Skip, Stale, Unknown, Wait

Outcome = Literal["succeeded", "failed", "retry", "expired", "cancelled", "back"]


class Ledger:
    """The truth about jobs.

    Args:
        store: The state server.
        lease: Seconds an attempt may be silent before it counts as lost.
    """

    def __init__(self, store: StateStore, *, lease: float) -> None:
        self.store = store
        self.lease = lease
        self._lease_us = int(lease * 1_000_000)

    def claim(self, job_id: str, worker: str) -> Claim:
        """Start an attempt: take tokens of all its limits, count it and hold the job for a lease."""
        reply = self.store.call("claim_job", job_id, worker, self._lease_us, uuid.uuid4().hex)
        match wire.text(reply[0]):
            case "run":
                _, attempt, payload, tool, role, tenant, call_id, remaining, celery_id, faults = reply
                micros = int(remaining)
                return Run(
                    job_id=job_id,
                    attempt=int(attempt),
                    payload=payload,
                    tool=wire.text(tool),
                    role=wire.text(role),
                    tenant=wire.text(tenant),
                    tool_call_id=wire.text(call_id),
                    remaining=micros / 1e6 if micros >= 0 else None,
                    plain=bool(celery_id),
                    faults=int(faults),
                )
            case "wait":
                return Wait(int(reply[1]) / 1e6)
            case "gone":
                return Skip("gone")
            case _:
                return Skip(wire.text(reply[1]))

    def settle(
        self,
        job_id: str,
        attempt: int,
        outcome: Outcome,
        body: bytes = b"",
        *,
        run_seconds: float = 0.0,
        retry_in: float = 0.0,
        refund: bool = False,
    ) -> Settlement:
        """End an attempt: *body* is the result's or the error's JSON. The job's next one may be admitted by it.

        A ``retry`` becomes ``failed`` when no attempt is left or none can end before the deadline.
        """
        reply = self.store.call(
            "settle_job",
            job_id,
            attempt,
            outcome,
            body,
            int(run_seconds * 1e6),
            int(retry_in * 1e6),
            int(refund),
        )
        return _settlement(reply)

    def renew(self, held: Iterable[tuple[str, int]]) -> list[Literal["held", "lost", "cancelled"]]:
        """Renew the leases of the attempts that this process runs; say which it has lost."""
        flat = [part for pair in held for part in pair]
        words: dict[int, Literal["held", "lost", "cancelled"]] = {0: "lost", 1: "held", 2: "cancelled"}
        return [words[int(code)] for code in self.store.call("renew_leases", self._lease_us, *flat)]

    def abandon(
        self, job_id: str, worker: str, why: str, *, spare: bool = False, attempt: int | None = None
    ) -> Settlement:
        """Say that the process *worker*, which ran the job, has ended it: nobody need wait for its lease.

        Args:
            job_id: The job.
            worker: ``host:pid`` as given to `claim`.
            why: The reason, for the history.
            spare: True when the attempt must not count against the job: the worker was told to stop.
            attempt: The attempt that ended, None for whichever *worker* runs.
        """
        number = "" if attempt is None else attempt
        return _settlement(self.store.call("abandon_attempt", job_id, worker, why, int(spare), number))

    def return_hint(self, job_id: str, seconds: float) -> bool:
        """Give back a hint that this worker cannot follow; the job is hinted again after *seconds*."""
        return bool(self.store.call("return_hint", job_id, int(seconds * 1e6)))

    def advance(self, *, most: int = 200, most_releases: int = 100) -> tuple[int, float]:
        """Do what has come due. Return how much that was, and the seconds until something else is (at most 1)."""
        done, micros = self.store.call("advance_jobs", most, most_releases)
        return int(done), int(micros) / 1e6

    def begin_effect(self, job_id: str, attempt: int, key: str) -> Fence:
        """Set the fence before an effect."""
        reply = self.store.call("begin_effect", job_id, attempt, key, uuid.uuid4().hex)
        match wire.text(reply[0]):
            case "go":
                return Begin()
            case "again":
                return Begin(again=True)
            case "done":
                return Done(reply[1])
            case "unknown":
                return Unknown()
            case _:
                return Stale(wire.text(reply[1]))

    def end_effect(self, job_id: str, attempt: int, key: str, *, done: bool, receipt: bytes = b"null") -> bool:
        """Confirm an effect, or lift its fence. Return False when the attempt does not hold the job any more."""
        reply = self.store.call("end_effect", job_id, attempt, key, "done" if done else "undone", receipt)
        return wire.text(reply[0]) == "ok"

    def result(self, job_id: str) -> ToolResult | None:
        """Return the result of a job that has settled, None while it is open and when it is gone."""
        record = calls.settled_record(self.store.call("read_job", job_id, "", 0, 0))
        return calls.result_of(record) if record else None

    def progress(self, job_id: str, attempt: int, detail: bytes) -> None:
        """Publish how far an attempt is."""
        self.store.call("report_progress", job_id, attempt, detail)

    def replay(self, job_id: str) -> str:
        """Run a dead, failed or unknown job again. Return its state, or ``refused`` or ``gone``."""
        return wire.text(self.store.call("replay_job", job_id)[0])


def _settlement(reply: list[bytes]) -> Settlement:
    if wire.text(reply[0]) == "stale":
        return Stale(wire.text(reply[1]))
    return Settled(wire.text(reply[0]))
