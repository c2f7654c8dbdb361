"""What workers make of every end a tool can take, with processes and with threads."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from salesboost.models import ToolResult
from tests.process.fleet import Fleet, executions, lines
from tests.wait import wait_until

# Two fleets serve all of these tests.
pytestmark = pytest.mark.xdist_group("worker")


def call(fleet: Fleet, tool: str, **payload: object) -> ToolResult:
    return fleet.client.call(tool, payload, caller_role="sdr", on_limit="wait", timeout=40)


def test_a_call_runs_and_brings_its_typed_result(fleet: Fleet, log: Path) -> None:
    # Given a worker, when a call is made, then it is executed once, and its audit says how
    for tool in ("note", "note_async"):
        result = call(fleet, tool, log=str(log), how=tool)
        assert result.ok
        assert result.result["how"] == tool
        assert (result.audit.status, result.audit.attempts) == ("succeeded", 1)
    assert sorted(executions(log).values()) == [1, 1]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("input", "TOOL_INPUT_INVALID"),
        ("permission", "TOOL_FORBIDDEN"),
        ("missing", "TOOL_FAILED"),
        ("conflict", "TOOL_FAILED"),
        ("bug", "TOOL_FAILED"),
    ],
)
def test_a_fault_that_trying_again_cannot_mend_fails_at_once(fleet: Fleet, log: Path, how: str, code: str) -> None:
    # Given a tool with retries, when it fails for good, then there is one attempt, and the error says what it was
    result = call(fleet, "fault", log=str(log), how=how)
    assert result.error
    assert (result.error.code, result.error.retryable) == (code, False)
    assert list(executions(log).values()) == [1]


@pytest.mark.parametrize("how", ["transient", "limited", "network", "timeout"])
def test_a_fault_that_may_pass_is_tried_again_after_a_while(fleet: Fleet, log: Path, how: str) -> None:
    # Given a tool that works at the third attempt
    handle = fleet.submit("fault", log=str(log), how=how, until=3)
    # When it is called, then it succeeds, and has waited in between
    result = handle.result(40)
    assert result.ok
    assert result.audit.attempts == 3
    assert fleet.states(handle) == [
        "queued", "running", "retrying", "queued", "running", "retrying", "queued", "running", "succeeded"
    ]  # fmt: skip
    waits = _waits(fleet, handle.job_id)
    assert all(wait >= (0.2 if how == "limited" else 0.0) for wait in waits)


def _waits(fleet: Fleet, job_id: str) -> list[float]:
    history = fleet.client.job_history(job_id)
    moments = [(event.type, event.at) for event in history]
    return [later - at for (kind, at), (_, later) in pairwise(moments) if kind == "retrying"]


def test_a_fault_that_does_not_pass_fails_after_the_last_attempt(fleet: Fleet, log: Path) -> None:
    # Given a tool that never works, when it is called, then three attempts are made
    result = call(fleet, "fault", log=str(log), how="transient")
    assert result.error
    assert (result.error.code, result.audit.attempts) == ("TOOL_UNAVAILABLE", 3)
    assert list(executions(log).values()) == [3]


def test_a_payload_that_does_not_fit_names_the_field(fleet: Fleet, log: Path) -> None:
    # Given a payload of a wrong type, when it is sent, then the body never ran
    result = call(fleet, "note", log=str(log), seconds="soon")
    assert result.error
    assert result.error.code == "TOOL_INPUT_INVALID"
    assert "seconds: " in result.error.message
    assert not log.exists()


def test_a_result_that_is_too_large_or_of_a_wrong_type_is_a_typed_failure(fleet: Fleet) -> None:
    # Given tools that return what cannot be stored, then their calls fail and say why
    too_large, wrong = call(fleet, "large"), call(fleet, "wrong_type")
    assert too_large.error
    assert wrong.error
    assert too_large.error.code == "TOOL_RESULT_TOO_LARGE"
    assert "returned dict, its annotation says Reply" in wrong.error.message


@pytest.mark.parametrize(
    ("workers", "tool", "how"),
    [
        ("processes", "hang", "sleep"),
        ("processes", "hang", "native"),
        ("processes", "hang", "loop"),
        ("processes", "hang_async", ""),
        ("threads", "hang", "loop"),
        ("threads", "hang_async", ""),
    ],
)
def test_a_tool_that_takes_too_long_is_interrupted(
    request: pytest.FixtureRequest, log: Path, workers: str, tool: str, how: str
) -> None:
    # Given a tool that takes 30 s, with a soft limit of 0.4 s (a thread in a C call sees it when the call returns)
    fleet: Fleet = request.getfixturevalue(workers)
    # When it is called, then it ends by a time-out
    result = call(fleet, tool, log=str(log), how=how)
    assert result.error
    assert (result.error.code, result.error.type) == ("TOOL_TIMEOUT", "SoftTimeLimit")
    assert 400 <= result.audit.run_ms < 1400


def test_a_call_whose_deadline_passes_while_it_runs_expires(fleet: Fleet, log: Path) -> None:
    # Given a call with a deadline before the tool's own limit, when it passes, then the job is expired
    result = fleet.client.call(
        "note", {"log": str(log), "seconds": 30}, caller_role="sdr", deadline=0.7, timeout=40, on_limit="wait"
    )
    assert result.error
    assert result.error.code == "TOOL_EXPIRED"
    assert result.audit.total_ms < 5000


@pytest.mark.parametrize(("tool", "how"), [("hang", "swallow"), ("hang_async", "block")])
def test_a_process_that_outlives_its_hard_limit_is_killed_and_at_last_the_job_is_dead(
    processes: Fleet, log: Path, tool: str, how: str
) -> None:
    # Given a tool that swallows everything that is raised, with a hard limit of 1.4 s
    handle = processes.submit(tool, log=str(log), how=how)
    # When it is called, then each of its three chances is ended by force, and the job waits for a person
    result = handle.result(60)
    assert result.error
    assert (result.error.code, result.audit.status) == ("TOOL_DEAD", "dead")
    assert list(executions(log).values()) == [3]
    # And the worker is as good as new
    assert call(processes, "note").ok


def test_a_thread_that_outlives_its_hard_limit_loses_the_job_and_its_result(threads: Fleet, log: Path) -> None:
    # Given a tool in a thread that comes back late, and is well at its second attempt
    handle = threads.submit("hang", log=str(log), how="swallow briefly", until=2)
    # When it outlives its hard limit, then the job goes on elsewhere
    result = handle.result(40)
    assert result.ok
    assert (result.result["attempt"], result.audit.attempts) == (2, 2)
    # And what the late one brings is refused
    wait_until(lambda: "late_outcome_refused" in threads.log(), description="the refusal of the late outcome")
    assert handle.result(1).result["attempt"] == 2
    assert threads.states(handle).count("succeeded") == 1


def test_a_thread_that_hangs_for_ever_makes_its_job_dead(threads: Fleet, log: Path) -> None:
    # Given a tool that never comes back from a C call
    handle = threads.submit("hang", log=str(log), how="native")
    # When all its chances have been spent, then it is dead, and the worker runs other calls
    result = handle.result(60)
    assert result.audit.status == "dead"
    assert list(executions(log).values()) == [3]
    assert call(threads, "note").ok


@pytest.mark.parametrize("how", ["memory", "exit", "interrupt", "generator exit"])
def test_an_exception_that_would_end_a_process_ends_the_attempt_alone(fleet: Fleet, log: Path, how: str) -> None:
    # Given a tool that raises what ends processes, once
    before = fleet.pid(), sorted(fleet.children())
    result = call(fleet, "die", log=str(log), how=how, until=2)
    # Then its next attempt succeeds, in a process that has not changed
    assert result.ok
    assert result.audit.attempts == 2
    assert (fleet.pid(), sorted(fleet.children())) == before
    # And one that does it for ever is dead after three
    endless = call(fleet, "die", log=str(log), how=how)
    assert endless.audit.status == "dead"
    assert {pid for _, _, pid in lines(log)} <= {before[0], *before[1]}


def test_memory_that_ends_before_the_tool_begins_ends_the_attempt_alone(fleet: Fleet) -> None:
    # Given an input that takes all memory when it is read
    before = fleet.pid(), sorted(fleet.children())
    # When a call brings it, then it is dead after three chances, and the processes are as they were
    assert call(fleet, "greedy", how="all").audit.status == "dead"
    assert (fleet.pid(), sorted(fleet.children())) == before


@pytest.mark.parametrize("how", ["_exit", "segv", "kill"])
def test_a_tool_that_takes_its_process_down_is_tried_again_and_then_dead(processes: Fleet, log: Path, how: str) -> None:
    # Given a tool that ends its process, once
    main = processes.pid()
    handle = processes.submit("die", log=str(log), how=how, until=2)
    # When it is called, then its next attempt succeeds in another process, soon
    result = handle.result(40)
    assert result.ok
    first, second = [pid for _, _, pid in lines(log)]
    assert first != second
    history = handle.history()
    lost = next(event.at for event in history if event.type == "queued" and event.attempt == 1)
    died = next(event.at for event in history if event.type == "running")
    assert lost - died < 5
    # And one that does it for ever is dead after three, while its worker lives
    log.unlink()
    endless = processes.submit("die", log=str(log), how=how).result(60)
    assert endless.audit.status == "dead"
    assert len(lines(log)) == 3
    assert processes.pid() == main
    assert call(processes, "note").ok


def test_a_running_call_can_be_cancelled(fleet: Fleet, log: Path) -> None:
    # Given a tool that gives up when its caller does not want it any more
    handle = fleet.submit("patient", log=str(log))
    fleet.await_running(handle)
    # When it is cancelled, then it ends soon, and is not tried again
    assert handle.cancel()
    result = handle.result(20)
    assert result.audit.status == "cancelled"
    assert result.error
    assert result.error.code == "TOOL_CANCELLED"
    assert list(executions(log).values()) == [1]


def test_an_effect_is_made_once_whatever_happens_around_it(processes: Fleet, log: Path) -> None:
    # Given a write whose process dies after the confirmation, then the next attempt uses the receipt
    after = processes.submit("text_once", log=str(log), how="die after confirm", until=2).result(40)
    assert after.ok
    assert after.result["how"] == "die after confirm"
    assert list(executions(log).values()) == [1]
    # And one whose process dies before it is unknown, and not made again
    log.unlink()
    before = processes.submit("text_once", log=str(log), how="die before confirm").result(40)
    assert before.audit.status == "unknown"
    assert before.error
    assert before.error.code == "TOOL_OUTCOME_UNKNOWN"
    assert list(executions(log).values()) == [1]
    # And one that may be repeated is
    log.unlink()
    repeated = processes.submit("text", log=str(log), how="die before confirm", until=2).result(40)
    assert repeated.ok
    assert list(executions(log).values()) == [2]
