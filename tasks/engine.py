"""The parts that a process needs to run attempts, made once and again in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from config.settings import Settings
from salesboost.errors import SalesBoostError
from salesboost.store import CacheStore, StateStore
from scheduler.ledger import Ledger
from scheduler.outcomes import Run
from tasks.attempt import Attempts, worker_name
from tasks.registry import Registry


@dataclass
class Engine:
    """Gives each process its own connections and its own `Attempts`.

    Attributes:
        registry: The tools this worker serves.
        settings: The settings in force.
        threads: Size of the pool when attempts run in threads, which nothing can end at their hard limit; else 0.
        on_exhausted: Called when every thread of the pool hangs in a tool that has outlived its hard limit.
    """

    registry: Registry
    settings: Settings
    threads: int = 0
    on_exhausted: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _made: tuple[int, Attempts] | None = field(default=None, init=False)
    _hanging: int = field(default=0, init=False)

    def attempts(self) -> Attempts:
        """Return this process's runner."""
        made = self._made
        if made is not None and made[0] == os.getpid():
            return made[1]
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), self._make())
            return self._made[1]

    def ledger(self, *, timeout: float = 5.0) -> Ledger:
        """Return a ledger with connections of its own."""
        store = StateStore(self.settings.state_url, namespace=self.settings.namespace, timeout=timeout)
        return Ledger(store, lease=self.settings.lease)

    def _make(self) -> Attempts:
        ledger = self.ledger()
        cache_url = self.settings.cache_server_url
        cache = (
            CacheStore(cache_url, namespace=self.settings.namespace)
            if cache_url and self.settings.tool_cache_enabled
            else None
        )
        if not self.threads:
            return Attempts(self.registry, ledger, cache, self.settings)
        return Attempts(
            self.registry,
            ledger,
            cache,
            self.settings,
            on_hard_limit=lambda run: self._lose_thread(ledger, run),
            on_late_return=self._regain_thread,
        )

    def _lose_thread(self, ledger: Ledger, run: Run) -> None:
        def abandon() -> None:
            with suppress(SalesBoostError):  # else the lease runs out by itself
                ledger.abandon(run.job_id, worker_name(os.getpid()), "hard time limit", attempt=run.attempt)

        threading.Thread(target=abandon, name=f"abandon-{run.job_id[:8]}", daemon=True).start()
        with self._lock:
            self._hanging += 1
            exhausted = self._hanging >= self.threads
        if exhausted:
            self.on_exhausted()

    def _regain_thread(self) -> None:
        with self._lock:
            self._hanging -= 1
