"""Runs one attempt of a job: claim, validate, run the tool under its limits, settle. Called by the Celery tasks.

Round trips to the state server: 2 (claim, settle), 2 more for each effect, 1 more for each third of a lease that the
tool runs, 1 to the cache server when the tool's results are cached.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from config.settings import Settings
from salesboost import wire
from salesboost.errors import ToolUnavailable
from salesboost.faults import SoftTimeLimit
from salesboost.models import ErrorInfo
from salesboost.store import CacheStore
from scheduler import retries
from scheduler.ledger import Ledger, Outcome
from scheduler.outcomes import Run, Settlement, Skip, Stale, Wait
from tasks import faults, time_limits
from tasks.context import AttemptContext
from tasks.heart import Heart, Held
from tasks.registry import Registered, Registry

log = structlog.get_logger(__name__)

SETTLE_PATIENCE = 60.0
"""Seconds for which an outcome is kept and offered again while the state server is away."""

Finished = tuple[Settlement, Outcome, Any]
"""How the ledger took it, what the attempt came to, and the result or the `ErrorInfo`."""


class Attempts:
    """Runs attempts in this process. One instance a process; its threads share it.

    Args:
        registry: The tools this process serves.
        ledger: The ledger.
        cache: The cache server, None when there is none.
        settings: The settings in force.
        on_hard_limit: Called with the claim when a tool outlives its hard limit; must be quick.
        on_late_return: Called when such a tool comes back all the same.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        cache: CacheStore | None,
        settings: Settings,
        *,
        on_hard_limit: Callable[[Run], None] = lambda run: None,
        on_late_return: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._cache = cache
        self._settings = settings
        self._heart = Heart(ledger)
        self._schemas: dict[str, dict[str, Any]] = {}
        self._on_hard_limit = on_hard_limit
        self._on_late_return = on_late_return
        self.worker = worker_name(os.getpid())

    def perform(self, job_id: str) -> Wait | Skip | Finished:
        """Run the job's next attempt, if there is one to run.

        Whatever the tool raises is settled. When this returns or raises, the ledger knows, or will find out by the
        lease, what became of the attempt.
        """
        claim = self._ledger.claim(job_id, self.worker)
        if not isinstance(claim, Run):
            return claim
        registered = self._registry.get(claim.tool)
        if registered is None:
            self._ledger.abandon(job_id, self.worker, "tool unknown to this worker", spare=True, attempt=claim.attempt)
            return Skip("queued")
        with self._heart.holding(
            job_id,
            claim.attempt,
            hard_limit=registered.policy.timeout,
            on_hard_limit=lambda: self._on_hard_limit(claim),
            on_late_return=self._on_late_return,
        ) as held:
            return self._run(claim, registered, held)

    def _run(self, run: Run, registered: Registered, held: Held) -> Finished:
        tool, policy = registered.tool, registered.policy
        budget = policy.soft_limit if run.remaining is None else min(policy.soft_limit, run.remaining)
        started = time.monotonic()

        def spent() -> float:
            return time.monotonic() - started

        context = AttemptContext(self._ledger, run, held, started + budget)
        try:
            body = self._call(registered, run.payload, context, budget).model_dump_json().encode()
        except _Misfit as exc:
            return self._fail(run, registered, faults.invalid_input(exc.error, tool.name), spent())
        except MemoryError:
            return self._crash(run, "MemoryError")
        except Exception as exc:
            # The edge of an attempt: whatever a tool raises is settled here, once.
            verdict = faults.judge(exc, tool.name)
            if held.cancelled:
                return self._settle(run, "cancelled", _cancelled(run), spent())
            if isinstance(exc, SoftTimeLimit) and run.remaining is not None and spent() >= run.remaining:
                return self._settle(run, "expired", _expired(run), spent())
            if verdict.error.type not in _EXPECTED:
                log.warning(
                    "tool_raised",
                    tool=tool.name,
                    job=run.job_id,
                    attempt=run.attempt,
                    error=verdict.error.type,
                )
            return self._fail(run, registered, verdict, spent())
        except BaseException as exc:
            # sys.exit, KeyboardInterrupt: a tool must not take its worker along; it counts as a crash.
            return self._crash(run, type(exc).__name__)
        return self._succeed(run, registered, body, spent())

    def _call(self, registered: Registered, payload: bytes, context: AttemptContext, budget: float) -> BaseModel:
        tool = registered.tool
        function: Callable[..., Any] = tool.function
        try:
            args = tool.input_model.model_validate_json(payload)
        except ValidationError as exc:
            raise _Misfit(exc) from exc
        run = time_limits.run_async if tool.is_async else time_limits.run_sync
        value = run(lambda: function(args, context), budget)
        if not isinstance(value, tool.output_model):
            raise TypeError(f"returned {type(value).__name__}, its annotation says {tool.output_model.__name__}")
        return cast(BaseModel, value)

    def _succeed(self, run: Run, registered: Registered, body: bytes, seconds: float) -> Finished:
        if len(body) > self._settings.max_result:
            error = ErrorInfo(
                code="TOOL_RESULT_TOO_LARGE",
                type="ResultTooLarge",
                message=f"{run.tool}: the result is {len(body)} bytes of JSON, at most {self._settings.max_result} are "
                "stored; return less or a reference",
            )
            return self._settle(run, "failed", error, seconds)
        if registered.policy.cache_ttl and self._cache:
            self._cache.set(self._cache_key(run, registered), body, registered.policy.cache_ttl)
        settlement = self._offer(run, "succeeded", body, seconds)
        return settlement, "succeeded", orjson.loads(body) if run.plain else None

    def _fail(self, run: Run, registered: Registered, verdict: faults.Verdict, seconds: float) -> Finished:
        if not verdict.retry:
            return self._settle(run, "failed", verdict.error, seconds, refund=verdict.refund)
        wait = retries.delay(
            run.faults + 1, base=self._settings.tool_retry_base_delay, retry_after=verdict.error.retry_after
        )
        return self._settle(run, "retry", verdict.error, seconds, retry_in=wait)

    def _crash(self, run: Run, why: str) -> Finished:
        log.error("tool_crashed", tool=run.tool, job=run.job_id, attempt=run.attempt, error=why)
        settlement = self._ledger.abandon(run.job_id, self.worker, why, attempt=run.attempt)
        return settlement, "back", None

    def _settle(
        self,
        run: Run,
        outcome: Outcome,
        error: ErrorInfo,
        seconds: float,
        *,
        retry_in: float = 0.0,
        refund: bool = False,
    ) -> Finished:
        body = error.model_dump_json().encode()
        return self._offer(run, outcome, body, seconds, retry_in=retry_in, refund=refund), outcome, error

    def _offer(
        self,
        run: Run,
        outcome: Outcome,
        body: bytes,
        seconds: float,
        *,
        retry_in: float = 0.0,
        refund: bool = False,
    ) -> Settlement:
        patience = time.monotonic() + SETTLE_PATIENCE
        while True:
            try:
                settlement = self._ledger.settle(
                    run.job_id,
                    run.attempt,
                    outcome,
                    body,
                    run_seconds=seconds,
                    retry_in=retry_in,
                    refund=refund,
                )
            except ToolUnavailable:
                if time.monotonic() >= patience:
                    raise
                time.sleep(0.2)
                continue
            if isinstance(settlement, Stale):
                log.warning(
                    "late_outcome_refused",
                    tool=run.tool,
                    job=run.job_id,
                    attempt=run.attempt,
                    state=settlement.state,
                )
            return settlement

    def _cache_key(self, run: Run, registered: Registered) -> str:
        schema = self._schemas.get(run.tool)
        if schema is None:
            schema = self._schemas[run.tool] = registered.tool.input_model.model_json_schema()
        payload = wire.canonical(wire.with_defaults(orjson.loads(run.payload), schema))
        return wire.cache_key(
            self._settings.namespace,
            run.tool,
            registered.tool.version,
            payload,
            tenant=run.tenant,
            role=run.role,
        )


_EXPECTED = frozenset(
    {
        "InputFault",
        "PermissionFault",
        "NotFoundFault",
        "ConflictFault",
        "TransientFault",
        "ProviderLimited",
        "SoftTimeLimit",
    }
)


class _Misfit(Exception):
    """Raised for a payload that does not fit the input model; a ValidationError of the tool's own is another thing."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.error = error


def worker_name(pid: int) -> str:
    """Return the name under which the process *pid* of this host claims jobs."""
    return f"{socket.gethostname()}:{pid}"


def _expired(run: Run) -> ErrorInfo:
    return ErrorInfo(
        code="TOOL_EXPIRED",
        type="CallExpired",
        message=f"the deadline of call {run.tool_call_id} to {run.tool} passed while it ran; submit it again with a "
        "later deadline",
    )


def _cancelled(run: Run) -> ErrorInfo:
    return ErrorInfo(
        code="TOOL_CANCELLED",
        type="CallCancelled",
        message=f"call {run.tool_call_id} to {run.tool} was cancelled by its caller",
    )
