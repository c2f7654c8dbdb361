"""A Celery worker that stops softly: what it runs may finish for a while, and is then given back.

Celery's own soft shutdown (REMAP_SIGTERM, `worker_soft_shutdown_timeout`) sleeps its whole time-out inside the signal
handler, whatever ends meanwhile, and then raises SystemExit in the tools, which cannot be told from a crash (celery
5.7.0, `on_cold_shutdown`). Here every stop is Celery's warm shutdown, in which the pool drains and time limits are
kept, with an end: SIGTERM, SIGINT, ``celery control shutdown``, and an error of the worker itself. SIGQUIT, or a second
SIGINT, gives back at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import structlog
from celery import platforms
from celery.apps.worker import Worker
from celery.worker import state

from workers.main_process import MainProcess
from workers.receiving import ToolRequest

log = structlog.get_logger(__name__)

LOOK = 0.05
"""Seconds between two looks at the running attempts."""

LEAVE_WITHIN = 2.0
"""Seconds from the giving back to the end of a process whose threads go on."""


class ToolWorker(Worker):
    """Ends as soon as its attempts are done, and no later than its soft shutdown allows."""

    _at_once = False

    def install_platform_tweaks(self, worker: Any) -> None:
        super().install_platform_tweaks(worker)
        # REMAP_SIGTERM makes children deaf to the SIGTERM of a terminal or a supervisor that sends it to the whole
        # group, which is why it is set; here it is taken back for the main process.
        platforms.signals.update(SIGTERM=self._on_signal, SIGINT=self._on_signal, SIGQUIT=self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        # A second Ctrl-C means what SIGQUIT means: do not wait.
        if number == signal.SIGQUIT or (number == signal.SIGINT and state.should_stop is not None):
            self._at_once = True
        state.should_stop = 0  # type: ignore[assignment]  # the stubs know the initial None alone

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        main: MainProcess = self.app.salesboost
        main.stopping = True
        threading.Thread(target=self._give_back, args=(main,), name="give-back", daemon=True).start()
        super().stop(in_sighandler=in_sighandler, exitcode=exitcode)

    def _give_back(self, main: MainProcess) -> None:
        until = time.monotonic() + main.settings.soft_shutdown
        while time.monotonic() < until and not self._at_once and _running():
            time.sleep(LOOK)
        running = _running()
        if not running:
            return
        log.warning("attempts_given_back", count=len(running))
        for request in running:
            request.cancel(self.pool)
        # A pool of processes drains now. Threads cannot be ended, and their jobs are others' from here on.
        time.sleep(LEAVE_WITHIN)
        main.stop()
        os._exit(self.exitcode or 0)


def _running() -> list[ToolRequest]:
    while True:
        try:
            return [request for request in tuple(state.active_requests) if isinstance(request, ToolRequest)]
        except RuntimeError:  # the set has changed meanwhile
            continue
