"""The Celery application of the workers and of beat."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu import Exchange, Queue

from config.settings import Settings
from salesboost import wire
from scheduler import schedule
from tasks import celery_tasks, maintenance
from tasks.engine import Engine
from workers import transport

RESULT_EXPIRES = 3600
"""Seconds for which Celery's back end keeps the results of plain producers."""


LOST_WAIT = 0.5
"""Seconds after a child's death in which its last result may still arrive; Celery's default of 10 is a recovery time.
Being wrong is harmless: the ledger refuses to abandon what has settled."""


def celery_url(url: str) -> str:
    """Return *url* as kombu and Celery spell it: they name a unix socket differently from redis-py."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


def create_app(settings: Settings) -> Celery:
    """Return the application without tasks; `add_tools` binds them."""
    transport.install()
    broker = celery_url(settings.state_url)
    app = Celery("salesboost", broker=broker, backend=broker, set_as_current=True)
    app.conf.update(
        # Hints may be lost or doubled: no acknowledgement is kept in Redis, which halves a worker's broker traffic and
        # takes the visibility timeout out of the game. It stays high for tools that look at it.
        broker_transport_options={
            "ack_emulation": False,
            "visibility_timeout": 86_400 * 7,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "socket_connect_timeout": 2,
            "fanout_prefix": True,
            "fanout_patterns": True,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_acks_on_failure_or_timeout=True,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_compression=None,
        result_compression=None,
        result_expires=RESULT_EXPIRES,
        task_default_queue=wire.PLAIN_QUEUE,
        worker_prefetch_multiplier=1,
        worker_send_task_events=settings.events,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,  # see workers.soft_stop
        worker_detect_quorum_queues=False,
        worker_lost_wait=LOST_WAIT,
        worker_proc_alive_timeout=30.0,  # a child of a busy machine may need more than the default of 4 s
        worker_consumer="workers.receiving:ToolConsumer",
        enable_utc=True,
        timezone="UTC",
        beat_schedule=schedule.entries(settings),
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=5,
    )
    return app


def add_tools(app: Celery, engine: Engine) -> None:
    """Bind the tools' tasks and the maintenance tasks."""
    app.task_cls = "workers.receiving:ToolTask"
    celery_tasks.bind(app, engine)
    maintenance.bind(app, engine)


def queues(settings: Settings, names: list[str]) -> list[Queue]:
    """Return the Celery queues for policy queue names, with the ones of beat and of plain producers."""
    keys = [wire.queue_key(settings.namespace, name) for name in (*names, schedule.QUEUE)]
    return [Queue(key, Exchange(""), routing_key=key) for key in (*keys, wire.PLAIN_QUEUE)]
