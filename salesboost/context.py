"""What a running tool knows of its call, and what it may do with it.

`ToolContext` is the seam between a tool and whatever runs it. Workers give a context that is backed by the
ledger; `salesboost.testing.LocalContext` gives one for a tool's own tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Protocol, Self


class BoundLogger(Protocol):
    """The part of a structured logger that tools use; job, tool and attempt are already bound."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...


class Effect(ABC):
    """One thing a call does to the world and cannot take back, fenced so that it is begun once.

    Used as a context manager. Entering sets a durable fence; leaving without an exception confirms the
    effect. When the process dies in between, nobody can know whether the provider acted: the job's next
    attempt meets the fence and the tool's policy decides (see `docs/architecture.md`, Effects).

    Attributes:
        key: The tool's name for the effect, unique within the job.
        idempotency_key: Stable over all attempts of the job; give it to a provider that accepts one.
        done: True when an earlier attempt confirmed the effect. Do not act again; use `receipt`.
        receipt: The JSON value given to `confirm`, None before.
    """

    key: str
    idempotency_key: str
    done: bool
    receipt: Any

    @abstractmethod
    def confirm(self, receipt: Any = None) -> None:
        """Record durably that the provider acted; *receipt* is any JSON value of at most 16 KiB."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ToolContext(ABC):
    """The call that a tool body is serving.

    Attributes:
        tool_call_id: The caller's idempotency key.
        job_id: The ledger's identity of the call.
        attempt: 1 for the first execution; it is also the fencing token.
        caller_role: The role the call was admitted with.
        tenant: The tenant the call belongs to.
        log: A structured logger with the call's identity bound.
    """

    tool_call_id: str
    job_id: str
    attempt: int
    caller_role: str
    tenant: str
    log: BoundLogger

    @abstractmethod
    def remaining(self) -> float:
        """Return the seconds left before the soft time limit or the call's deadline, never negative."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """True once the caller has cancelled the call or the attempt has lost its lease."""

    @abstractmethod
    def progress(self, fraction: float, message: str = "") -> None:
        """Publish how far the work is: *fraction* in 0..1, *message* of at most 200 characters.

        A progress event is advice: it is never stored in the job and may be dropped.
        """

    @abstractmethod
    def effect(self, key: str = "effect") -> Effect:
        """Return the fenced effect named *key* (see `Effect`).

        Raises:
            OutcomeUnknown: On entering, when an earlier attempt began it, never confirmed it, and the
                tool's `effect` policy is ``"write"``.
        """
