"""An environment without settings, and a ledger of its own for each test on a real server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config import settings as settings_module
from salesboost import wire
from salesboost.store import StateStore
from scheduler import library
from workers.embedded import EmbeddedServers


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take every setting out of the environment, and the repository's own settings file out of reach."""
    for name in list(os.environ):
        if name.upper().startswith(("SALESBOOST_", "TOOL_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings_module, "ROOT", tmp_path)


@pytest.fixture
def store(servers: EmbeddedServers) -> Iterator[StateStore]:
    """An empty ledger on the state server, with the functions loaded."""
    store = StateStore(servers.state_url, namespace=f"cfg-{uuid.uuid4().hex[:16]}")
    library.load(store.redis)
    yield store
    keys = list(store.redis.scan_iter(f"{wire.root(store.namespace)}:*".replace("{", "\\{"), count=1000))
    if keys:
        store.redis.delete(*keys)
    store.close()


@pytest.fixture
def server(store: StateStore) -> redis.Redis:
    """The state server itself."""
    return store.redis
