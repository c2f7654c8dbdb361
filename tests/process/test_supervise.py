"""The supervisor: a child never outlives the process that asked for it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.wait import wait_until
from workers.supervise import SpawnError, Supervised, spawn

ROOT = Path(__file__).parents[2]
SLEEP = ["sleep", "1000"]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no PR_SET_PDEATHSIG")

PARENT = """
import gc, os, subprocess, sys, time
from workers.supervise import spawn
child = spawn({cmd!r}, grace={grace})
print(child.pid, child.supervisor_pid, flush=True)
{then}
"""
UNTIL_STDIN_CLOSES = "sys.stdin.read()"


@dataclass
class Family:
    """A process of its own group, the supervisor it started, and that supervisor's child."""

    parent: "subprocess.Popen[str]"
    supervisor: psutil.Process
    child: psutil.Process


@contextlib.contextmanager
def a_family(then: str = UNTIL_STDIN_CLOSES, *, cmd: list[str] = SLEEP, grace: float = 10.0) -> Generator[Family]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(cmd=cmd, grace=grace, then=then)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        child_pid, supervisor_pid = map(int, parent.stdout.readline().split())
        family = Family(parent, psutil.Process(supervisor_pid), psutil.Process(child_pid))
        try:
            yield family
        finally:
            parent.kill()
            for process in (family.child, family.supervisor):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


@contextlib.contextmanager
def a_child(script: str, *, grace: float = 10.0, stdout: Path | None = None) -> Generator[Supervised]:
    with (stdout or Path(os.devnull)).open("wb") as log:
        child = spawn(["sh", "-c", script], grace=grace, stdout=log)
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(family: Family) -> None:
    wait_until(lambda: is_gone(family.child), description=f"end of child {family.child.pid}")
    wait_until(lambda: is_gone(family.supervisor), description=f"end of supervisor {family.supervisor.pid}")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV])
def test_a_child_ends_when_a_signal_ends_its_parent(ending: signal.Signals) -> None:
    # Given a parent with a supervised child
    with a_family() as family:
        # When a signal kills the parent
        family.parent.send_signal(ending)
        # Then the child and the supervisor end
        all_gone(family)
        assert family.parent.wait(10) == -ending


@pytest.mark.parametrize("ending", ["pass", "raise RuntimeError", "os._exit(3)", "os.execvp('true', ['true'])"])
def test_a_child_ends_when_its_parent_comes_to_its_end(ending: str) -> None:
    # Given a parent with a supervised child
    with a_family(f"{UNTIL_STDIN_CLOSES}\n{ending}") as family:
        # When the parent exits, fails, exits without clean-up, or becomes another program
        family.parent.communicate(timeout=10)
        # Then the child and the supervisor end
        all_gone(family)


def test_ctrl_c_reaches_the_parent_alone(tmp_path: Path) -> None:
    # Given a parent that goes on after a Ctrl-C, and a child that writes down the signals it gets
    seen = tmp_path / "seen"
    script = f"trap 'echo INT >> {seen}' INT; trap 'echo TERM >> {seen}; exit' TERM; echo up >> {seen}; "
    script += "while :; do sleep 0.01; done"
    then = """
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("caught", flush=True)
sys.stdin.read()
"""
    with a_family(then, cmd=["sh", "-c", script]) as family:
        assert family.parent.stdout is not None
        assert family.parent.stdout.readline() == "ready\n"
        wait_until(seen.exists, description="the child's traps")
        assert os.getpgid(family.supervisor.pid) != family.parent.pid
        # When SIGINT hits the parent's whole process group, as a terminal sends it
        os.killpg(family.parent.pid, signal.SIGINT)
        # Then the parent has it, and the child hears of it only through the end of the parent
        assert family.parent.stdout.readline() == "caught\n"
        assert not is_gone(family.child)
        family.parent.communicate(timeout=10)
        all_gone(family)
        assert seen.read_text().split() == ["up", "TERM"]


@ON_LINUX
def test_a_child_ends_when_its_supervisor_is_killed() -> None:
    # Given a supervised child whose parent lives on
    with a_family() as family:
        # When the supervisor gets SIGKILL
        family.supervisor.kill()
        # Then the child ends, and the parent does not
        all_gone(family)
        assert family.parent.poll() is None


@ON_LINUX
def test_a_child_ends_when_its_supervisor_and_its_parent_are_killed_at_once() -> None:
    # Given a supervised child
    with a_family() as family:
        # When both of its elders get SIGKILL
        family.supervisor.kill()
        family.parent.kill()
        # Then it ends
        all_gone(family)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_to_the_supervisor_is_a_sigterm_for_the_child(stop: signal.Signals, tmp_path: Path) -> None:
    # Given a child that answers SIGTERM with exit code 5
    log = tmp_path / "log"
    with a_child("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done", stdout=log) as child:
        wait_until(lambda: log.read_text() == "up\n", description="the child's trap")
        # When the supervisor gets a stop signal
        os.kill(child.supervisor_pid, stop)
        # Then its exit code is the child's
        assert child.wait(10) == 5


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    # Given a child deaf to SIGTERM
    log = tmp_path / "log"
    with a_child("trap '' TERM; echo up; while :; do sleep 0.01; done", grace=0.2, stdout=log) as child:
        wait_until(lambda: log.read_text() == "up\n", description="the child's trap")
        # When it is asked to end
        child.terminate()
        # Then it is killed after the grace, and the log says so
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.1)
        assert child.wait(10) == -signal.SIGKILL
        assert "sh did not end within 0.2 s of SIGTERM and was killed" in log.read_text()


@pytest.mark.parametrize("leader_ends", ["by itself", "by terminate", "by kill"])
def test_no_member_of_the_childs_group_is_left(leader_ends: str, tmp_path: Path) -> None:
    # Given a child with a child of its own that is deaf to SIGTERM
    log = tmp_path / "log"
    os.mkfifo(tmp_path / "go")
    deaf = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.01; done'"
    with a_child(f"{deaf} & read line < {tmp_path}/go", stdout=log, grace=0.2) as child:
        wait_until(lambda: log.read_text().endswith("\n"), description="the grandchild's pid")
        grandchild = psutil.Process(int(log.read_text()))
        # When the leader of the group ends
        match leader_ends:
            case "by itself":
                (tmp_path / "go").write_text("go\n")
            case "by terminate":
                child.terminate()
            case _:
                child.kill()
        child.wait(10)
        # Then the rest of the group ends too
        wait_until(lambda: is_gone(grandchild), description="end of the grandchild")


def test_a_frozen_child_can_be_stopped(tmp_path: Path) -> None:
    # Given a child that SIGSTOP has frozen
    with a_child("sleep 1000") as child:
        child.send_signal(signal.SIGSTOP)
        process = psutil.Process(child.pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, description="the freeze")
        # When it is asked to end
        child.terminate()
        # Then it does, long before the grace is over
        assert child.wait(8) == -signal.SIGTERM


def test_other_signals_reach_the_child_alone(tmp_path: Path) -> None:
    # Given a child that answers SIGUSR1 with exit code 6
    log = tmp_path / "log"
    with a_child("trap 'exit 6' USR1; echo up; while :; do sleep 0.01; done", stdout=log) as child:
        wait_until(lambda: log.read_text() == "up\n", description="the child's trap")
        # When it gets that signal, and then one for the dead
        child.send_signal(signal.SIGUSR1)
        code = child.wait(10)
        child.send_signal(signal.SIGUSR1)
        # Then it has ended so, and the late one does nothing
        assert code == child.poll() == 6


def test_a_signal_that_does_not_exist_is_refused() -> None:
    # Given a child
    with a_child("sleep 1000") as child:
        # When it shall get signal 0, then the caller is told, and the child lives
        with pytest.raises(ValueError, match="signal for sh must be one of this platform's, got 0"):
            child.send_signal(0)
        assert child.poll() is None


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", -11), ("kill -KILL $$", -9)]
)
def test_the_exit_code_is_the_childs(script: str, code: int) -> None:
    # Given a child, when it ends by itself, then the handle tells how
    with a_child(script) as child:
        assert child.wait(10) == code


def test_a_command_that_cannot_be_executed_is_an_error_with_its_reason() -> None:
    # Given a program that is not there, when it shall run, then the error names it
    with pytest.raises(SpawnError, match=r"cannot start tool: cannot execute /nowhere/tool: .*No such file"):
        spawn(["/nowhere/tool"])


def test_a_lifeline_is_held_by_the_parent_alone() -> None:
    # Given a parent that after the child has made another one, a plain process that inherits all it may,
    # and a fork that stays Python
    then = """
other = spawn(["sleep", "1000"])
plain = subprocess.Popen(["sleep", "1000"], close_fds=False)
if (fork := os.fork()) == 0:
    time.sleep(1000)
print(other.pid, plain.pid, fork, flush=True)
sys.stdin.readline()
del child
gc.collect()
sys.stdin.read()
"""
    with a_family(then) as family:
        assert family.parent.stdin is not None
        assert family.parent.stdout is not None
        others = [psutil.Process(int(pid)) for pid in family.parent.stdout.readline().split()]
        try:
            # When the parent lets go of the child and lives on
            family.parent.stdin.write("\n")
            family.parent.stdin.flush()
            # Then the child ends, and nobody else
            all_gone(family)
            assert family.parent.poll() is None
            assert [is_gone(process) for process in others] == [False, False, False]
        finally:
            for process in others[1:]:
                process.kill()


def test_a_fork_of_the_parent_cannot_end_the_child() -> None:
    # Given a parent that forks, and a fork that tries to end the child before it ends itself
    then = """
if (fork := os.fork()) == 0:
    child.kill()
    sys.exit()
os.waitpid(fork, 0)
print("forked", flush=True)
sys.stdin.read()
"""
    with a_family(then) as family:
        # When the fork has ended
        assert family.parent.stdout is not None
        assert family.parent.stdout.readline() == "forked\n"
        # Then the child runs
        assert not is_gone(family.child)


def test_the_command_line_mirrors_the_child() -> None:
    # Given the supervisor's command line, when its child ends, then output and exit code are the child's
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "workers.supervise",
            "--grace",
            "1",
            "--",
            "sh",
            "-c",
            "echo $@; exit 7",
            "sh",
            "--",
            "-x",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (7, "-- -x\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--grace", "1"], 2, "a command is needed after --"),
        (["--grace", "-1", "--", "true"], 2, "--grace must be a number of seconds from 0 up, got -1.0"),
        (["--", "/nowhere/tool"], 127, "supervise: cannot execute /nowhere/tool"),
    ],
)
def test_the_command_line_says_what_is_wrong(arguments: list[str], code: int, message: str) -> None:
    # Given a command line that cannot work, when it is run, then it exits with a shell's code and the reason
    run = subprocess.run(
        [sys.executable, "-m", "workers.supervise", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == code
    assert message in run.stderr


def test_without_a_lifeline_the_child_still_ends_with_the_parent() -> None:
    # Given a shell that runs the supervisor's command line
    command = f"{sys.executable} -m workers.supervise -- sh -c 'echo $$ $PPID; exec sleep 1000' & read line"
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        assert shell.stdout is not None
        child, supervisor = (psutil.Process(int(pid)) for pid in shell.stdout.readline().split())
        # When the shell gets SIGKILL
        shell.kill()
        # Then the child and the supervisor end
        wait_until(lambda: is_gone(child) and is_gone(supervisor), description="end of child and supervisor")


def test_the_supervisor_imports_the_standard_library_alone() -> None:
    # Given a fresh interpreter, when it imports the supervisor, then nothing comes from site-packages
    code = "import sys, workers.supervise; print([n for n, m in sys.modules.items() if 'site-packages' in "
    code += "(getattr(m, '__file__', None) or '')])"
    run = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
