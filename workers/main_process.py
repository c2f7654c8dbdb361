"""What the main process of a worker holds: connections with short time-outs, and the loops beside Celery's."""

from __future__ import annotations

import os
import socket
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import structlog

from config.settings import Settings
from salesboost import wire
from salesboost.store import StateStore
from scheduler import fleet, library
from scheduler.ledger import Ledger
from tasks.celery_tasks import describe
from tasks.registry import Registry

log = structlog.get_logger(__name__)

HEARTBEAT = 3.0
"""Seconds between two signs of life."""

PATIENCE = 1.0
"""Seconds that the main process waits for the state server; Celery's event loop stands still meanwhile."""


class MainProcess:
    """The parts of a worker that live once in its main process.

    Attributes:
        settings: The settings in force.
        registry: The tools this worker serves.
        stopping: True once the worker was told to stop: what it leaves is not the jobs' fault.
    """

    def __init__(
        self, settings: Settings, registry: Registry, *, queues: list[str], pool: str, concurrency: int
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.stopping = False
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._facts: dict[str, str | int] = {
            "tools": " ".join(registry.names()),
            "queues": " ".join(queues),
            "pool": pool,
            "concurrency": concurrency,
            "version": version("salesboost"),
            "since": int(time.time()),
        }
        self.store = StateStore(settings.state_url, namespace=settings.namespace, timeout=PATIENCE)
        self.ledger = Ledger(self.store, lease=settings.lease)
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Register the worker, which is ready now, and start the loops."""
        self.beat()
        for target in (self._pump, self._listen, self._live):
            thread = threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the loops and take the worker off the list."""
        self._stop.set()
        self._woken.set()
        for thread in self._threads:
            thread.join(timeout=3)
        try:
            fleet.leave(self.store.redis, self.settings.namespace, self.name)
        except Exception as exc:
            # Leaving is a courtesy: the entry has a TTL.
            log.info("worker_left_silently", error=str(exc))

    def introduce(self) -> None:
        """Load the functions and publish tools and policies. The worker itself registers when it is ready."""
        library.load(self.store.redis)
        fleet.publish(self.store.redis, [(describe(r), r.policy) for r in self.registry], self.settings)

    def beat(self) -> None:
        """Give a sign of life."""
        fleet.heartbeat(self.store.redis, self.settings.namespace, self.name, self._facts)

    def _pump(self) -> None:
        """Advance the ledger, then sleep until something else is due or a submit wakes this pump."""
        store = StateStore(self.settings.state_url, namespace=self.settings.namespace, timeout=5.0)
        ledger = Ledger(store, lease=self.settings.lease)
        while not self._stop.is_set():
            try:
                self._woken.clear()
                done, seconds = ledger.advance()
                if not done:
                    self._woken.wait(seconds)
            except Exception as exc:
                # The edge of the loop: whatever the server does, the pump goes on.
                log.warning("pump_failed", error=str(exc)[:300])
                self._stop.wait(0.5)

    def _listen(self) -> None:
        """Wake the pump when a submit makes something possible before the pump meant to look.

        The pump itself does not block on the server: a time-out of BLPOP comes up to 100 ms late (the server looks
        at them `hz` times a second), which is too coarse for a limit of 50 a second.
        """
        store = StateStore(self.settings.state_url, namespace=self.settings.namespace, timeout=5.0)
        wake = f"{wire.root(self.settings.namespace)}:wake"
        while not self._stop.is_set():
            try:
                if cast(Any, store.redis.blpop([wake], 1.0)):
                    self._woken.set()
            except Exception:
                # The edge of the loop: the pump looks every second by itself.
                self._stop.wait(1.0)

    def _live(self) -> None:
        """Give signs of life; introduce the worker again to a state server that has forgotten it."""
        while not self._stop.wait(HEARTBEAT):
            try:
                if not self.store.redis.exists(f"{wire.root(self.settings.namespace)}:fleet") or not library.loaded(
                    self.store.redis
                ):
                    log.warning("state_server_is_empty", action="published tools and functions again")
                    self.introduce()
                self.beat()
                self.touch()
            except Exception as exc:
                # The edge of the loop: an unreachable server makes the heartbeat file stale, which is what probes read.
                log.warning("heartbeat_failed", error=str(exc)[:300])

    def touch(self) -> None:
        """Touch the heartbeat file that readiness probes look at."""
        folder = Path(self.settings.home) / "heartbeats"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.name.replace(":", "-")).touch()
