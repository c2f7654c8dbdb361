"""Fixtures: one ledger a test, on the state server of the test process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from salesboost.connections import connect
from scheduler import library
from tests.unit.scheduler.ledger_bed import Bed
from workers.embedded import EmbeddedServers


@pytest.fixture(scope="session")
def state_url(servers: EmbeddedServers) -> str:
    """The URL of a server that has the functions."""
    server = connect(servers.state_url, timeout=5)
    library.load(server)
    server.close()
    return servers.state_url


@pytest.fixture
def bed(state_url: str) -> Iterator[Bed]:
    """An empty ledger with the tool ``free``; fails the test that leaves a key behind for ever."""
    bed = Bed(state_url, f"t{uuid.uuid4().hex[:12]}")
    bed.publish("free")
    yield bed
    forever = bed.keys_without_reason_to_stay()
    bed.close()
    assert not forever, f"keys with neither a TTL nor a line in 00_keys.lua: {forever}"
