"""What the ledger answers a worker; callers `match` on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """The attempt holds the job.

    Attributes:
        job_id: The job.
        attempt: Its number, which is the fencing token.
        payload: JSON.
        tool: The tool's name.
        role: The caller's role.
        tenant: The caller's tenant.
        tool_call_id: The caller's idempotency key.
        remaining: Seconds to the deadline, None for none.
        plain: True for a call of a plain Celery producer, whose result goes to Celery's back end as well.
        faults: Earlier attempts that ended with a retryable fault.
    """

    job_id: str
    attempt: int
    payload: bytes
    tool: str
    role: str
    tenant: str
    tool_call_id: str
    remaining: float | None
    plain: bool
    faults: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A limit is reached; the job is in its waiting room.

    Attributes:
        seconds: Until a token is there; 0 when a slot must be freed first.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Skip:
    """There is nothing to do: another attempt holds the job, or it has settled.

    Attributes:
        state: The state it is in; ``gone`` when the ledger does not have it.
    """

    state: str


Claim = Run | Wait | Skip


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome was taken.

    Attributes:
        state: The state the job is in now, ``retrying`` for one that will run again.
    """

    state: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The attempt does not hold the job any more; what it brought was refused.

    Attributes:
        state: The state the job is in.
    """

    state: str


Settlement = Settled | Stale


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin the effect.

    Attributes:
        again: True when an earlier attempt began it and never confirmed it.
    """

    again: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """An earlier attempt confirmed the effect.

    Attributes:
        receipt: The JSON it was confirmed with.
    """

    receipt: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """An earlier attempt began the effect, never confirmed it, and the policy forbids another."""


Fence = Begin | Done | Unknown | Stale
