"""Runs a whole stack from one process: servers, workers, beat. Everything it starts dies with it.

Used by `salesboost up`, by `make demo` and by the tests.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from config.settings import ROOT, Settings, settings
from salesboost import locate
from salesboost.errors import ConfigurationError
from salesboost.store import StateStore
from scheduler import fleet
from workers.embedded import EmbeddedServerError, EmbeddedServers
from workers.supervise import Supervised, spawn

READY_WITHIN = 60.0
"""Seconds for the workers to register."""

RESTART_AFTER = 1.0
"""Seconds after which a process that ended by itself is started again."""


class Stack:
    """Servers (embedded unless their URLs are set), workers and beat.

    Args:
        settings: The settings; their `home` holds data and logs.
        workers: Worker processes.
        concurrency: Attempts at a time in each.
        pool: ``prefork`` or ``threads``.
        tool_modules: Further modules with tools.
        beat: Whether to run beat.
        environment: Further variables for the processes.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 2,
        concurrency: int = 2,
        pool: str = "prefork",
        tool_modules: Sequence[str] = (),
        beat: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._home = settings.home.absolute()
        self._extra = dict(environment or {})
        command = ["worker", "--concurrency", str(concurrency), "--pool", pool]
        for module in tool_modules:
            command += ["--tools", module]
        self._commands: dict[str, list[str]] = {f"worker-{n}": command for n in range(1, workers + 1)}
        self._workers = workers
        if beat:
            self._commands["beat"] = ["beat"]
        self._running: dict[str, Supervised] = {}
        self._exit = ExitStack()
        self.state_url = ""
        self.cache_url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def logs(self) -> Path:
        """The folder with the processes' logs."""
        return self._home / "logs"

    def start(self) -> None:
        """Start everything and wait until the workers have registered.

        Raises:
            EmbeddedServerError: A server did not start.
            ConfigurationError: A process ended at once, or the workers did not register; the message ends with its log.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.state_url, self.cache_url = self._servers()
        for name in self._commands:
            self.start_process(name)
        self._await_workers()

    def stop(self) -> None:
        """Stop everything: workers let attempts finish for a while, then give them back."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._exit.close()

    def process(self, name: str) -> Supervised:
        """Return a running process: ``worker-1`` …, ``beat``."""
        return self._running[name]

    def start_process(self, name: str) -> None:
        """Start a process of the stack, again if it ran before."""
        log = (self.logs / f"{name}.log").open("ab")
        with log:
            self._running[name] = spawn(
                [sys.executable, "-m", "workers", *self._commands[name]],
                env=self.environment(),
                stdout=log,
                grace=self._settings.soft_shutdown + 5,
                name=name,
            )

    def environment(self) -> dict[str, str]:
        """Return the environment in which a process finds this stack and our packages."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONWARNINGS": "ignore::UserWarning:celery.platforms",
            locate.STATE_VARIABLE: self.state_url,
            locate.CACHE_VARIABLE: self.cache_url,
            locate.HOME_VARIABLE: str(self._home),
            **self._extra,
        }

    def watch(self) -> list[str]:
        """Start again what has ended by itself; return the names."""
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        for name in ended:
            self.start_process(name)
        return ended

    def _servers(self) -> tuple[str, str]:
        given = self._settings.redis_url, self._settings.cache_url
        if given[0]:
            return given[0], given[1] or ""
        servers = EmbeddedServers(self._home)
        servers.start()
        self._exit.callback(servers.stop)
        return servers.state_url, given[1] or servers.cache_url

    def _await_workers(self) -> None:
        store = StateStore(self.state_url, namespace=self._settings.namespace)
        until = time.monotonic() + READY_WITHIN
        mine = {process.pid for name, process in self._running.items() if name.startswith("worker")}
        while not mine <= _registered(store, self._settings.namespace):
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise ConfigurationError(f"{name} ended with exit code {process.poll()}:\n{self._tail(name)}")
            if time.monotonic() > until:
                raise ConfigurationError(f"no worker registered within {READY_WITHIN:g} s:\n{self._tail('worker-1')}")
            time.sleep(0.02)
        store.close()

    def _tail(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-15:])


def _registered(store: StateStore, namespace: str) -> set[int]:
    return {int(facts["pid"]) for facts in fleet.workers(store.redis, namespace).values()}


def run_up(*, workers: int, concurrency: int, pool: str, tool_modules: Sequence[str], as_json: bool = False) -> int:
    """Run a stack in this terminal until Ctrl-C or SIGTERM; return the exit code.

    With *as_json* one line on stdout says where the servers are, when the workers are ready.
    """
    console = Console(stderr=True, soft_wrap=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())
    stack = Stack(settings(), workers=workers, concurrency=concurrency, pool=pool, tool_modules=tool_modules)
    try:
        with stack:
            console.print(
                f"state  {stack.state_url}\ncache  {stack.cache_url or 'none'}\nlogs   {stack.logs}",
                markup=False,
            )
            if as_json:
                ready = {"state": stack.state_url, "cache": stack.cache_url or None, "logs": str(stack.logs)}
                sys.stdout.write(json.dumps({**ready, "workers": workers}) + "\n")
                sys.stdout.flush()
            console.print(f"{workers} workers are ready. Try `salesboost tools` in another terminal; Ctrl-C stops all.")
            while not stop.wait(RESTART_AFTER):
                for name in stack.watch():
                    console.print(f"{name} ended by itself and was started again", style="yellow")
            console.print("stopping …")
    except EmbeddedServerError as exc:
        console.print(f"error: {exc}", style="red", markup=False)
        return 1
    return 0
