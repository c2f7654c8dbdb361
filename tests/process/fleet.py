"""A few real workers on real servers, with what a test wants to know of them."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import redis

from config.settings import Settings
from salesboost import ToolClient, wire
from salesboost.connections import connect
from salesboost.handle import JobHandle
from tests.wait import wait_until
from workers.embedded import EmbeddedServers
from workers.stack import Stack

LEASE = 1.5
TOOLS = "tests.process.process_tools"
FAST = {
    "SALESBOOST_LEASE": str(LEASE),
    "SALESBOOST_SOFT_SHUTDOWN": "1",
    "SALESBOOST_LOG_LEVEL": "info",
    "TOOL_RETRY_BASE_DELAY": "0.05",
}


@dataclass
class Fleet:
    """Workers of one namespace.

    Attributes:
        stack: Their processes.
        client: A producer.
        server: A plain connection to the state server.
        home: Their folder.
    """

    stack: Stack
    client: ToolClient
    server: redis.Redis
    namespace: str
    home: Path

    @property
    def root(self) -> str:
        return wire.root(self.namespace)

    def submit(self, tool: str, *, role: str = "sdr", **payload: Any) -> JobHandle:
        return self.client.submit(tool, payload, caller_role=role)

    def submit_many(self, tool: str, count: int, **payload: Any) -> list[JobHandle]:
        specs: Any = [{"name": tool, "payload": payload, "tool_call_id": f"{tool}-{n}"} for n in range(count)]
        return self.client.submit_many(specs, caller_role="sdr")

    def pid(self, worker: str = "worker-1") -> int:
        return self.stack.process(worker).pid

    def children(self, worker: str = "worker-1") -> list[int]:
        """Return the processes of a worker's pool."""
        return [child.pid for child in psutil.Process(self.pid(worker)).children()]

    def kill(self, worker: str) -> None:
        """End a worker and its pool with SIGKILL."""
        process = self.stack.process(worker)
        process.kill()
        process.wait()

    def freeze(self, worker: str) -> list[psutil.Process]:
        """Stop a worker and its pool in their tracks."""
        everyone = [psutil.Process(self.pid(worker)), *map(psutil.Process, self.children(worker))]
        for process in everyone:
            process.send_signal(signal.SIGSTOP)
        return everyone

    def fields(self, job_id: str) -> dict[str, str]:
        found = cast(dict[bytes, bytes], self.server.hgetall(f"{self.root}:job:{job_id}"))
        return {wire.text(name): wire.text(value) for name, value in found.items()}

    def states(self, handle: JobHandle) -> list[str]:
        return [event.type for event in handle.history()]

    def running(self) -> list[str]:
        """Return the jobs that run now."""
        keys = cast(list[bytes], list(self.server.scan_iter(f"{self.root}:job:*", 1000)))
        return [wire.text(key).rsplit(":", 1)[1] for key in keys if self.server.hget(key, "state") == b"running"]

    def log(self, worker: str = "worker-1") -> str:
        return (self.stack.logs / f"{worker}.log").read_text(encoding="utf-8", errors="replace")

    def await_running(self, handle: JobHandle, *, attempt: int = 1) -> None:
        wait_until(
            lambda: (f := self.fields(handle.job_id))["state"] == "running" and f["attempts"] == str(attempt),
            timeout=20,
            description=f"attempt {attempt} of {handle}",
        )


def lines(log: Path) -> list[tuple[str, int, int]]:
    """Return (call, attempt, process) of each execution that left a line."""
    if not log.exists():
        return []
    found = [line.split() for line in log.read_text().splitlines()]
    return [(call, int(attempt), int(pid)) for call, attempt, pid in found]


def executions(log: Path) -> Counter[str]:
    """Return how often each call was executed."""
    return Counter(call for call, _, _ in lines(log))


@contextlib.contextmanager
def a_fleet(
    servers: EmbeddedServers,
    home: Path,
    *,
    workers: int = 1,
    concurrency: int = 2,
    pool: str = "prefork",
    tool_modules: Sequence[str] = (TOOLS,),
    beat: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Generator[Fleet]:
    """Run workers in a namespace of their own."""
    namespace = f"f{uuid.uuid4().hex[:10]}"
    variables = {**FAST, "SALESBOOST_NAMESPACE": namespace, **(environment or {})}
    settings = Settings(
        redis_url=servers.state_url,
        cache_url=servers.cache_url,
        namespace=namespace,
        home=home,
        soft_shutdown=float(variables["SALESBOOST_SOFT_SHUTDOWN"]),
    )
    stack = Stack(
        settings,
        workers=workers,
        concurrency=concurrency,
        pool=pool,
        tool_modules=tool_modules,
        beat=beat,
        environment=variables,
    )
    server = connect(servers.state_url, timeout=5)
    client = ToolClient(servers.state_url, cache_url=servers.cache_url, namespace=namespace, result_timeout=60)
    try:
        with stack:
            yield Fleet(stack, client, server, namespace, home)
    finally:
        client.close()
        server.close()


@contextlib.contextmanager
def burning_cpus() -> Generator[None]:
    """Keep every processor busy meanwhile."""
    children = []
    for _ in range(os.cpu_count() or 1):
        child = os.fork()
        if not child:
            while True:
                pass
        children.append(child)
    try:
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
