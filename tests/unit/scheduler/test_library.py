"""The function library: loaded once, by anybody, and never replaced by an older one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from salesboost import wire
from salesboost.connections import connect
from salesboost.errors import ToolUnavailable
from salesboost.store import StateStore
from scheduler import library
from tests.unit.scheduler.ledger_bed import FUNCTIONS
from workers.embedded import EmbeddedServers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[redis.Redis]:
    """An empty server of the test's own."""
    with EmbeddedServers(tmp_path) as servers:
        server = connect(servers.state_url, timeout=5)
        yield server
        server.close()


def test_the_library_is_loaded_once(server: redis.Redis) -> None:
    # Given a server without functions
    assert library.loaded(server) is None
    # When it is loaded twice, then the second time changes nothing
    assert library.load(server)
    assert not library.load(server)
    assert library.loaded(server) == (library.REVISION, library.source()[1])


def test_any_number_of_processes_may_load_it_at_once(server: redis.Redis) -> None:
    # Given eight starters, when they load at once, then none fails and the functions are there
    wrong: list[BaseException] = []

    def load() -> None:
        try:
            library.load(server)
        except BaseException as exc:  # reported by the assertion
            wrong.append(exc)

    starters = [threading.Thread(target=load) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert not wrong
    assert library.loaded(server)


def test_a_newer_revision_is_not_replaced(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a server that a newer worker has loaded
    with monkeypatch.context() as newer:
        newer.setattr(library, "REVISION", library.REVISION + 1)
        library.source.cache_clear()
        library.load(server)
    library.source.cache_clear()
    # When this one starts, then the newer functions stay
    assert not library.load(server)
    assert library.loaded(server) == (library.REVISION + 1, library.source()[1])


def test_a_changed_library_of_the_same_revision_replaces_the_one_there(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given functions that differ from ours under the same revision, as in development
    text, digest = library.source()
    with monkeypatch.context() as other:
        other.setattr(library, "source", lambda: (text.replace(digest, "0" * 16), "0" * 16))
        library.load(server)
    # When ours are loaded, then they take their place
    assert library.load(server)
    assert library.loaded(server) == (library.REVISION, library.source()[1])


def test_a_producer_that_meets_a_server_without_functions_is_told_what_to_do(server: redis.Redis) -> None:
    # Given an empty server, when a function is called, then the error says that a worker loads it
    address = server.get_connection_kwargs()
    store = StateStore(f"redis://{address['host']}:{address['port']}/0", namespace="x")
    with pytest.raises(ToolUnavailable, match="has no SalesBoost functions of wire version 1: start a worker"):
        store.call("read_job", "j", "", 0, 0)
    store.close()


def test_each_file_holds_the_function_of_its_name_and_says_what_it_takes() -> None:
    # Given the files, then each operation registers itself under its wire version, and its head lists keys and reply
    for file in sorted(FUNCTIONS.glob("[a-z]*.lua")):
        text = file.read_text(encoding="utf-8")
        assert f"'{wire.function(file.stem)}'" in text, file.name
        assert "-- KEYS[1] root." in text, file.name
        assert "-- RETURNS" in text, file.name
