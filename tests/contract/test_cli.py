"""The `salesboost` command line on the running stack.

It runs in the tests' process, which spares each command the second that its imports take; `test_cli_process.py` runs
the installed program.
"""

from __future__ import annotations

import io
import json
import re
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from salesboost import ToolClient, __version__
from salesboost.cli import app
from workers.stack import Stack

COMMANDS = ["call", "submit", "status", "cancel", "tools", "batch", "up"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as a person who works with the stack as a sales representative."""
    monkeypatch.setenv("SALESBOOST_REDIS_URL", stack.state_url)
    monkeypatch.setenv("SALESBOOST_CACHE_URL", stack.cache_url)
    monkeypatch.setenv("SALESBOOST_ROLE", "sdr")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = app.run(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def _problem(done: Done) -> dict[str, Any]:
    assert len(done.stderr.splitlines()) == 1
    problem: dict[str, Any] = json.loads(done.stderr)["error"]
    return problem


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen_and_shows_an_example(run: Run, command: str) -> None:
    # Given a terminal of 80 columns and 40 lines
    # When help is asked for
    done = run(*command.split(), "--help")

    # Then it fits, and shows how the command is used
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert re.search(rf"Example: .*salesboost {command}", done.stdout)


def test_version_is_the_packages(run: Run) -> None:
    # Given the installed package
    # When its version is asked for
    # Then it is that
    assert run("--version").stdout == f"salesboost {__version__}\n"


def test_call_prints_the_result_and_nothing_else_on_stdout(run: Run, tmp_path: Path) -> None:
    # Given a payload in a file, and one field of it on the command line
    (tmp_path / "payload.json").write_text('{"text": "hi", "times": 1}', encoding="utf-8")

    # When the tool is called
    done = run("call", "echo", f"@{tmp_path / 'payload.json'}", "--arg", "times=3", "--arg", "text=plain words")

    # Then stdout is the result's JSON without colours
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert result["text"] == "plain words" * 3
    assert result["role"] == "sdr"
    assert "\x1b" not in done.stdout + done.stderr


def test_call_as_json_prints_the_whole_result(run: Run) -> None:
    # Given a payload on stdin
    # When the tool is called for scripts
    key = uuid.uuid4().hex
    options = ["--role", "manager", "--tenant", "acme", "--tool-call-id", key, "--priority", "9", "--json"]
    done = run("call", "managers_only", "-", *options, stdin='{"text": "from stdin"}')

    # Then stdout is one line with result and audit
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["ok"], result["tool_call_id"], result["audit"]["status"]) == (True, key, "succeeded")
    assert (result["result"]["tenant"], result["result"]["role"]) == ("acme", "manager")


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["call", "failing", '{"text": "no price\\nat all"}'], "TOOL_FAILED", 1),
        (["call", "no_such_tool", "{}"], "TOOL_NOT_FOUND", 1),
        (["submit", "managers_only"], "TOOL_FORBIDDEN", 1),
        (["status", "nonsense"], "SB_JOB_NOT_FOUND", 1),
        (["tools", "no_such_tool"], "TOOL_NOT_FOUND", 1),
        (["call", "echo", '{"times": "often"}'], "TOOL_INPUT_INVALID", 2),
        (["call", "echo", "--priority", "12"], "TOOL_INPUT_INVALID", 2),
        (["--url", "http://nowhere", "tools"], "SB_CONFIG", 2),
        (["call", "slow", '{"seconds": 1}', "--timeout", "0.1"], "SB_RESULT_TIMEOUT", 4),
        (["--url", "redis://127.0.0.1:1", "tools"], "TOOL_UNAVAILABLE", 5),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(
    run: Run, arguments: list[str], code: str, exit_code: int
) -> None:
    # Given a command that cannot succeed
    # When it is run for people, and for scripts
    said, told = run(*arguments), run(*arguments, "--json")

    # Then one line on stderr says what is wrong
    assert said.returncode == told.returncode == exit_code
    assert re.fullmatch(r"error: .+\n", said.stderr)
    assert said.stdout == ""
    assert _problem(told)["code"] == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["call", "echo", "{not json"], "JSON object"),
        (["call", "echo", '["a list"]'], "JSON object"),
        (["call", "echo", "@/no/such/file"], "/no/such/file"),
        (["call", "echo", "--arg", "novalue"], "KEY=VALUE"),
        (["call", "echo", "--bogus"], "--bogus"),
        (["call", "echo", "--on-limit", "hope"], "hope"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence_that_names_the_help(run: Run, arguments: list[str], said: str) -> None:
    # Given a command line with a mistake
    # When it is run
    done = run(*arguments)

    # Then the mistake is named, and where help is
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert "--help`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_role_must_be_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given no role, neither on the command line nor in the environment
    monkeypatch.delenv("SALESBOOST_ROLE")

    # When a tool is called
    done = run("call", "echo", "--json")

    # Then the error says where it may come from
    assert done.returncode == 2
    assert "SALESBOOST_ROLE" in _problem(done)["message"]


def test_a_limit_gives_its_own_exit_code_and_says_when_to_come_back(run: Run, stack: Stack) -> None:
    # Given a key that had its call of this minute
    key = uuid.uuid4().hex
    with ToolClient(stack.state_url) as client:
        client.call("rare", {"key": key}, caller_role="sdr")

    # When it is called again
    done = run("call", "rare", "--arg", f"key={key}", "--json")

    # Then the script can wait for it
    assert done.returncode == 4
    assert _problem(done)["code"] == "TOOL_RATE_LIMITED"
    assert 0 < _problem(done)["retry_after"] <= 60


def test_submit_gives_a_job_and_status_follows_it(run: Run) -> None:
    # Given a submitted call
    submitted = run("submit", "slow", '{"seconds": 0.2}')
    job = submitted.stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{40}", job)

    # When it is followed, and looked at when it is over
    followed = run("status", job, "--follow")
    waited = run("status", job, "--wait")
    looked = run("status", job, "--history", "--explain", "--json")

    # Then all tell of its success
    assert followed.returncode == waited.returncode == looked.returncode == 0
    assert [line.split()[1] for line in followed.stdout.splitlines() if "progress" not in line] == [
        "queued",
        "running",
        "succeeded",
    ]
    assert json.loads(waited.stdout) == {"attempt": 1}
    shown = json.loads(looked.stdout)
    assert (shown["job_id"], shown["state"], shown["tool"]) == (job, "succeeded", "slow")
    assert [event["type"] for event in shown["history"]] == ["queued", "running", "succeeded"]
    assert shown["result"]["ok"]


def test_a_waiting_job_is_explained_and_cancelled(run: Run, stack: Stack) -> None:
    # Given a job that waits for a limit
    with ToolClient(stack.state_url) as client:
        first, second = (client.submit("crawling", {}, caller_role="sdr") for _ in range(2))

    # When it is asked why, cancelled, cancelled again, and waited for
    explained = run("status", second.job_id, "--explain")
    cancelled = run("cancel", second.job_id)
    again = run("cancel", second.job_id, "--json")
    waited = run("status", second.job_id, "--wait")
    with ToolClient(stack.state_url) as client:
        client.cancel(first.job_id)

    # Then each answer is a sentence
    assert re.search(r"crawling waiting: \d+ before it .* expected to start in \d+", explained.stdout)
    assert (cancelled.returncode, cancelled.stdout) == (0, "crawling cancelled\n")
    assert again.returncode == 1
    assert json.loads(again.stdout) == {"job_id": second.job_id, "cancelled": False, "state": "cancelled"}
    assert (waited.returncode, waited.stdout) == (1, "")
    assert "was cancelled" in waited.stderr


def test_tools_lists_what_there_is(run: Run) -> None:
    # Given the tools of the stack
    # When they are listed, as a table and as JSON, and one by its name
    table, listed, one = run("tools"), run("tools", "--json"), run("tools", "managers_only")

    # Then they are there with what matters, without colours
    assert re.search(r"managers_only +1 +admin manager +none +read +Say the text", table.stdout)
    assert re.search(r"rare\s.*1/minute per key", table.stdout)
    assert "\x1b" not in table.stdout
    names = [info["name"] for info in json.loads(listed.stdout)]
    assert names == sorted(names)
    assert "echo" in names
    assert re.search(r"roles +admin, manager", one.stdout)
    assert '"maximum": 1000' in one.stdout


def test_a_batch_writes_a_file_and_counts_for_scripts(run: Run, tmp_path: Path) -> None:
    # Given fifty calls in a file
    calls, results = tmp_path / "calls.jsonl", tmp_path / "results.jsonl"
    calls.write_text(
        "".join(f'{{"name": "echo", "payload": {{"text": "{n}"}}}}\n' for n in range(50)), encoding="utf-8"
    )

    # When they run
    done = run("batch", str(calls), "--output", str(results), "--max-concurrent", "10", "--json")

    # Then the file has the results in order and stderr the counts
    assert (done.returncode, done.stdout) == (0, "")
    written = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert [result["result"]["text"] for result in written] == [str(n) for n in range(50)]
    counted = json.loads(done.stderr)
    assert (counted["calls"], counted["outcomes"]) == (50, {"succeeded": 50})


def test_a_batch_with_a_broken_line_submits_nothing(run: Run, tmp_path: Path) -> None:
    # Given a file whose second line is no JSON
    note = tmp_path / "note"
    calls = tmp_path / "calls.jsonl"
    good = json.dumps({"name": "echo", "payload": {"note": str(note)}})
    calls.write_text(f"{good}\n{{oops\n", encoding="utf-8")

    # When it is run
    done = run("batch", str(calls))

    # Then the line is named and nothing ran
    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert not note.exists()
