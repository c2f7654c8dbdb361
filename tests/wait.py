"""Wait for a condition with a bound."""

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], *, timeout: float = 10.0, description: str) -> None:
    """Return as soon as `predicate` holds, asking every 10 ms.

    Raises:
        AssertionError: If it does not hold within `timeout` seconds; the message carries `description`.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {description}")
        time.sleep(0.01)
