"""What a worker's main process does with each message: follow, adopt, or give back.

Celery asks a task's strategy what to do with its messages, the consumer what to do with those of unknown tasks, and the
request what to do when the child that ran one is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, WorkerLostError
from celery import Task
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.strategy import default as default_strategy
from kombu.message import Message

from salesboost import wire
from salesboost.errors import CallError, SalesBoostError, ToolNotFound, ToolUnavailable
from tasks.attempt import worker_name
from workers import adoption
from workers.main_process import MainProcess

log = structlog.get_logger(__name__)

RETURNED_HINT = 1.0
"""Seconds until a hint that this worker could not follow is pushed again, for a worker that can."""


def main_process(app: Any) -> MainProcess:
    """Return what the main process of *app*'s worker holds."""
    found: MainProcess = app.salesboost
    return found


def strategy(task: Task[Any, Any], app: Any, consumer: Consumer, **options: Any) -> Callable[..., Any]:
    """Follow our hints as Celery would, adopt everybody else's messages."""
    follow = default_strategy(task, app, consumer, **options)

    def receive(message: Message, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        if adoption.is_ours(message.headers):
            return follow(message, body, ack, reject, callbacks, **more)
        take_in(app, message)
        ack()
        return None

    return receive


def take_in(app: Any, message: Message) -> None:
    """Adopt a plain message, or tell its producer why not; while the ledger is away it goes back to its queue."""
    main = main_process(app)
    try:
        adoption.adopt(main.store, main.settings, message)
    except ToolUnavailable as exc:
        log.warning("adoption_postponed", task=message.headers.get("task"), error=str(exc))
        message.requeue()
    except CallError as exc:
        log.warning("adoption_refused", task=message.headers.get("task"), code=exc.code)
        adoption.refuse(app, message, exc)
    except Exception as exc:
        # The edge for foreign messages: one that cannot be read must not end the worker.
        log.warning("adoption_failed", task=message.headers.get("task"), error=repr(exc)[:200])


class ToolConsumer(Consumer):
    """Gives back hints of tools that this worker does not know; another worker, perhaps a newer one, does."""

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        name = str(message.headers.get("task", ""))
        if not name.startswith(wire.TASK_PREFIX):
            super().on_unknown_task(body, message, exc)
            return
        main = main_process(self.app)
        if not adoption.is_ours(message.headers):
            try:
                adoption.adopt(main.store, main.settings, message)
            except ToolNotFound:
                super().on_unknown_task(body, message, exc)
                return
            except SalesBoostError:
                message.requeue()
                return
            message.ack()
            return
        job_id = message.decode()[0][0]
        try:
            main.ledger.return_hint(job_id, RETURNED_HINT)
        except SalesBoostError as error:
            log.warning("hint_not_returned", job=job_id, error=str(error))
        log.info("unknown_tool", task=name, job=job_id)
        message.ack()


class ToolRequest(Request):
    """Tells the ledger at once when the child that ran an attempt is gone."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._abandon("hard time limit")
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        cause = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(cause, (WorkerLostError, Terminated)):
            self._abandon(f"{type(cause).__name__}: {cause}"[:200])
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def _abandon(self, why: str) -> None:
        pid = getattr(self, "worker_pid", None)
        main = main_process(self.app)
        if pid is None or not self.args:
            return
        try:
            main.ledger.abandon(self.args[0], worker_name(pid), why, spare=main.stopping)
        except SalesBoostError as exc:
            log.warning("attempt_not_abandoned", job=self.args[0], error=str(exc))


class ToolTask(Task[Any, Any]):
    """Base of the tools' Celery tasks."""

    abstract = True
    Strategy = f"{__name__}:strategy"
    Request = f"{__name__}:ToolRequest"
