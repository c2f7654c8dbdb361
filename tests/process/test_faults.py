"""What is lost, doubled or delayed when workers and servers are stopped, killed, frozen and restarted: nothing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery

from salesboost.errors import CallError, ToolUnavailable
from salesboost.handle import JobHandle
from salesboost.models import ToolResult
from tests.process.fleet import FAST, Fleet, a_fleet, executions, lines
from tests.wait import wait_until
from workers.embedded import EmbeddedServers
from workers.stack import Stack

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])
ALSO_THREADS = pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.slow)])
"""For what the two pools hardly do differently."""


def stop(fleet: Fleet, worker: str = "worker-1") -> tuple[int, float]:
    """Send SIGTERM and return exit code and seconds."""
    started = time.monotonic()
    process = fleet.stack.process(worker)
    process.terminate()
    return process.wait(30), time.monotonic() - started


@POOLS
def test_a_stopping_worker_lets_a_short_attempt_finish_and_ends_with_it(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str
) -> None:
    # Given a worker that waits up to 15 s for what it runs
    with a_fleet(servers, tmp_path, pool=pool, environment={"SALESBOOST_SOFT_SHUTDOWN": "15"}) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=1.5)
        fleet.await_running(handle)
        # When it is told to stop
        code, seconds = stop(fleet)
        # Then the attempt has finished, and the worker has not waited longer than that
        assert handle.result(5).ok
        assert executions(log).total() == 1
        assert seconds < 12
        assert code == 0
        assert "Traceback" not in fleet.log()


@POOLS
def test_a_stopping_worker_gives_a_long_attempt_back_without_counting_it(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str
) -> None:
    # Given a worker that waits a second for what it runs, and three attempts of a minute
    with a_fleet(servers, tmp_path, pool=pool, environment={"SALESBOOST_SOFT_SHUTDOWN": "1"}) as fleet:
        handles = [fleet.submit("note", log=str(log), seconds=60) for _ in range(3)]
        fleet.await_running(handles[0])
        fleet.await_running(handles[1])
        # When it is told to stop
        _, seconds = stop(fleet)
        # Then it is gone soon after that second
        assert seconds < 10
        # And its jobs are in the queue again at once, not after their leases, and nothing was counted against them
        for handle in handles[:2]:
            fields = fleet.fields(handle.job_id)
            assert (fields["state"], fields["attempts"], fields.get("spared")) == ("queued", "1", "1")
        assert fleet.fields(handles[2].job_id)["state"] == "queued"
        assert fleet.running() == []
        assert "Traceback" not in fleet.log()


@ALSO_THREADS
def test_an_idle_worker_stops_at_once_and_leaves_the_list(servers: EmbeddedServers, tmp_path: Path, pool: str) -> None:
    # Given an idle worker that would wait 15 s
    with a_fleet(servers, tmp_path, pool=pool, environment={"SALESBOOST_SOFT_SHUTDOWN": "15"}) as fleet:
        # When it is told to stop, then it is gone in no time, and nobody believes it alive
        code, seconds = stop(fleet)
        assert code == 0
        assert seconds < 10
        assert fleet.server.zcard(f"{fleet.root}:workers") == 0
        assert "Traceback" not in fleet.log()


def settle_all(handles: list[JobHandle], fleet: Fleet, *, timeout: float = 90) -> list[ToolResult]:
    results = {handle.job_id: result for handle, result in fleet.client.as_completed(handles, timeout=timeout)}
    return [results[handle.job_id] for handle in handles]


@pytest.mark.timeout(240)
def test_600_calls_survive_the_death_of_both_workers(servers: EmbeddedServers, tmp_path: Path, log: Path) -> None:
    # Given 600 calls of 20 ms and two workers
    with a_fleet(servers, tmp_path, workers=2) as fleet:
        handles = fleet.submit_many("note", 600, log=str(log), seconds=0.02)
        wait_until(lambda: len(lines(log)) >= 150, timeout=60, description="150 executions")
        # When both are killed in the middle, and started again
        for worker in ("worker-1", "worker-2"):
            fleet.kill(worker)
        assert len(lines(log)) < 600
        in_hand = len(fleet.running())
        for worker in ("worker-1", "worker-2"):
            fleet.stack.start_process(worker)
        # Then all settle, each once, and only those in hand at that moment were executed twice
        results = settle_all(handles, fleet)
        assert [result.audit.status for result in results] == ["succeeded"] * 600
        settled = [fleet.states(handle).count("succeeded") for handle in handles]
        assert settled == [1] * 600
        counts = executions(log)
        assert len(counts) == 600
        assert counts.total() - 600 <= in_hand <= 4
        assert max(counts.values()) <= 2


def test_a_killed_workers_jobs_go_to_another_within_a_lease(
    servers: EmbeddedServers, tmp_path: Path, log: Path
) -> None:
    # Given two workers, of which one runs a long attempt
    with a_fleet(servers, tmp_path, workers=2, concurrency=1) as fleet:
        handle = fleet.submit("die", log=str(log), how="", seconds=2.5, until=1)
        fleet.await_running(handle)
        holder = _holder(fleet, handle)
        # When that one is killed
        fleet.kill(holder)
        # Then the other finishes the job
        result = handle.result(60)
        assert result.ok
        assert result.audit.attempts == 2
        history = handle.history()
        lost = next(event for event in history if event.type == "queued" and event.attempt == 1)
        assert lost.detail == "lease lost"


def _holder(fleet: Fleet, handle: JobHandle) -> str:
    """Return the worker whose child runs a job."""
    pid = int(fleet.fields(handle.job_id)["worker"].rsplit(":", 1)[1])
    return next(name for name in ("worker-1", "worker-2") if pid in fleet.children(name))


def test_a_hint_that_died_with_its_worker_is_pushed_again(servers: EmbeddedServers, tmp_path: Path, log: Path) -> None:
    # Given a worker that is busy, and holds a hint it has not followed
    with a_fleet(servers, tmp_path, workers=1, concurrency=1) as fleet:
        busy = fleet.submit("note", log=str(log), seconds=60)
        fleet.await_running(busy)
        # One more is read from the queue at most, however many wait.
        waiting = [fleet.submit("note", log=str(log)) for _ in range(5)]
        # When it is killed with all it holds, and another is started
        fleet.kill("worker-1")
        busy.cancel()
        fleet.stack.start_process("worker-1")
        # Then none of the waiting calls is lost
        assert all(result.ok for result in settle_all(waiting, fleet))
        ran = executions(log)
        assert [ran[handle.tool_call_id] for handle in waiting] == [1] * 5


def test_a_frozen_workers_job_is_rescued_and_its_late_outcome_refused(
    servers: EmbeddedServers, tmp_path: Path, log: Path
) -> None:
    # Given two workers, of which one runs an attempt
    with a_fleet(servers, tmp_path, workers=2, concurrency=1) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=1.0)
        fleet.await_running(handle)
        frozen = _holder(fleet, handle)
        # When that one freezes
        everyone = fleet.freeze(frozen)
        try:
            # Then the other runs the job and settles it
            result = handle.result(60)
            assert result.ok
            assert result.result["attempt"] == 2
        finally:
            for process in everyone:
                process.send_signal(signal.SIGCONT)
        # And what the first one brings when it thaws is refused
        wait_until(lambda: "late_outcome_refused" in fleet.log(frozen), timeout=20, description="the refusal")
        assert handle.result(5).result["attempt"] == 2
        assert fleet.states(handle).count("succeeded") == 1
        # And it goes on working
        assert all(r.ok for r in settle_all([fleet.submit("note", log=str(log)) for _ in range(6)], fleet))


def test_hints_that_a_frozen_worker_swallows_are_pushed_again(
    servers: EmbeddedServers, tmp_path: Path, log: Path
) -> None:
    # Given two idle workers that both wait for a hint, of which one freezes in doing so
    with a_fleet(servers, tmp_path, workers=2) as fleet:
        everyone = fleet.freeze("worker-2")
        try:
            # When calls come, then all of them run, though the server hands some hints to the frozen one
            handles = [fleet.submit("note", log=str(log)) for _ in range(12)]
            assert all(result.ok for result in settle_all(handles, fleet, timeout=40))
        finally:
            for process in everyone:
                process.send_signal(signal.SIGCONT)
        assert executions(log).total() == 12


@pytest.mark.parametrize(
    ("pool", "ending"),
    [
        ("prefork", signal.SIGKILL),
        ("threads", signal.SIGTERM),
        pytest.param("prefork", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("threads", signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(180)
def test_workers_survive_a_restart_of_the_state_server(
    tmp_path: Path, log: Path, pool: str, ending: signal.Signals
) -> None:
    # Given a state server of their own, two workers, and calls on their way
    home = tmp_path / "servers"
    with EmbeddedServers(home) as servers:
        url = servers.state_url
        with a_fleet(servers, tmp_path / "fleet", workers=2, pool=pool) as fleet:
            pids = fleet.pid("worker-1"), fleet.pid("worker-2")
            handles = fleet.submit_many("note", 150, log=str(log), seconds=0.05)
            wait_until(lambda: len(lines(log)) >= 30, timeout=60, description="30 executions")
            # When the server ends and comes back with its data
            servers.state.send_signal(ending)
            servers.state.wait(20)
            servers.stop()
            servers.start()
            assert servers.state_url == url
            back = time.monotonic()
            done = len(lines(log))
            wait_until(lambda: len(lines(log)) > done, timeout=30, description="the next execution")
            # Then they go on soon, no worker has died, and every call settles once
            gap = time.monotonic() - back
            results = settle_all(handles, fleet)
            assert [result.audit.status for result in results] == ["succeeded"] * 150
            assert (fleet.pid("worker-1"), fleet.pid("worker-2")) == pids
            assert all(fleet.stack.process(worker).poll() is None for worker in ("worker-1", "worker-2"))
            assert [fleet.states(handle).count("succeeded") for handle in handles] == [1] * 150
            assert gap < 10


@ALSO_THREADS
def test_a_job_of_an_unknown_tool_waits_for_a_worker_that_knows_it(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str
) -> None:
    # Given a fleet that knows a tool, and stops but for a worker that does not
    with a_fleet(servers, tmp_path / "new", pool=pool) as fleet:
        assert stop(fleet)[0] == 0
        handle = fleet.submit("note", log=str(log))
        old = Stack(
            fleet.stack._settings,
            workers=1,
            concurrency=2,
            pool=pool,
            beat=False,
            environment={**FAST, "SALESBOOST_NAMESPACE": fleet.namespace, "SALESBOOST_HOME": str(tmp_path / "old")},
        )
        with old:
            old_log = old.logs / "worker-1.log"
            # When the old worker meets the hint, then it gives it back, and goes on
            wait_until(lambda: "unknown_tool" in old_log.read_text(), timeout=30, description="the hint's return")
            assert handle.status() == "queued"
            assert fleet.client.call("price_calculator", PRICE, caller_role="sdr", timeout=40).audit.status
            # And when a worker comes that knows the tool, the job runs, while the old one is still there
            fleet.stack.start_process("worker-1")
            assert handle.result(60).ok


PRICE = {"operation": "nonsense"}


@ALSO_THREADS
def test_a_full_state_server_refuses_new_calls_and_loses_none(tmp_path: Path, log: Path, pool: str) -> None:
    # Given workers on a state server of their own, and calls on their way
    with EmbeddedServers(tmp_path / "servers") as servers, a_fleet(servers, tmp_path / "fleet", pool=pool) as fleet:
        handles = fleet.submit_many("note", 40, log=str(log), seconds=0.05)
        # When its memory is used up
        fleet.server.config_set("maxmemory", 1)
        # Then a new call is refused with the reason
        with pytest.raises(ToolUnavailable, match="out of memory") as refused:
            fleet.submit("note", log=str(log))
        assert refused.value.retry_after
        # And those that were taken are worked off, and the worker is alive
        assert all(result.ok for result in settle_all(handles, fleet))
        assert fleet.stack.process("worker-1").poll() is None
        # And when there is memory again, all is as before
        fleet.server.config_set("maxmemory", 0)
        assert fleet.submit("note", log=str(log)).result(30).ok
        assert executions(log).total() == 41


def test_a_worker_that_is_shut_down_from_afar_stops_softly(tmp_path: Path, log: Path) -> None:
    # Given a worker with an attempt of a minute
    with EmbeddedServers(tmp_path / "servers") as servers, a_fleet(servers, tmp_path / "fleet", concurrency=1) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=60)
        fleet.await_running(handle)
        # When it gets Celery's remote shutdown
        celery = Celery(broker=servers.state_url, set_as_current=False)
        celery.control.shutdown()
        celery.close()
        # Then it ends as after SIGTERM, and its job is given back
        assert fleet.stack.process("worker-1").wait(30) == 0
        fields = fleet.fields(handle.job_id)
        assert (fields["state"], fields["spared"]) == ("queued", "1")


@ALSO_THREADS
def test_a_stop_signal_to_the_whole_group_and_another_one_change_nothing(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str
) -> None:
    # Given a worker with an attempt that takes a while
    with a_fleet(servers, tmp_path, pool=pool, environment={"SALESBOOST_SOFT_SHUTDOWN": "20"}) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=2)
        fleet.await_running(handle)
        # When its children get the SIGTERM too, as systemd sends it, and it comes again
        os.killpg(fleet.pid(), signal.SIGTERM)
        time.sleep(0.05)
        os.killpg(fleet.pid(), signal.SIGTERM)
        assert fleet.stack.process("worker-1").wait(30) == 0
        # Then the attempt has finished
        assert handle.result(5).audit.attempts == 1
        assert handle.result(5).ok


def test_the_children_of_a_killed_worker_do_not_outlive_it(servers: EmbeddedServers, tmp_path: Path, log: Path) -> None:
    # Given a worker with a running attempt
    with a_fleet(servers, tmp_path) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=60)
        fleet.await_running(handle)
        children = [psutil.Process(pid) for pid in fleet.children()]
        # When its main process alone is killed, as the kernel does when memory runs out
        os.kill(fleet.pid(), signal.SIGKILL)
        # Then its children are gone soon, so that none of them runs a job that is another's
        wait_until(lambda: not any(child.is_running() for child in children), description="end of the children")


@ALSO_THREADS
def test_a_hint_that_a_stopping_worker_held_is_followed_by_another(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str
) -> None:
    # Given a busy worker, and more calls than it can run
    with a_fleet(servers, tmp_path, concurrency=1, pool=pool) as fleet:
        busy = fleet.submit("note", log=str(log), seconds=60)
        fleet.await_running(busy)
        waiting = [fleet.submit("note", log=str(log)) for _ in range(8)]
        # When it stops, and another starts
        stop(fleet)
        busy.cancel()
        fleet.stack.start_process("worker-1")
        # Then all are run, once, and what was put back was taken for what it is
        assert all(result.ok for result in settle_all(waiting, fleet))
        ran = executions(log)
        assert [ran[handle.tool_call_id] for handle in waiting] == [1] * 8
        assert "malformed" not in fleet.log()
        assert not fleet.server.exists(f"{fleet.root}:q:default.malformed")


def test_a_worker_whose_threads_all_hang_ends_so_that_another_can_start(
    servers: EmbeddedServers, tmp_path: Path, log: Path
) -> None:
    # Given a worker with two threads, and two calls that hang in C for longer than their hard limit
    with a_fleet(servers, tmp_path, pool="threads", concurrency=2) as fleet:
        hanging = [fleet.submit("hang", log=str(log), how="native", until=2) for _ in range(2)]
        for handle in hanging:
            fleet.await_running(handle)
        # When both have outlived it, then the worker ends with an error, which its supervisor sees
        assert fleet.stack.process("worker-1").wait(30) == 1
        assert "every_thread_hangs" in fleet.log()
        # And the worker that is started in its place runs the calls
        assert fleet.stack.watch() == ["worker-1"]
        assert all(result.ok for result in settle_all(hanging, fleet))


@POOLS
@pytest.mark.parametrize(
    "signals",
    [[signal.SIGQUIT], pytest.param([signal.SIGINT, signal.SIGINT], marks=pytest.mark.slow)],
    ids=["quit", "two-ctrl-c"],
)
def test_whoever_cannot_wait_has_attempts_given_back_at_once(
    servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str, signals: list[signal.Signals]
) -> None:
    # Given a worker that would wait 20 s for its attempt of a minute
    with a_fleet(servers, tmp_path, pool=pool, environment={"SALESBOOST_SOFT_SHUTDOWN": "20"}) as fleet:
        handle = fleet.submit("note", log=str(log), seconds=60)
        fleet.await_running(handle)
        # When it is told to hurry, then it waits for nothing, and its job is given back uncounted
        started = time.monotonic()
        for number in signals:
            os.kill(fleet.pid(), number)
            time.sleep(0.05)
        fleet.stack.process("worker-1").wait(30)
        assert time.monotonic() - started < 10
        fields = fleet.fields(handle.job_id)
        assert (fields["state"], fields["spared"]) == ("queued", "1")


@ALSO_THREADS
def test_a_job_that_celery_revokes_is_cancelled(tmp_path: Path, log: Path, pool: str) -> None:
    # Given a worker that is busy, and a call behind
    with (
        EmbeddedServers(tmp_path / "servers") as servers,
        a_fleet(servers, tmp_path / "fleet", concurrency=1, pool=pool) as fleet,
    ):
        busy = fleet.submit("note", log=str(log), seconds=1.5)
        fleet.await_running(busy)
        behind = fleet.submit("note", log=str(log))
        # When somebody revokes it as any Celery task
        celery = Celery(broker=servers.state_url, set_as_current=False)
        celery.control.revoke(behind.job_id)
        celery.close()
        # Then it is cancelled when its turn comes, and not hinted for ever
        assert behind.result(30).audit.status == "cancelled"
        assert busy.result(30).ok
        assert executions(log).total() == 1


def test_workers_teach_a_state_server_that_lost_everything(tmp_path: Path, log: Path) -> None:
    # Given a worker, and a state server that comes back without its data
    home = tmp_path / "servers"
    with EmbeddedServers(home) as servers, a_fleet(servers, tmp_path / "fleet") as fleet:
        assert fleet.submit("note", log=str(log)).result(30).ok
        servers.stop()
        shutil.rmtree(home / "state" / "appendonlydir")
        servers.start()
        # When some seconds have passed, then functions and tools are there again, and calls run

        def works() -> bool:
            try:
                return fleet.client.call("note", {"log": str(log)}, caller_role="sdr", timeout=20).ok
            except CallError:
                return False

        wait_until(works, timeout=30, description="a call that works")
        assert fleet.stack.process("worker-1").poll() is None


def a_hint(tool: str, **changes: Any) -> str:
    """Return what looks like one of the ledger's hints, but for the changes to its headers, properties and body."""
    headers: dict[str, Any] = {
        "lang": "py", "task": f"tools.{tool}", "id": "forged", "eta": None, "expires": None, "retries": 0,
        "timelimit": [None, None], "salesboost": 1, "root_id": None, "parent_id": None, "group": None,
    }  # fmt: skip
    properties = {
        "delivery_info": {"exchange": "", "routing_key": "x"},
        "delivery_tag": uuid.uuid4().hex,
        "priority": 6,
    }
    body = changes.pop("body", '[["forged"],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]')
    message = {
        "body": body, "content-encoding": "utf-8", "content-type": "application/json",
        "headers": {**headers, **changes.pop("headers", {})}, "properties": {**properties, **changes},
    }  # fmt: skip
    return json.dumps(message)


BOMB = base64.b64encode(zlib.compress(b"[" * 50_000_000)).decode()
ENTRIES: dict[str, bytes | str] = {
    "no JSON": b"\xff\xfe{",
    "a number": "5",
    "an empty object": "{}",
    "nested too deep": "[" * 200_000,
    "two megabytes": b"x" * 2_000_000,
    "a zlib bomb of one megabyte": a_hint(
        "note", headers={"compression": "application/x-gzip"}, body=BOMB + "A" * 800_000
    ),
    "a zlib bomb that says it is none": a_hint("note", body=BOMB, body_encoding="base64"),
    "an unknown encoding": a_hint("note", body_encoding="rot13"),
    "no base64": a_hint("note", body="%%%", body_encoding="base64"),
    "pickle": a_hint("note").replace("application/json", "application/x-python-serialize"),
    "a type of kombu's": a_hint("note").replace('"forged"', '{"__type__": "datetime", "__value__": "never"}'),
    "no delivery information": a_hint("note", delivery_info=None),
    "a body that is no list": a_hint("note", body='{"a": 1}'),
    "a body of wrong length": a_hint("note", body="[1]"),
    "a body without a job": a_hint("note", body="[[],{},{}]"),
    "a job that is no text": a_hint("note", body="[[{}],{},{}]"),
    "a job that is not there": a_hint("note"),
    "a time limit that is none": a_hint("note", headers={"timelimit": "x"}),
    "an eta that is none": a_hint("note", headers={"eta": "soon"}),
    "an expiry that is none": a_hint("note", headers={"expires": {"a": 1}}),
    "a group that is none": a_hint("note", headers={"group": [1], "stamps": 7, "stamped_headers": 7}),
    "an unknown tool without a job": a_hint("nobody_knows", body="5"),
    "an unknown task": a_hint("x", headers={"task": "celery.nothing", "salesboost": None}),
    "a plain call with garbage": a_hint("note", headers={"salesboost": None, "eta": [], "expires": "?"}),
    "a plain call with wrong arguments": a_hint("note", headers={"salesboost": None}, body="[5,6,7]"),
    "a plain call with wrong callbacks": a_hint(
        "note", headers={"salesboost": None}, body='[[],{},{"callbacks":5,"chord":[],"errbacks":"x"}]'
    ),
    "a plain call of a large payload": a_hint(
        "note", headers={"salesboost": None}, body=json.dumps([[], {"how": "x" * 500_000}, {}])
    ),
    "a maintenance task with arguments": a_hint("x", headers={"task": "maintenance.advance", "salesboost": None}),
}


@ALSO_THREADS
def test_no_entry_of_a_queue_can_harm_a_worker(servers: EmbeddedServers, tmp_path: Path, log: Path, pool: str) -> None:
    # Given a worker, and every kind of entry that is no hint of ours
    with a_fleet(servers, tmp_path, pool=pool) as fleet:
        before = fleet.pid(), fleet.children()
        queue = f"{fleet.root}:q:default"
        memory = psutil.Process(fleet.pid()).memory_info().rss
        handles = []
        for entry in ENTRIES.values():
            # When they come between calls
            fleet.server.lpush(queue, entry)
            handles.append(fleet.submit("note", log=str(log)))
        wait_until(lambda: not fleet.server.exists(queue), timeout=30, description="an empty queue")
        # Then the calls run, and worker and children are what they were
        assert all(result.ok for result in settle_all(handles, fleet))
        assert executions(log).total() >= len(handles)
        assert (fleet.pid(), fleet.children()) == before
        assert fleet.stack.process("worker-1").poll() is None
        assert psutil.Process(fleet.pid()).memory_info().rss - memory < 150_000_000
        # And those that could not be messages are kept for a look, and counted
        assert int(fleet.server.get(f"{queue}.malformed.count") or 0) >= 10
        # And the worker has all its places still
        long = [fleet.submit("note", log=str(log), seconds=1.0) for _ in range(2)]
        for handle in long:
            fleet.await_running(handle)
        assert all(result.ok for result in settle_all(long, fleet))
