"""What beat does, and when; the only place. Every tick is idempotent, so that two beats do no harm."""

from __future__ import annotations

from typing import Any

from config.settings import Settings
from salesboost import wire

QUEUE = "maintenance"
"""The queue of beat's ticks; every worker serves it."""

ADVANCE = "maintenance.advance"
ADVANCE_EVERY = 5.0
"""Seconds. Workers' pumps do the same continuously; beat is the second pair of eyes."""


def entries(settings: Settings) -> dict[str, Any]:
    """Return Celery's beat schedule."""
    queue = wire.queue_key(settings.namespace, QUEUE)
    return {
        "advance": {
            "task": ADVANCE,
            "schedule": ADVANCE_EVERY,
            "options": {
                "queue": queue,
                "routing_key": queue,
                "expires": ADVANCE_EVERY,
                "ignore_result": True,
            },
        },
    }
