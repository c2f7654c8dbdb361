"""A PostgreSQL server of the machine's own binaries, on a unix socket, for as long as a test session lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.wait import wait_until

_numbers = count()


def find_binary(name: str) -> Path | None:
    """Return the newest PostgreSQL binary *name* on this machine."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which(name)
    return places[-1] if places else Path(on_path) if on_path else None


class PostgresServer:
    """A running server; makes databases."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def url(self, database: str) -> str:
        """Return the URL of *database*."""
        return f"postgresql://salesboost@/{database}?host={self._directory}"

    def create(self, template: str = "template1") -> str:
        """Create a database like *template* and return its name."""
        name = f"crm_{next(_numbers)}"
        engine = create_engine(self.url("postgres").replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        engine.dispose()
        return name

    def answers(self) -> bool:
        """Say whether the server accepts connections."""
        ready = find_binary("pg_isready")
        assert ready is not None
        return subprocess.run([ready, "-q", "-h", self._directory], check=False).returncode == 0


@contextmanager
def running_server() -> Generator[PostgresServer]:
    """Run a server in a new directory; skip the test where PostgreSQL is not installed."""
    initdb, postgres = find_binary("initdb"), find_binary("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed")
    # Not tmp_path: the path of a unix socket may have 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="crm-pg-"))
    # The server refuses to run as root.
    user = _unprivileged() if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(directory, user)
    data = directory / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    try:
        subprocess.run(
            [initdb, "-D", data, "-U", "salesboost", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            user=user,
            cwd=directory,
            env=environment,
            check=True,
            capture_output=True,
        )
        process = subprocess.Popen(
            [postgres, "-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"],
            user=user,
            cwd=directory,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server = PostgresServer(directory)
            wait_until(server.answers, timeout=30, description="PostgreSQL accepts connections")
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
