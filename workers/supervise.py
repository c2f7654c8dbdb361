"""Tie a child process to the life of the process that asked for it.

    parent ──lifeline── supervisor ──PR_SET_PDEATHSIG── child, leader of its own session

Owns the supervisor (``python -m workers.supervise [--grace SECONDS] -- CMD ARG...``) and `spawn`, by which a
parent starts one. Whatever ends the parent, SIGKILL included, ends the child:

- The parent's death closes the lifeline, a socket pair whose other end the supervisor reads. Without a
  lifeline (started from a shell), and beside it, the supervisor looks once a second who its parent is.
- The supervisor's own death by SIGKILL is answered by the Linux kernel with a SIGKILL for the child, though
  not for the child's children, nor for a setuid program. macOS has no such thing: the child lives on there.

On the lifeline each byte to the supervisor is the number of a signal for the child; the supervisor answers
once, ``pid 4711`` or ``error REASON``. It runs as an isolated interpreter on the standard library alone, in
one thread: PR_SET_PDEATHSIG fires when the *thread* that forked the child ends (prctl(2)).
"""

import argparse
import contextlib
import ctypes
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final, NoReturn, Protocol

DEFAULT_GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL; a guess."""

_START_TIMEOUT: Final = 30.0
"""Seconds a supervisor has to report its child; it needs 0.05, so this is for a machine on its knees."""

_PARENT_CHECK_INTERVAL: Final = 1.0
_PR_SET_PDEATHSIG: Final = 1
_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class SpawnError(RuntimeError):
    """Raised when a supervised command could not be started; the message says which and why."""


class _Closeable(Protocol):
    def close(self) -> object: ...


_closed_in_forks: "weakref.WeakSet[_Closeable]" = weakref.WeakSet()


def close_in_forks(held: _Closeable) -> None:
    """Close a socket or file in every process that this one forks.

    Close-on-exec covers a fork that becomes another program. One that stays Python (multiprocessing, Celery's
    prefork) would hold a lifeline or a lock open after its parent's death.
    """
    _closed_in_forks.add(held)


def _close_all() -> None:
    for held in list(_closed_in_forks):
        held.close()


os.register_at_fork(after_in_child=_close_all)


class Supervised:
    """Handle a supervised child from the process that spawned it.

    Closing is dying: when the last reference goes, the lifeline goes with it and the child is stopped. The
    exit code is the child's as in `subprocess.Popen`: negative for a signal.

    Attributes:
        name: What messages and ``ps`` call it.
        pid: The child's process id, which is also the id of its process group and session.
        supervisor_pid: The supervisor's process id.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", lifeline: socket.socket, *, pid: int, name: str):
        self._process = process
        self._lifeline = lifeline
        self.pid = pid
        self.name = name
        self.supervisor_pid = process.pid

    def __repr__(self) -> str:
        return f"<Supervised {self.name} pid={self.pid} exit={self._process.returncode}>"

    def poll(self) -> int | None:
        """Return the child's exit code, or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._lifeline.close()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the child has ended and return its exit code.

        Raises:
            subprocess.TimeoutExpired: If it still runs after `timeout` seconds.
        """
        code = self._process.wait(timeout)
        self._lifeline.close()
        return code

    def terminate(self) -> None:
        """Ask for the end: SIGTERM for the child now, SIGKILL for its group after the grace; return at once."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the child's group; return at once."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the child, through the supervisor, so that a recycled pid is never hit.

        SIGTERM begins the stop of `terminate` and SIGKILL goes to the whole group; any other goes to the
        child alone. Nothing happens when the child has ended, or in a fork of the process that spawned it.

        Raises:
            ValueError: If `sig` is not a signal of this platform.
        """
        if sig not in signal.valid_signals():
            raise ValueError(f"signal for {self.name} must be one of this platform's, got {sig}")
        if self.poll() is None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._lifeline.sendall(bytes([sig]))


def spawn(
    cmd: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    grace: float = DEFAULT_GRACE,
    name: str | None = None,
    pass_fds: Sequence[int] = (),
) -> Supervised:
    """Start a command under a supervisor and return once it is executing.

    The child leads a session of its own, so a Ctrl-C in the terminal is the parent's affair alone. It reads
    /dev/null. May be called from any thread.

    Args:
        cmd: The program, looked up on PATH, and its arguments.
        env: The child's whole environment; None inherits.
        stdout: A file or descriptor for stdout and stderr together; None inherits both. Not PIPE.
        grace: Seconds between SIGTERM and SIGKILL.
        name: What messages call it; by default the program's file name.
        pass_fds: Descriptors that the child inherits under the same numbers.

    Raises:
        SpawnError: If the command cannot be executed, or the supervisor does not report within 30 s.
    """
    label = name or Path(cmd[0]).name
    lifeline, theirs = socket.socketpair()
    close_in_forks(lifeline)
    options = [f"--grace={grace}", f"--name={label}", f"--lifeline={theirs.fileno()}"]
    options += [f"--pass-fd={fd}" for fd in pass_fds]
    with theirs:
        process = subprocess.Popen(
            # Isolated: else this file's directory heads sys.path and a neighbour may hide a standard module.
            [sys.executable, "-I", "-S", __file__, *options, "--", *cmd],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=None if stdout is None else subprocess.STDOUT,
            pass_fds=(theirs.fileno(), *pass_fds),
            start_new_session=True,
        )
    try:
        pid = _read_report(lifeline, label)
    except BaseException:
        # Also for KeyboardInterrupt: the closed lifeline makes the supervisor stop a child it may have.
        lifeline.close()
        try:
            process.wait(grace + 1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return Supervised(process, lifeline, pid=pid, name=label)


def _read_report(lifeline: socket.socket, name: str) -> int:
    """Read the child's pid from the supervisor's one line; raise SpawnError for anything else."""
    lifeline.settimeout(_START_TIMEOUT)
    report = b""
    try:
        while not report.endswith(b"\n") and (data := lifeline.recv(4096)):
            report += data
    except TimeoutError as exc:
        raise SpawnError(f"cannot start {name}: no report from its supervisor in {_START_TIMEOUT} s") from exc
    lifeline.settimeout(None)
    kind, _, value = report.decode(errors="replace").strip().partition(" ")
    if kind != "pid":
        raise SpawnError(f"cannot start {name}: {value or 'its supervisor died before it could report'}")
    return int(value)


class _Supervisor:
    """Run one child to its end, stopping it when told to or when the parent is gone."""

    def __init__(self, child: "subprocess.Popen[bytes]", *, name: str, grace: float, parent_pid: int) -> None:
        self._child = child
        self._name = name
        self._grace = grace
        self._parent_pid = parent_pid
        self._kill_at: float | None = None

    def run(self, wakeup_fd: int, lifeline: socket.socket | None) -> int:
        """Return the child's exit code after its end and that of its process group."""
        with selectors.DefaultSelector() as selector:
            selector.register(wakeup_fd, selectors.EVENT_READ, data=_read_wakeups)
            if lifeline is not None:
                selector.register(lifeline, selectors.EVENT_READ, data=_read_lifeline)
            while (code := self._child.poll()) is None:
                for key, _ in selector.select(self._next_look()):
                    if not (wanted := key.data(key.fd)):
                        selector.unregister(key.fileobj)
                        wanted = [signal.SIGTERM]
                    for number in wanted:
                        self._deliver(number)
                if os.getppid() != self._parent_pid:
                    self._begin_stop()
                if self._kill_at is not None and time.monotonic() >= self._kill_at:
                    self._kill_late_child()
        # The leader is reaped, but its group's id stays taken as long as one member is left.
        self._signal_group(signal.SIGKILL)
        return code

    def _next_look(self) -> float:
        if self._kill_at is None:
            return _PARENT_CHECK_INTERVAL
        return min(_PARENT_CHECK_INTERVAL, max(0.0, self._kill_at - time.monotonic()))

    def _deliver(self, number: int) -> None:
        if number == signal.SIGTERM:
            self._begin_stop()
        elif number == signal.SIGKILL:
            self._signal_group(signal.SIGKILL)
        elif number != signal.SIGCHLD:
            self._child.send_signal(number)

    def _begin_stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace
            # To the child alone: it knows what its own children are doing, and how to stop them.
            self._child.send_signal(signal.SIGTERM)
            # A frozen child could not act on SIGTERM before it is continued.
            self._signal_group(signal.SIGCONT)

    def _kill_late_child(self) -> None:
        self._kill_at = float("inf")
        _say(f"{self._name} did not end within {self._grace} s of SIGTERM and was killed")
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        # PermissionError is what macOS says of a group that holds only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


def _read_wakeups(fd: int) -> list[int]:
    """Return the signals that reached the supervisor, each stop signal as SIGTERM."""
    return [signal.SIGTERM if number in _STOP_SIGNALS else number for number in os.read(fd, 4096)]


def _read_lifeline(fd: int) -> list[int]:
    """Return the signals that the parent asks for; nothing when the parent is gone."""
    try:
        return list(os.read(fd, 4096))
    except ConnectionResetError:
        return []


def _tied_to(supervisor_pid: int) -> Callable[[], None]:
    """Return what the forked child does before it executes: take the default signals and the death tie."""
    libc = ctypes.CDLL(None, use_errno=True)

    def tie() -> None:
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if sys.platform == "linux" and libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        # The supervisor may have died between the fork and the prctl; then nobody would send the signal.
        if os.getppid() != supervisor_pid:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return tie


def _watch_signals() -> int:
    """Turn each stop signal and SIGCHLD into a byte on a pipe; return the end to read."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        # nohup's ignored SIGHUP stays ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave_to_the_pipe)
    return read_end


def _leave_to_the_pipe(number: int, frame: FrameType | None) -> None:
    """Do nothing: a signal reaches the wakeup pipe only if it has a Python handler."""


def _supervise(cmd: Sequence[str], *, name: str, grace: float, lifeline: socket.socket | None, fds: list[int]) -> int:
    """Run `cmd` to its end; return its exit code, or 127 when it cannot be executed."""
    parent_pid = os.getppid()
    # A stop that arrives while the child is between fork and exec waits: the child would lose it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    wakeup_fd = _watch_signals()
    try:
        child = subprocess.Popen(
            cmd,
            pass_fds=fds,
            start_new_session=True,
            preexec_fn=_tied_to(os.getpid()),  # noqa: PLW1509  # this process has one thread
        )
    except (OSError, subprocess.SubprocessError) as exc:
        reason = f"cannot execute {cmd[0]}: {exc}"
        if lifeline is None:
            _say(reason)
        else:
            _report(lifeline, f"error {reason}")
        return 127
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if lifeline is not None:
        _report(lifeline, f"pid {child.pid}")
    return _Supervisor(child, name=name, grace=grace, parent_pid=parent_pid).run(wakeup_fd, lifeline)


def _report(lifeline: socket.socket, line: str) -> None:
    # A parent that is gone already is noticed by the loop, which then stops the child.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        lifeline.sendall(line.encode() + b"\n")


def _say(line: str) -> None:
    # The terminal may be gone with the parent, and the child must be stopped all the same.
    with contextlib.suppress(OSError):
        os.write(2, f"supervise: {line}\n".encode())


def _exit_like(code: int) -> NoReturn:
    """End this process as the child ended: by the same exit status, or by the same signal without a core."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code if code >= 0 else 128 - code)


def _main(argv: Sequence[str]) -> NoReturn:
    """Parse the command line, supervise, and exit as the child did."""
    split = argv.index("--") if "--" in argv else len(argv)
    cmd = argv[split + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m workers.supervise",
        usage="%(prog)s [--grace SECONDS] -- CMD ARG...",
        description="Run CMD so that it ends when this process or the one that started it ends.",
    )
    parser.add_argument("--grace", type=float, default=DEFAULT_GRACE, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pass-fd", type=int, action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args(argv[:split])
    if not cmd:
        parser.error("a command is needed after --")
    if not 0 <= options.grace < float("inf"):
        parser.error(f"--grace must be a number of seconds from 0 up, got {options.grace}")
    lifeline = None if options.lifeline is None else socket.socket(fileno=options.lifeline)
    name = options.name or Path(cmd[0]).name
    _exit_like(_supervise(cmd, name=name, grace=options.grace, lifeline=lifeline, fds=options.pass_fd))


if __name__ == "__main__":
    _main(sys.argv[1:])
