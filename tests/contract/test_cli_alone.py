"""The `salesboost` command where something is missing, and ``salesboost up``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FAST
from tests.contract.test_cli_process import PROGRAM

ROOT = Path(__file__).resolve().parents[2]


def _without(what: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in an interpreter to which *what* was done first."""
    code = f"import sys\n{what}\nfrom salesboost.cli import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_without_the_extra_the_remedy_is_named(name: str, tmp_path: Path) -> None:
    # Given an installation without the extra
    # When the command is run
    done = _without(f"sys.modules[{name!r}] = None", "--help", cwd=tmp_path)

    # Then it says what to install
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: the command line needs {name}: pip install 'salesboost[cli]'\n"


def test_without_the_server_side_up_says_where_to_run_it(tmp_path: Path) -> None:
    # Given a folder that has the SDK and nothing else
    (tmp_path / "salesboost").symlink_to(ROOT / "salesboost")
    alone = f"sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if p not in ('', {str(ROOT)!r}))]"

    # When the stack is to run there
    done = _without(alone, "up", cwd=tmp_path)

    # Then it says what is missing
    assert done.returncode == 3
    assert re.fullmatch(r"error: the server side .* is not in .*: run `salesboost up` in a clone .*\n", done.stderr)


def test_a_stack_that_cannot_be_found_is_a_configuration_error(tmp_path: Path) -> None:
    # Given a folder in which no stack runs
    # When tools are asked for
    done = subprocess.run([PROGRAM, "tools"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    # Then both remedies are named
    assert done.returncode == 2
    assert "salesboost up" in done.stderr
    assert "SALESBOOST_REDIS_URL" in done.stderr


def test_up_runs_a_stack_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Given a folder for the data
    home = tmp_path / "home"
    env = {**os.environ, **FAST, "SALESBOOST_HOME": str(home), "SALESBOOST_ROLE": "sdr", "COLUMNS": "200"}
    options = ["--workers", "1", "--concurrency", "2", "--pool", "threads", "--tools", "tests.fixture_tools"]
    process = subprocess.Popen(
        [PROGRAM, "up", *options], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr
    with process:
        try:
            # When its workers are ready, and another terminal calls a tool
            ready = any("Ctrl-C stops all" in line for line in process.stderr)
            servers = json.loads((home / "servers.json").read_text(encoding="utf-8"))
            command = [PROGRAM, "call", "echo", '{"text": "hello"}']
            called = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
        finally:
            # Then it answers, and Ctrl-C, which a terminal sends to every process in it, ends all with exit code 0
            os.killpg(process.pid, signal.SIGINT)
            stderr = process.communicate(timeout=60)[1]
    assert json.loads(called.stdout)["text"] == "hello"
    assert ready
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert not (home / "servers.json").exists()
    for pid in (servers["state_pid"], servers["cache_pid"]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
