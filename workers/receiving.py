"""What a worker's main process does with each message: follow, adopt, or give back.

Celery asks a task's strategy what to do with its messages, the consumer what to do with those of unknown tasks, and the
request what to do when the child that ran one is gone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from signal import SIGKILL
from typing import Any, cast

import structlog
from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import task_ready
from celery.worker.strategy import default as default_strategy
from kombu.message import Message

from salesboost import wire
from salesboost.errors import CallError, SalesBoostError, ToolNotFound, ToolUnavailable
from salesboost.models import JobState
from scheduler.outcomes import Stale
from tasks.attempt import worker_name
from workers import adoption
from workers.main_process import MainProcess

log = structlog.get_logger(__name__)

RETURNED_HINT = (0.5, 1.5)
"""Seconds between which a hint that this worker could not follow is pushed again, for a worker that can. A fixed time
would be in step with the pops of the worker that gave it back, and would bring it the hint again and again."""

POSTPONED = 1.0
"""Seconds until a plain message is offered to the ledger again that could not take it."""


def _until_again() -> float:
    return random.uniform(*RETURNED_HINT)  # nosec B311 - spreading, not a secret


def main_process(app: Any) -> MainProcess:
    """Return what the main process of *app*'s worker holds."""
    found: MainProcess = app.salesboost
    return found


def strategy(task: Task[Any, Any], app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Follow our hints as Celery would, adopt everybody else's messages."""
    follow = default_strategy(task, app, consumer, **options)

    def receive(message: Message, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        if not adoption.is_ours(message.headers):
            take_in(consumer, message)
            return None
        try:
            job_of(message)
            return follow(message, body, ack, reject, callbacks, **more)
        except consumer.connection_errors:
            raise
        except Exception as exc:
            # The edge for hints: one that cannot be read must not end the worker; its job, if any, is hinted again.
            drop(message, exc)
            return None

    return receive


def job_of(message: Message) -> str:
    """Return the job that a hint names.

    Raises:
        ValueError: No hint is like this. Celery would find out when a place in its pool is taken, and lose the place.
    """
    headers = cast(dict[str, Any], message.headers)
    match message.payload, headers.get("timelimit"), headers.get("eta"):
        case [[str(job_id)], {}, dict()], [None, None], None:
            return job_id
        case _:
            raise ValueError("neither a hint nor a plain message")


def take_in(consumer: Any, message: Message) -> None:
    """Adopt a plain message for a tool that this worker serves, or tell its producer why not."""
    try:
        _adopt(consumer, message)
    except ToolNotFound as exc:
        # The ledger was emptied; this worker publishes its tools again.
        _postpone(consumer, message, exc)


def _adopt(consumer: Any, message: Message) -> None:
    """Adopt a plain message or refuse it, and acknowledge it; postpone it while the ledger is away.

    Raises:
        ToolNotFound: The ledger knows no such tool. The message is as it was.
    """
    main = main_process(consumer.app)
    try:
        adoption.adopt(main.store, main.settings, message)
        message.ack()
    except ToolNotFound:
        raise
    except ToolUnavailable as exc:
        _postpone(consumer, message, exc)
    except CallError as exc:
        _refuse(consumer.app, message, exc)
    except Exception as exc:
        # The edge for foreign messages: one that cannot be read must not end the worker.
        drop(message, exc)


def _refuse(app: Any, message: Message, error: CallError) -> None:
    log.warning("adoption_refused", task=message.headers.get("task"), code=error.code)
    try:
        adoption.refuse(app, message, error)
        message.ack()
    except Exception as exc:
        # The edge for foreign messages, as above: nobody can be told.
        drop(message, exc)


def _postpone(consumer: Any, message: Message, why: Exception) -> None:
    """Try to adopt a message again in a while; meanwhile it takes no place in the prefetch window.

    It is not put back into its queue: a server without memory would not take it.
    """
    log.warning("adoption_postponed", task=message.headers.get("task"), error=str(why)[:300])

    def again() -> None:
        consumer.qos.decrement_eventually()
        if message.headers["task"] in consumer.strategies:
            take_in(consumer, message)
        else:
            consumer.on_unknown_task(None, message, why)

    consumer.qos.increment_eventually()
    consumer.timer.call_after(POSTPONED, again)


def drop(message: Message, why: Exception) -> None:
    """Let go of a message that cannot be read."""
    log.warning("message_dropped", task=message.headers.get("task"), error=repr(why)[:300])
    if not message.acknowledged:
        message.reject()


class ToolConsumer(Consumer):
    """Gives back hints of tools that this worker does not know; another worker, perhaps a newer one, does."""

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        name = str(message.headers.get("task", ""))
        if not name.startswith(wire.TASK_PREFIX):
            super().on_unknown_task(body, message, exc)
        elif adoption.is_ours(message.headers):
            self._give_back(name, message)
        else:
            try:
                _adopt(self, message)
            except ToolNotFound:
                super().on_unknown_task(body, message, exc)

    def _give_back(self, name: str, message: Message) -> None:
        try:
            job_id = job_of(message)
        except Exception as exc:
            # The edge for hints, as in `strategy`.
            drop(message, exc)
            return
        try:
            main_process(self.app).ledger.return_hint(job_id, _until_again())
        except SalesBoostError as error:
            log.warning("hint_not_returned", job=job_id, error=str(error))
        log.info("unknown_tool", task=name, job=job_id)
        message.ack()


_ENDS = (WorkerLostError, Terminated, TimeLimitExceeded, SystemExit, KeyboardInterrupt, MemoryError)
"""How billiard says that an attempt ended with its child, or with the hard limit that ended both. Of the last three,
Celery would end the worker's main process too."""


class ToolRequest(Request):
    """Tells the ledger at once when the attempt's child is gone.

    The ledger decides what becomes of the job; Celery, whose result back end would call it failed, is not asked.
    """

    _ended = False

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._end("hard time limit")

    def on_success(self, failed__retval__runtime: tuple[bool, Any, float], **options: Any) -> Any:
        failed, value, _ = failed__retval__runtime
        if failed:
            return self.on_failure(value, return_ok=True)
        return super().on_success(failed__retval__runtime, **options)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        cause = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(cause, _ENDS):
            self._end(f"{type(cause).__name__}: {cause}"[:200])
            return None
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def cancel(self, pool: Any, signal: int | None = None, emit_retry: bool = True) -> None:
        """End the attempt without counting it, because the worker is stopping."""
        with suppress(NotImplementedError):  # a thread cannot be ended
            pool.terminate_job(self.worker_pid, SIGKILL)
        self._end("worker stopped", spare=True)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Cancel the job that ``celery control revoke`` means; without this it would be hinted again and again."""
        cast(Any, super())._announce_revoked(reason, terminated, signum, expired)
        try:
            main_process(self.app).store.call("cancel_job", str(self.args[0]))
        except SalesBoostError as exc:
            log.warning("revoked_job_not_cancelled", job=self.args[0], error=str(exc))

    def _end(self, why: str, *, spare: bool = False) -> None:
        task_ready(self)
        pid = getattr(self, "worker_pid", None)
        main = main_process(self.app)
        if pid is not None and self.args:
            try:
                ended = main.ledger.abandon(self.args[0], worker_name(pid), why, spare=spare or main.stopping)
                if ended == Stale(JobState.QUEUED) and not self._ended:  # its hint is used up, and it was not claimed
                    main.ledger.return_hint(self.args[0], _until_again())
            except SalesBoostError as exc:
                log.warning("attempt_not_abandoned", job=self.args[0], error=str(exc))
        self._ended = True
        self.acknowledge()


class ToolTask(Task[Any, Any]):
    """Base of the tools' Celery tasks."""

    abstract = True
    Strategy = f"{__name__}:strategy"
    Request = f"{__name__}:ToolRequest"
