"""For a tool's own tests: run it without workers, servers or a ledger."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any, Self

from salesboost.context import Effect, ToolContext
from salesboost.errors import OutcomeUnknown
from salesboost.policy import EffectKind


class _Log:
    def __init__(self) -> None:
        self._logger = logging.getLogger("salesboost.tool")

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, "%s %s", event, fields)

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)


class LocalEffect(Effect):
    """An effect whose fence is a dictionary: pass the same one to a second context to play a retry."""

    def __init__(self, job_id: str, key: str, fences: dict[str, Any], policy: EffectKind) -> None:
        self.key = key
        self.idempotency_key = f"{job_id}:{key}"
        self._fences = fences
        self._policy = policy
        state, receipt = fences.get(key, ("", None))
        self.done = state == "done"
        self.receipt = receipt

    def __enter__(self) -> Self:
        if self._policy == "write" and self._fences.get(self.key, ("", None))[0] == "begun":
            raise OutcomeUnknown(f"effect {self.key!r} was begun by an earlier attempt and never confirmed")
        if not self.done:
            self._fences[self.key] = ("begun", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if getattr(exc, "no_effect", False):
            del self._fences[self.key]
        elif exc is None and not self.done:
            self.confirm()

    def confirm(self, receipt: Any = None) -> None:
        self._fences[self.key] = ("done", receipt)
        self.done, self.receipt = True, receipt


class LocalContext(ToolContext):
    """A context that lives in this process.

    Attributes:
        fences: Effects begun and done, by key; give them to another context to play a second attempt.
        reported: The progress the tool published, as (fraction, message).
        effect_policy: The tool's `effect`: what happens at a fence that an earlier attempt never confirmed.
    """

    def __init__(
        self,
        *,
        caller_role: str = "system",
        tenant: str = "default",
        tool_call_id: str = "test-call",
        attempt: int = 1,
        timeout: float = 60.0,
        fences: dict[str, Any] | None = None,
        effect_policy: EffectKind = "write",
    ) -> None:
        self.tool_call_id = tool_call_id
        self.job_id = f"job-{tool_call_id}"
        self.attempt = attempt
        self.caller_role = caller_role
        self.tenant = tenant
        self.log = _Log()
        self.fences: dict[str, Any] = {} if fences is None else fences
        self.effect_policy: EffectKind = effect_policy
        self.reported: list[tuple[float, str]] = []
        self._ends = time.monotonic() + timeout
        self._cancelled = False

    def remaining(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Make `cancelled` true."""
        self._cancelled = True

    def progress(self, fraction: float, message: str = "") -> None:
        self.reported.append((fraction, message))

    def effect(self, key: str = "effect") -> LocalEffect:
        return LocalEffect(self.job_id, key, self.fences, self.effect_policy)
