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
from tasks.attempt import Attempts, worker_name
from tasks.registry import Registry


@dataclass
class Engine:
    """Gives each process its own connections and its own `Attempts`.

    Attributes:
        registry: The tools this worker serves.
        settings: The settings in force.
        threads: True when attempts run in threads, which nothing can kill at their hard limit.
        on_lost_thread: Called when a thread has outlived its hard limit.
    """

    registry: Registry
    settings: Settings
    threads: bool = False
    on_lost_thread: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _made: tuple[int, Attempts] | None = field(default=None, init=False)

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
        return Attempts(
            self.registry,
            ledger,
            cache,
            self.settings,
            on_hard_limit=(lambda job_id: self._abandon(ledger, job_id)) if self.threads else lambda job_id: None,
        )

    def _abandon(self, ledger: Ledger, job_id: str) -> None:
        def run() -> None:
            with suppress(SalesBoostError):  # else the lease runs out by itself
                ledger.abandon(job_id, worker_name(os.getpid()), "hard time limit")
            self.on_lost_thread()

        threading.Thread(target=run, name=f"abandon-{job_id[:8]}", daemon=True).start()
