"""What a call costs the state server, counted by the server: `docs/architecture.md` promises the figures.

MONITOR shows each command with the client that sent it, so that what a call costs is told from what a worker does
anyway; ``INFO commandstats`` then counts the same calls without looking at names.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import psutil
import pytest
import redis

from config.settings import Settings
from salesboost import CallSpec, ToolClient
from tests.wait import wait_until
from workers.stack import Stack

pytestmark = pytest.mark.xdist_group("round_trips")

N = 40
SLOW = 0.4
"""Seconds: a call that takes longer may ask the ledger again, because it hears nothing."""

CLIENT = "counted"
LINE = re.compile(rb"^\d+\.\d+ \[\d+ ([^\]]*)\] (.*)$", re.DOTALL)
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')

BACKGROUND = {
    "sb1_advance_jobs",  # pumps
    "sb1_revision",  # a worker's heartbeat looks whether the functions are there
    "sb1_renew_leases",
}


@dataclass
class Command:
    """A command as MONITOR shows it: the client's address, ``lua`` for one that a function made, and its words."""

    client: str
    words: list[str]

    @property
    def name(self) -> str:
        """The function for an FCALL, else the command."""
        return self.words[1] if self.words[0].upper() == "FCALL" else self.words[0].upper()


@dataclass
class Monitor:
    """Everything that the server at *url* does while the block runs."""

    url: str
    commands: list[Command] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Addresses of the client under test."""

    _connection: Any = None

    def __enter__(self) -> Self:
        self._marker = uuid.uuid4().hex
        self._server = redis.Redis.from_url(self.url)
        self._connection = self._server.connection_pool.get_connection()
        self._connection.send_command("MONITOR")
        assert self._connection.read_response() == b"OK"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        clients = self._server.client_list()
        self.named = {client["addr"] for client in clients if client["name"] == CLIENT}
        self._server.echo(self._marker)
        self._thread.join(timeout=30)
        self._connection.disconnect()
        self._server.close()

    def _read(self) -> None:
        while True:
            line = cast(bytes, self._connection.read_response(disable_decoding=True))
            found = LINE.match(line)
            assert found, line
            words = [word.decode() for word in WORD.findall(found[2])]
            if words[-1] == self._marker:
                return
            self.commands.append(Command(found[1].decode(), words))

    def by_client(self) -> Counter[str]:
        """Return what the client under test sent."""
        return Counter(command.name for command in self.commands if command.client in self.named)

    def by_others(self) -> Counter[str]:
        """Return what everybody else sent."""
        return Counter(
            command.name for command in self.commands if command.client != "lua" and command.client not in self.named
        )

    def naming(self, ids: Iterable[str]) -> Counter[str]:
        """Return what anybody sent that names one of *ids*."""
        known = set(ids)
        return Counter(
            command.name
            for command in self.commands
            if command.client != "lua" and any(word in known for word in command.words)
        )

    def functions(self) -> Counter[str]:
        """Return the functions that anybody called, without the ones that workers call anyway."""
        names = (command.name for command in self.commands if command.words[0].upper() == "FCALL")
        return Counter(name for name in names if name not in BACKGROUND)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker with two processes, and servers of its own."""
    home = tmp_path_factory.mktemp("round_trips")
    with Stack(
        Settings(home=home), workers=1, concurrency=2, tool_modules=["tests.process.adoption_tools"], beat=False
    ) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[ToolClient]:
    """A client by whose name its connections are known, which has made a call to each tool before."""
    with ToolClient(f"{stack.state_url}?client_name={CLIENT}", cache_url=stack.cache_url) as running:
        for tool in ("add", "act", "remembered"):
            running.call(tool, {"number": 0, "more": int(time.time())}, caller_role="viewer")
        yield running


def make_calls(client: ToolClient, tool: str, **payload: Any) -> tuple[list[str], int]:
    """Make N calls one after the other; return the jobs and how many times `SLOW` they were over their time."""
    jobs: list[str] = []
    slow = 0
    for number in range(N):
        began = time.monotonic()
        result = client.call(tool, {"more": number, **payload}, caller_role="viewer")
        slow += int((time.monotonic() - began) / SLOW)
        jobs.append(str(result.audit.job_id))
    return jobs, slow


def test_a_submit_costs_one_round_trip(client: ToolClient, stack: Stack) -> None:
    # Given a client that has just looked at the catalogue
    client.tools()
    # When it submits calls that miss the cache
    with Monitor(stack.state_url) as monitor:
        handles = [
            client.submit("remembered", {"number": number, "more": uuid.uuid4().int >> 80}, caller_role="viewer")
            for number in range(N)
        ]
    for handle in handles:
        assert handle.result(timeout=30).ok
    # Then it sends one command for each, and one in all when what it knew of the catalogue has grown old meanwhile
    sent = monitor.by_client()
    assert sent.pop("HGETALL", 0) <= 1
    assert sent == {"sb1_submit_job": N}


def test_an_executed_call_costs_a_claim_and_a_settle(client: ToolClient, stack: Stack) -> None:
    # When calls are made one after the other
    began = time.monotonic()
    with Monitor(stack.state_url) as monitor:
        jobs, slow = make_calls(client, "add", number=1)
    # Then each is claimed once and settled once, and nothing else was sent that names it
    named = monitor.naming(jobs)
    assert named.pop("sb1_read_job", 0) <= 2 * slow
    assert named == {"sb1_claim_job": N, "sb1_settle_job": N}
    # And its client submits it and looks into its inbox, once each
    sent = monitor.by_client()
    assert sent.pop("HGETALL", 0) <= 1
    assert sent["BLMPOP"] + sent.pop("sb1_read_job", 0) <= N + 3 * slow
    assert sent.pop("BLMPOP") >= N - slow
    assert sent == {"sb1_submit_job": N}
    # And no function was called besides
    functions = monitor.functions()
    functions.pop("sb1_read_job", None)
    assert functions == {"sb1_submit_job": N, "sb1_claim_job": N, "sb1_settle_job": N}
    # And kombu pops each hint, and what else the worker does goes by the clock, not by the calls
    done = monitor.by_others()
    assert N <= done.pop("BRPOP") <= 2 * N
    assert max((done - functions).values(), default=0) < N / 4 + 6 * (time.monotonic() - began)


def test_an_effect_costs_two_more(client: ToolClient, stack: Stack) -> None:
    # When calls with two effects each are made
    with Monitor(stack.state_url) as monitor:
        jobs, slow = make_calls(client, "act", number=2)
    # Then each effect is begun and ended once
    named = monitor.naming(jobs)
    assert named.pop("sb1_read_job", 0) <= 2 * slow
    assert named == {
        "sb1_claim_job": N,
        "sb1_begin_effect": 2 * N,
        "sb1_end_effect": 2 * N,
        "sb1_settle_job": N,
    }


def test_a_cache_hit_costs_nothing(client: ToolClient, stack: Stack) -> None:
    # Given a result in the cache
    payload = {"number": 3, "more": uuid.uuid4().int >> 80}
    assert not client.call("remembered", payload, caller_role="viewer").audit.cached
    client.tools()
    # When the same call is made many times
    with Monitor(stack.state_url) as monitor:
        results = [client.call("remembered", payload, caller_role="viewer") for _ in range(N)]
    # Then the state server hears nothing of it
    assert all(result.audit.cached for result in results)
    sent = monitor.by_client()
    assert sent.pop("HGETALL", 0) <= 1
    assert sent == {}


def test_many_calls_are_submitted_in_one_pipeline(client: ToolClient, stack: Stack) -> None:
    # Given many calls, and a worker that stands still, so that the server hears the client alone
    calls: list[CallSpec] = [{"name": "add", "payload": {"number": number}} for number in range(5 * N)]
    client.tools()
    # When they are submitted together
    worker = psutil.Process(stack.process("worker-1").pid)
    worker.suspend()
    try:
        with redis.Redis.from_url(stack.state_url) as server:
            before = reads(server)
            handles = client.submit_many(calls, caller_role="viewer")
            after = reads(server)
    finally:
        worker.resume()
    # Then the server read from its socket a few times: as often as the pipeline fills its buffer of 16 KiB
    assert after - before < len(calls) / 4
    assert all(handle.result(timeout=30).ok for handle in handles)


def test_commandstats_count_at_most_six_round_trips_for_a_call(client: ToolClient, stack: Stack) -> None:
    with redis.Redis.from_url(stack.state_url) as server:
        # Given what the server does while there is nothing to do
        idle = measure(server, lambda: wait_until(elapsed(0.5), description="half a second"))
        # When calls are made
        busy = measure(server, lambda: make_calls(client, "add", number=1))
    # Then each cost at most six round trips beside kombu's own BRPOP and what the worker does anyway
    costs = {name: busy.count[name] - idle.count[name] / idle.seconds * busy.seconds for name in ("fcall", "blmpop")}
    assert costs["fcall"] + costs["blmpop"] <= 6 * N
    # And in fact a submit, a claim, a settle and a look into the inbox
    assert busy.count["fcall"] >= 3 * N
    assert busy.count["brpop"] <= 2 * N


@dataclass(frozen=True)
class Measured:
    """Calls of each command, over so many seconds."""

    count: Counter[str]
    seconds: float


def measure(server: redis.Redis, action: Callable[[], object]) -> Measured:
    before, began = commandstats(server), time.monotonic()
    action()
    seconds = time.monotonic() - began
    return Measured(commandstats(server) - before, seconds)


def commandstats(server: redis.Redis) -> Counter[str]:
    found = cast(dict[str, dict[str, int]], server.info("commandstats"))
    return Counter({name.removeprefix("cmdstat_"): int(stats["calls"]) for name, stats in found.items()})


def reads(server: redis.Redis) -> int:
    return int(cast(dict[str, int], server.info("stats"))["total_reads_processed"])


def elapsed(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until
