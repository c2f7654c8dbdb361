"""The tasks that beat sends."""

from __future__ import annotations

from celery import Celery, Task

from scheduler import schedule
from tasks.engine import Engine

MAX_ROUNDS = 50
"""Bounds one tick; what is left is for the next, or for the pumps."""


def bind(app: Celery, engine: Engine) -> None:
    """Register the maintenance tasks."""

    @app.task(name=schedule.ADVANCE, ignore_result=True, time_limit=60, base=Task)
    def advance() -> int:
        return advance_ledger(engine)


def advance_ledger(engine: Engine) -> int:
    """Do what has come due in the ledger; return how much that was."""
    ledger = engine.ledger()
    total = 0
    for _ in range(MAX_ROUNDS):
        done, _ = ledger.advance()
        total += done
        if not done:
            break
    ledger.store.close()
    return total
