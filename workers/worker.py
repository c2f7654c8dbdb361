"""Starts one Celery worker that serves the tools."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Literal

# Makes children deaf to SIGTERM, so that a supervisor may send it to the whole group; see workers.soft_stop for what it
# does to the main process. Celery and billiard read the variable when they are imported.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

import structlog
from celery import signals
from celery.worker import state

from config import logs
from config.settings import Settings
from salesboost.errors import ConfigurationError
from scheduler.checks import check_servers
from tasks.engine import Engine
from tasks.registry import Registry
from workers.app import add_tools, create_app, queues
from workers.main_process import MainProcess
from workers.soft_stop import ToolWorker

log = structlog.get_logger(__name__)

Pool = Literal["prefork", "threads", "solo"]
_POOLS = {"prefork": "workers.pool:TaskPool"}


def run_worker(
    settings: Settings,
    *,
    queue_names: Sequence[str] = (),
    concurrency: int | None = None,
    pool: Pool = "prefork",
    tool_modules: Sequence[str] = (),
) -> int:
    """Run a worker until it is told to stop and return its exit code.

    Args:
        settings: The settings in force.
        queue_names: Queues to serve; all that the tools name when empty.
        concurrency: Attempts at a time; the number of processors for processes, 32 for threads, when None.
        pool: ``prefork`` for processes, ``threads`` for tools that wait on others.
        tool_modules: Further modules with tools.

    Raises:
        ConfigurationError: `check_servers` or the discovery of tools finds an error; nothing was started.
    """
    logs.configure(settings)
    registry = Registry.discover(settings, tool_modules)
    wrong = [finding for finding in check_servers(settings) if finding.level == "error"]
    if wrong:
        raise ConfigurationError("; ".join(f"{finding.about}: {finding.message}" for finding in wrong))
    names = list(queue_names) or registry.queues()
    size = concurrency or (32 if pool == "threads" else os.cpu_count() or 1)
    engine = Engine(registry, settings, threads=size if pool == "threads" else 0, on_exhausted=_give_up)
    app = create_app(settings)
    app.conf.task_queues = queues(settings, names)
    add_tools(app, engine)
    main = MainProcess(settings, registry, queues=names, pool=pool, concurrency=size)
    app.salesboost = main  # type: ignore[attr-defined]
    _prepare(registry)
    main.introduce()
    _connect(settings, main)
    worker: Any = app.subclass_with_self(ToolWorker)(
        pool=_POOLS.get(pool, pool),
        concurrency=size,
        hostname=f"salesboost-{os.getpid()}@{socket.gethostname()}",
        quiet=True,
        loglevel="WARNING",
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
    )
    try:
        worker.start()
    finally:
        main.stop()
    return int(worker.exitcode or 0)


def _give_up() -> None:
    # Nothing can end a thread but the end of its process; whoever supervises this one starts another.
    log.error("every_thread_hangs", action="the worker ends")
    state.should_stop = 1  # type: ignore[assignment]  # the stubs know the initial None alone


def _prepare(registry: Registry) -> None:
    for registered in registry:
        if registered.tool.prepare is None:
            continue
        try:
            registered.tool.prepare()
        except Exception as exc:
            # A tool's dependency may be away for now; its calls find out, and the other tools must be served.
            log.warning("tool_not_prepared", tool=registered.tool.name, error=repr(exc)[:300])


def _connect(settings: Settings, main: MainProcess) -> None:
    def ready(**_: Any) -> None:
        main.start()
        log.info("worker_ready", worker=main.name, tools=main.registry.names())

    def set_up_logging(**_: Any) -> None:
        logs.configure(settings)

    signals.worker_ready.connect(ready, weak=False)
    signals.setup_logging.connect(set_up_logging, weak=False)
