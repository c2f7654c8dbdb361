"""What is lost, doubled or delayed when workers and servers are stopped, killed, frozen and restarted: nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from salesboost.handle import JobHandle
from salesboost.models import ToolResult
from tests.process.fleet import FAST, Fleet, a_fleet, executions, lines
from tests.wait import wait_until
from workers.embedded import EmbeddedServers
from workers.stack import Stack

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])


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


@POOLS
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


def test_a_killed_workers_jobs_go_to_another_within_a_lease(servers: EmbeddedServers, tmp_path: Path, log: Path) -> None:
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
        assert executions(log).total() == 6


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


@POOLS
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
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


@POOLS
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
