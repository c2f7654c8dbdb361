"""The context and the effects of an attempt that a worker runs, backed by the ledger."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import orjson
import structlog

from salesboost.context import BoundLogger, Effect, ToolContext
from salesboost.errors import OutcomeUnknown
from salesboost.faults import InputFault
from scheduler.ledger import Ledger
from scheduler.outcomes import Begin, Done, Run, Stale, Unknown
from tasks.heart import Held

MAX_RECEIPT = 16 * 1024
"""Bytes of an effect's receipt."""


class LeaseLost(Exception):
    """Raised when an attempt acts after its job went to another; what it brings is refused anyway."""


class AttemptContext(ToolContext):
    """What a tool body sees while a worker runs it.

    Args:
        ledger: The ledger.
        run: The claim.
        held: The lease.
        ends: `time.monotonic` value of the soft limit or the deadline, whichever is first.
    """

    def __init__(self, ledger: Ledger, run: Run, held: Held, ends: float) -> None:
        self._ledger = ledger
        self._held = held
        self._ends = ends
        self.tool_call_id = run.tool_call_id
        self.job_id = run.job_id
        self.attempt = run.attempt
        self.caller_role = run.role
        self.tenant = run.tenant
        self.log: BoundLogger = structlog.get_logger("tool").bind(tool=run.tool, job=run.job_id, attempt=run.attempt)

    def remaining(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    @property
    def cancelled(self) -> bool:
        return self._held.cancelled or self._held.lost

    def progress(self, fraction: float, message: str = "") -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress must be a fraction in 0..1, got {fraction!r}")
        detail = orjson.dumps({"fraction": fraction, "message": message[:200]})
        self._ledger.progress(self.job_id, self.attempt, detail)

    def effect(self, key: str = "effect") -> FencedEffect:
        return FencedEffect(self._ledger, self.job_id, self.attempt, key)


class FencedEffect(Effect):
    """An effect whose fence stands in the job's record."""

    def __init__(self, ledger: Ledger, job_id: str, attempt: int, key: str) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._attempt = attempt
        self.key = key
        self.idempotency_key = f"{job_id}:{key}"
        self.done = False
        self.receipt: Any = None

    def __enter__(self) -> Self:
        match self._ledger.begin_effect(self._job_id, self._attempt, self.key):
            case Begin():
                pass
            case Done(receipt):
                self.done, self.receipt = True, orjson.loads(receipt)
            case Unknown():
                raise OutcomeUnknown(
                    f"effect {self.key!r} of job {self._job_id} was begun by an earlier attempt and never confirmed; "
                    "ask the provider, then resolve the job"
                )
            case Stale(state):
                raise LeaseLost(f"job {self._job_id} is {state}; this attempt must not begin effect {self.key!r}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.done:
            return
        if exc is None:
            self.confirm()
        elif getattr(exc, "no_effect", False):
            self._ledger.end_effect(self._job_id, self._attempt, self.key, done=False)

    def confirm(self, receipt: Any = None) -> None:
        encoded = orjson.dumps(receipt)
        if len(encoded) > MAX_RECEIPT:
            raise InputFault(
                f"the receipt of effect {self.key!r} is {len(encoded)} bytes of JSON, at most {MAX_RECEIPT} are kept"
            )
        if not self._ledger.end_effect(self._job_id, self._attempt, self.key, done=True, receipt=encoded):
            raise LeaseLost(f"job {self._job_id} went to another attempt while effect {self.key!r} was running")
        self.done, self.receipt = True, receipt
