"""Both clients when the servers or the way to them are away."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from salesboost import ConfigurationError, ResultTimeout, ToolClient, ToolUnavailable
from tests.contract.conftest import MakeClient
from tests.contract.relay import Relay
from tests.wait import wait_until
from workers.embedded import EmbeddedServers
from workers.stack import Stack


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_server_that_is_down_is_said_to_be_unavailable(make_client: MakeClient) -> None:
    # Given nobody listens there
    client = make_client(f"redis://:secret@127.0.0.1:{_closed_port()}/0", timeout=2)

    # When anything is asked
    # Then it fails soon, with the remedy and without the password
    began = time.monotonic()
    for ask in (
        lambda: client.call("echo", {}, caller_role="sdr"),
        lambda: client.submit("echo", {}, caller_role="sdr"),
        lambda: client.submit_many([{"name": "echo", "payload": {}}], caller_role="sdr"),
        client.tools,
    ):
        with pytest.raises(ToolUnavailable, match="did not answer") as caught:
            ask()
        assert caught.value.retryable
        assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 8


def test_a_server_that_has_stopped_is_given_up_within_the_timeout(make_client: MakeClient, stack: Stack) -> None:
    # Given a server that accepts connections and never answers
    with Relay(stack.state_url) as relay:
        relay.deaf = True
        client = make_client(relay.url, timeout=1)

        # When a call is made
        began = time.monotonic()
        with pytest.raises(ToolUnavailable, match="did not answer"):
            client.call("echo", {}, caller_role="sdr")

        # Then it gave up in time, instead of one time-out for every repeat
        assert time.monotonic() - began < 3


def test_a_server_without_functions_names_the_remedy(make_client: MakeClient, tmp_path: Path) -> None:
    # Given a server that no worker has ever used
    with EmbeddedServers(tmp_path) as empty:
        client = make_client(empty.state_url)

        # When a call is made
        # Then the error says what is missing
        with pytest.raises(ToolUnavailable, match="start a worker"):
            client.call("echo", {}, caller_role="sdr")
        assert client.tools() == []


def test_a_result_arrives_although_the_connection_broke_while_it_was_waited_for(
    make_client: MakeClient, stack: Stack, tmp_path: Path
) -> None:
    # Given callers who wait for results
    note = tmp_path / "note"
    with Relay(stack.state_url) as relay, ThreadPoolExecutor(3) as callers:
        client = make_client(relay.url)
        payload = {"seconds": 0.4, "note": str(note)}
        waiting = [callers.submit(client.call, "cancellable", payload, caller_role="sdr", timeout=20) for _ in range(3)]
        wait_until(
            lambda: note.exists() and len(note.read_text(encoding="utf-8").splitlines()) == 3,
            description="all three run",
        )

        # When every connection breaks
        relay.cut()

        # Then all have their results
        assert all(future.result().ok for future in waiting)


def test_a_wait_outlasts_an_outage(make_client: MakeClient, stack: Stack, tmp_path: Path) -> None:
    # Given a caller who waits for a result
    note = tmp_path / "note"
    with Relay(stack.state_url) as relay, ThreadPoolExecutor(1) as callers:
        client = make_client(relay.url, timeout=0.3)
        payload = {"seconds": 0.2, "note": str(note)}
        waiting = callers.submit(client.call, "cancellable", payload, caller_role="sdr", timeout=20)
        wait_until(note.exists, description="the tool has started")

        # When the server does not answer until the job has settled, and then does
        relay.deaf = True
        with ToolClient(stack.state_url) as other:
            job_id = _only_job(other, note)
            assert other.handle(job_id).result().ok
        wait_until(lambda: not waiting.done(), description="the caller still waits")
        relay.deaf = False

        # Then the result arrives
        assert waiting.result().ok


def _only_job(client: ToolClient, note: Path) -> str:
    server: Any = client._state.redis
    jobs = [
        key for key in server.scan_iter("{sb}:job:*", count=1000) if str(note).encode() in server.hget(key, "payload")
    ]
    assert len(jobs) == 1
    return str(jobs[0].decode().rpartition(":")[2])


def test_a_wait_that_ends_in_an_outage_says_that_the_server_is_away(
    make_client: MakeClient, stack: Stack, tmp_path: Path
) -> None:
    # Given a caller who waits for a second
    note = tmp_path / "note"
    with Relay(stack.state_url) as relay, ThreadPoolExecutor(1) as callers:
        client = make_client(relay.url, timeout=0.5)
        payload = {"seconds": 2, "note": str(note)}
        waiting = callers.submit(client.call, "cancellable", payload, caller_role="sdr", timeout=1.5)
        wait_until(note.exists, description="the tool has started")

        # When the server stops answering for good
        relay.deaf = True

        # Then the caller learns that it is the server, or that time ran out, in time
        with pytest.raises((ToolUnavailable, ResultTimeout)):
            waiting.result(timeout=5)


def test_a_cache_that_is_away_costs_nothing_but_its_hits(make_client: MakeClient, stack: Stack) -> None:
    # Given a cache server that is down
    client = make_client(stack.state_url, cache_url=f"redis://127.0.0.1:{_closed_port()}/0")

    # When a tool with a cache is called
    results = [client.call("cached", {"text": "no cache"}, caller_role="sdr") for _ in range(2)]

    # Then it runs
    assert [(result.ok, result.audit.cached) for result in results] == [(True, False), (True, False)]
    assert client.statistics()["cached"].cached == 0


def test_more_callers_than_connections_wait_their_turn(client: ToolClient) -> None:
    # Given three hundred callers
    # When all call at once
    with ThreadPoolExecutor(150) as callers:
        results = list(callers.map(lambda n: client.call("echo", {"text": str(n)}, caller_role="sdr"), range(300)))

    # Then all have their own results
    assert [result.result["text"] for result in results] == [str(n) for n in range(300)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_a_url_that_is_none_is_a_configuration_error(make_client: MakeClient, url: str) -> None:
    # Given a URL that redis cannot have
    # When a client is made with it
    # Then it says so at once
    with pytest.raises(ConfigurationError, match="a server's URL must be"):
        make_client(url)
