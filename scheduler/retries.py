"""How long to wait before another attempt."""

from __future__ import annotations

import random

MAX_DELAY = 300.0
"""Seconds; a guess at what a caller still calls a retry."""


def delay(fault: int, *, base: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the *fault*-th retryable fault: exponential back-off with full jitter.

    Source: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

    Args:
        fault: 1 for the first.
        base: Seconds; the n-th wait is drawn from 0 to ``base · 2^(n-1)``, at most `MAX_DELAY`.
        retry_after: The provider's own word; never undercut, and jittered above so that not all come back at once.
    """
    ceiling = min(base * 2 ** min(fault - 1, 30), MAX_DELAY)
    jitter = random.uniform(0, ceiling)  # nosec B311 - spreading load, not a secret
    return jitter if retry_after is None else retry_after + min(jitter, 0.1 * retry_after + base)
