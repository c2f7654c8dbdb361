"""Celery's pool of processes, which here notices within a second that a child is gone.

billiard learns of a child's death at once, gives a last result of it `LOST_WAIT` to arrive, and then looks again when
its maintenance timer comes round, every 5 s.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency import asynpool, prefork

LOOK = 0.5
"""Seconds between two rounds of maintenance."""


class AsynPool(asynpool.AsynPool):
    """The pool behind the event loop."""

    @property
    def timers(self) -> dict[Any, float]:
        return {self.maintain_pool: LOOK}


class TaskPool(prefork.TaskPool):
    """What ``--pool prefork`` runs."""

    Pool = AsynPool
