"""The installed `salesboost` program, as a process, on the running stack."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from salesboost import ToolClient
from tests.wait import wait_until
from workers.stack import Stack

PROGRAM = str(Path(sys.executable).with_name("salesboost"))


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    """The environment of a person who works with the stack as a sales representative."""
    return {
        **os.environ,
        "SALESBOOST_REDIS_URL": stack.state_url,
        "SALESBOOST_CACHE_URL": stack.cache_url,
        "SALESBOOST_ROLE": "sdr",
    }


def test_results_go_to_stdout_and_the_exit_code_tells_how_it_went(environment: dict[str, str]) -> None:
    # Given a call that succeeds and one that fails
    commands = [
        [PROGRAM, "call", "echo", "-", "--role", "manager"],
        [PROGRAM, "call", "failing", "-", "--json"],
    ]

    # When both are piped a payload
    good, bad = (
        subprocess.run(
            command, input='{"text": "hi"}', env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        for command in commands
    )

    # Then stdout has the results, and stderr one line
    assert (good.returncode, json.loads(good.stdout)["role"]) == (0, "manager")
    assert (bad.returncode, json.loads(bad.stdout)["ok"]) == (1, False)
    assert json.loads(bad.stderr)["error"]["code"] == "TOOL_FAILED"
    assert "\x1b" not in good.stdout + good.stderr + bad.stderr


@pytest.mark.parametrize(("plain", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_it_says_no(
    environment: dict[str, str], plain: dict[str, str], coloured: bool
) -> None:
    # Given a terminal
    ours, theirs = pty.openpty()
    env = {**environment, "TERM": "xterm-256color", **plain}

    # When a result is printed in it
    with os.fdopen(theirs, "wb") as terminal:
        command = [PROGRAM, "call", "echo", '{"text": "hi"}']
        done = subprocess.run(command, env=env, stdout=terminal, stderr=subprocess.PIPE, timeout=60, check=False)
    printed = os.read(ours, 65536).decode()
    os.close(ours)

    # Then it is coloured, unless NO_COLOR says otherwise
    assert done.returncode == 0
    assert ("\x1b[" in printed) is coloured


def test_a_reader_that_leaves_early_is_no_error(environment: dict[str, str]) -> None:
    # Given a reader that takes nothing
    read_end, write_end = os.pipe()
    os.close(read_end)

    # When a list is printed to it
    with os.fdopen(write_end, "wb") as nowhere:
        command = [PROGRAM, "tools", "--json"]
        done = subprocess.run(command, env=environment, stdout=nowhere, stderr=subprocess.PIPE, timeout=60, check=False)

    # Then nobody complains
    assert done.stderr == b""


def test_a_batch_streams_its_results_in_input_order(environment: dict[str, str]) -> None:
    # Given a batch whose second call takes long
    lines = [
        {"name": "echo", "payload": {"text": "first"}},
        {"name": "cancellable", "payload": {"seconds": 1.5}},
        {"name": "echo", "payload": {"text": "third"}},
        {"name": "failing", "payload": {"text": "fourth"}},
    ]
    process = subprocess.Popen(
        [PROGRAM, "batch", "-", "--max-concurrent", "4"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018
        process.stdin.write("\n".join(map(json.dumps, lines)) + "\n\n")
        process.stdin.close()

        # When its first line arrives
        first = json.loads(process.stdout.readline())
        still_running = process.poll() is None
        rest = [json.loads(line) for line in process.stdout]
        stderr = process.stderr.read()

    # Then the batch was still under way; the others followed in order, and one failure shows in the exit code
    assert (first["result"]["text"], still_running) == ("first", True)
    assert [result["tool"] for result in rest] == ["cancellable", "echo", "failing"]
    assert [result["ok"] for result in rest] == [True, True, False]
    assert process.returncode == 1
    assert re.search(r"4 calls in [\d.]+ s: 3 succeeded, 1 TOOL_FAILED", stderr)


def test_ctrl_c_leaves_the_job_and_says_how_to_find_it(
    environment: dict[str, str], stack: Stack, tmp_path: Path
) -> None:
    # Given a command that waits for a result
    note = tmp_path / "note"
    payload = json.dumps({"seconds": 20, "note": str(note)})
    process = subprocess.Popen(
        [PROGRAM, "call", "cancellable", payload], env=environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(note.exists, timeout=30, description="the tool has started")

    # When it is interrupted
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=20)[1]

    # Then it says which job goes on
    assert process.returncode == 130
    found = re.fullmatch(r"error: interrupted; the job goes on: salesboost status ([0-9a-f]{40})\n", stderr)
    assert found
    with ToolClient(stack.state_url) as client:
        assert client.job_state(found[1]) == "running"
        client.cancel(found[1])
