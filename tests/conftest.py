"""Real servers and a real stack, one of each for a test process, in temporary folders."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from workers.embedded import EmbeddedServers
from workers.stack import Stack

# Under nohup the hang-up signal is ignored, and every process that the tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

LEASE = 1.5
"""Seconds; a running attempt learns of its cancelling within a third of it."""

FAST = {
    "SALESBOOST_LEASE": str(LEASE),
    "SALESBOOST_SOFT_SHUTDOWN": "1",
    "TOOL_RETRY_BASE_DELAY": "0.05",
}


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_this_machine() -> None:
    """Keep what is set in the developer's shell out of the tests and of the processes they start."""
    for name in [name for name in os.environ if name.startswith(("SALESBOOST_", "TOOL_"))]:
        del os.environ[name]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """A state and a cache server."""
    with EmbeddedServers(tmp_path_factory.mktemp("servers"), unix_sockets=False) as running:
        yield running


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `stack`: its logs are in ``logs``."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def stack(servers: EmbeddedServers, stack_home: Path) -> Iterator[Stack]:
    """A worker with sixteen threads on `servers` that serves `tests.fixture_tools` beside the product's own tools."""
    settings = Settings(
        redis_url=servers.state_url,
        cache_url=servers.cache_url,
        home=stack_home,
        lease=LEASE,
        soft_shutdown=1,
    )
    running = Stack(
        settings,
        workers=1,
        concurrency=16,
        pool="threads",
        tool_modules=["tests.fixture_tools"],
        beat=False,
        environment=FAST,
    )
    with running:
        yield running
