"""Fixtures: two fleets that the tests of this folder share where they can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.fleet import Fleet, a_fleet
from workers.embedded import EmbeddedServers


@pytest.fixture(scope="session")
def processes(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A worker with two processes."""
    with a_fleet(servers, tmp_path_factory.mktemp("processes")) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def threads(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A worker with eight threads."""
    with a_fleet(servers, tmp_path_factory.mktemp("threads"), pool="threads", concurrency=8) as fleet:
        yield fleet


@pytest.fixture(params=["processes", "threads"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """Each kind of worker in turn."""
    found: Fleet = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file in which tools leave a line for each execution."""
    return tmp_path / "executions"
