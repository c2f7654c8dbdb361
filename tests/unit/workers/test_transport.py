"""The mended transport: bad entries are set aside, lost connections are connection errors, and kombu needs both."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Connection, Consumer, Queue
from kombu import transport as kombu_transport
from kombu.transport import redis as kombu_redis

from config.settings import Settings
from salesboost import wire
from salesboost.models import ToolInfo
from salesboost.policy import ToolPolicy
from salesboost.store import StateStore
from scheduler import fleet, library
from workers import transport
from workers.app import celery_url
from workers.embedded import EmbeddedServers
from workers.receiving import job_of
from workers.transport import MAX_MESSAGE, Malformed, check_message, install

KOMBU = version("kombu")
ALIASES: dict[str, str] = kombu_transport.TRANSPORT_ALIASES
CACHE: dict[str, Any] = vars(kombu_transport)["_transport_cache"]
SOME_TOOL = ToolInfo(
    name="some",
    version="1",
    description="",
    input_schema={},
    output_schema={},
    roles=[],
    limit=None,
    limit_keys=[],
    effect="read",
    timeout=1.0,
    cache_ttl=0.0,
    queue="default",
)


@pytest.fixture
def server(servers: EmbeddedServers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(servers.state_url) as server:
        yield server


@pytest.fixture
def queue(server: redis.Redis) -> Iterator[str]:
    """A queue of its own for each test."""
    name = f"transport-{uuid.uuid4().hex}"
    yield name
    server.delete(name, f"{name}.malformed", f"{name}.malformed.count", f"_kombu.binding.{name}")


@contextmanager
def a_connection(servers: EmbeddedServers, cls: Any = transport.Transport) -> Generator[Any]:
    """A connection as a worker's: nothing is acknowledged to the server."""
    with Connection(servers.state_url, transport=cls, transport_options={"ack_emulation": False}) as connection:
        yield connection


def error_of(action: Callable[[], object]) -> Exception | None:
    """Return what *action* raises, None when it does not."""
    try:
        action()
    except Exception as exc:
        return exc
    return None


def a_message(**changes: Any) -> dict[str, Any]:
    """Return a message that a plain Celery producer might send, with top-level changes."""
    return {
        "body": '[[],{"number":1},{}]',
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "tools.add", "id": "7", "lang": "py"},
        "properties": {"delivery_tag": "7", "delivery_info": {"exchange": "", "routing_key": "celery"}},
    } | changes


def headers(**changes: Any) -> dict[str, Any]:
    return a_message(headers=a_message()["headers"] | changes)


def properties(**changes: Any) -> dict[str, Any]:
    return a_message(properties=a_message()["properties"] | changes)


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


# --- lost connections ------------------------------------------------------------------------------------------


def channel_without_connection(connection: Any) -> Any:
    """Return a channel as kombu leaves one behind that is in use while its connection is closed."""
    channel = connection.channel()
    connection.transport.client = None  # what Connection._close and .collect do
    return channel


def test_kombu_still_loses_its_way_on_a_closed_connection(servers: EmbeddedServers) -> None:
    # Given kombu's own channel, whose connection was closed under it
    assert KOMBU.startswith("5.7."), "compare workers/transport.py with this kombu, then change this line"
    with a_connection(servers, kombu_redis.Transport) as connection:
        channel = channel_without_connection(connection)
        # When it is used
        met = error_of(channel._connparams)
    # Then it meets an error that no recovery expects
    assert repr(met) == "AttributeError(\"'NoneType' object has no attribute 'hostname'\")", (
        f"kombu {KOMBU} needs no help with closed connections any more: take Channel._connparams out of "
        "workers/transport.py"
    )


def test_a_channel_on_a_closed_connection_says_so(servers: EmbeddedServers) -> None:
    # Given our channel, whose connection was closed under it
    with a_connection(servers) as connection:
        channel = channel_without_connection(connection)
        # When it is used, then it is an error from which Celery recovers
        with pytest.raises(redis.ConnectionError, match="the channel's connection was closed") as lost:
            channel._connparams()
        assert isinstance(lost.value, connection.connection_errors)


@pytest.mark.parametrize("end", ["close", "collect"])
def test_a_channel_that_outlives_its_connection_says_so(servers: EmbeddedServers, end: str) -> None:
    with a_connection(servers) as connection:
        channel = connection.channel()
        getattr(connection, end)()
        with pytest.raises(redis.ConnectionError, match="the channel's connection was closed"):
            channel._create_client()


# --- entries that no message can be ----------------------------------------------------------------------------

MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no JSON"),
    "words": (b"hello", "no JSON"),
    "half a message": (encoded(a_message())[:-9], "no JSON"),
    "bytes that are no text": (b"\xff\xfe\x00\x01", "no JSON"),
    "text that is no UTF-8": (b'{"headers": "\xe9"}', "no JSON"),
    "a pickle": (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.", "no JSON"),
    "a deep nest": (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
    "NaN": (b"NaN", "no JSON"),
    "a number": (b"7", "a JSON int"),
    "a list": (b"[1, 2]", "a JSON list"),
    "null": (b"null", "a JSON NoneType"),
    "an empty object": (b"{}", "no headers"),
    "no properties": (encoded({"headers": {}}), "no headers or properties"),
    "headers in a list": (encoded(a_message(headers=[])), "no headers"),
    "kombu's decimals": (encoded(a_message(headers={"__type__": "decimal", "__value__": "x"})), "no task"),
    "kombu's bytes": (encoded(a_message(headers={"__type__": "bytes", "__value__": 7})), "no task"),
    "another content type": (encoded(a_message() | {"content-type": "application/x-python-serialize"}), "content type"),
    "no content type": (encoded({k: v for k, v in a_message().items() if k != "content-type"}), "content type None"),
    "no body": (encoded({k: v for k, v in a_message().items() if k != "body"}), "no body"),
    "a body in a list": (encoded(a_message(body=[])), "no body"),
    "no delivery tag": (encoded(properties(delivery_tag=None)), "no body or delivery tag"),
    "a delivery tag in a list": (encoded(properties(delivery_tag=[1])), "no body or delivery tag"),
    "no delivery information": (encoded(properties(delivery_info=None)), "no delivery information"),
    "no task": (encoded(headers(task=None)), "no task or id"),
    "no id": (encoded(headers(id=None)), "no task or id"),
    "a task in an object": (encoded(headers(task={"a": 1})), "no task or id"),
    "a message of protocol 1": (encoded(a_message(headers={}, body='{"task": "x", "id": "7"}')), "no task or id"),
    "an unknown body encoding": (encoded(properties(body_encoding="rot13")), "body encoding 'rot13'"),
    "a body encoding in a list": (encoded(properties(body_encoding=["base64"])), "body encoding"),
    "a body in base64 that is cut": (
        encoded(properties(body_encoding="base64") | {"body": "W10"}),
        "not base64",
    ),
    "a compressed body": (encoded(headers(compression="application/x-gzip")), "compressed with application/x-gzip"),
    "a body compressed by who knows what": (encoded(headers(compression="bomb")), "compressed with bomb"),
    "a message that is too large": (encoded(a_message(body="x" * MAX_MESSAGE)), "bytes"),
}


@pytest.mark.parametrize(("item", "why"), MALFORMED.values(), ids=MALFORMED.keys())
def test_an_entry_that_no_message_can_be_is_malformed(item: bytes, why: str) -> None:
    with pytest.raises(Malformed) as wrong:
        check_message(item)
    assert why in str(wrong.value)


@pytest.mark.parametrize(
    "message",
    [
        a_message(),
        headers(compression=None, stamps={}, eta=None),
        headers(compression=""),
        properties(body_encoding="base64") | {"body": "W1tdLHt9LHt9XQ=="},
        properties(body_encoding="utf-8"),
        a_message(body=""),
        a_message(body="no JSON: who reads the body finds out"),
    ],
)
def test_a_message_that_can_be_read_passes(message: dict[str, Any]) -> None:
    assert check_message(encoded(message)) == message


def test_a_message_at_the_bound_passes() -> None:
    rest = len(encoded(a_message(body="")))
    assert check_message(encoded(a_message(body="x" * (MAX_MESSAGE - rest))))
    with pytest.raises(Malformed):
        check_message(encoded(a_message(body="x" * (MAX_MESSAGE - rest + 1))))


def passes(item: bytes) -> dict[str, Any] | None:
    """Return what `check_message` gives for *item*, None when it calls it malformed; anything else fails the test."""
    try:
        return check_message(item)
    except Malformed:
        return None


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_malformed(item: bytes) -> None:
    assert passes(item) is None or isinstance(passes(item), dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = (
    [(name,) for name in a_message()]
    + [("headers", name) for name in ("task", "id", "compression", "eta", "__type__")]
    + [("properties", name) for name in ("delivery_tag", "delivery_info", "body_encoding", "priority")]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), max_size=4))
def test_whatever_passes_kombu_can_take(servers: EmbeddedServers, changes: list[tuple[tuple[str, ...], Any]]) -> None:
    # Given a message with anything at any of its places
    message = a_message()
    for place, value in changes:
        at = message
        for name in place[:-1]:
            at = at[name] if isinstance(at.get(name), dict) else {}
        at[place[-1]] = value
    found = passes(encoded(message))
    # When it passes, then kombu makes a message of it
    if found is not None:
        with a_connection(servers) as connection:
            channel = connection.channel()
            assert channel.Message(found, channel=channel).headers["task"]


# --- what honest producers send --------------------------------------------------------------------------------


def test_a_plain_celery_message_passes(servers: EmbeddedServers, server: redis.Redis, queue: str) -> None:
    # Given what Celery sends
    with Celery(broker=servers.state_url, set_as_current=False) as app:
        app.send_task("tools.add", kwargs={"number": 1}, queue=queue, countdown=5, expires=9, task_id="7")
    item = server.lindex(queue, 0)
    assert isinstance(item, bytes)
    # When it is checked, then it passes as it is
    assert check_message(item)["headers"]["task"] == "tools.add"


def test_a_compressed_celery_message_is_refused(servers: EmbeddedServers, server: redis.Redis, queue: str) -> None:
    # Given a megabyte of zeros that Celery sends as a kilobyte
    with Celery(broker=servers.state_url, set_as_current=False) as app:
        app.send_task("tools.add", args=["0" * 1_000_000], queue=queue, compression="zlib", argsrepr="")
    item = server.lindex(queue, 0)
    assert isinstance(item, bytes)
    assert len(item) < 10_000
    # When it is checked, then nobody inflates it
    with pytest.raises(Malformed, match="compressed with application/x-gzip"):
        check_message(item)


@pytest.mark.parametrize(
    "celery", [None, ("7", '{"callbacks":null,"errbacks":null,"chain":[],"chord":null}', '"root_id":"7","plain":true')]
)
def test_our_own_hint_passes_and_names_its_job(
    servers: EmbeddedServers, server: redis.Redis, celery: tuple[str, str, str] | None
) -> None:
    # Given a hint that the ledger pushed, for a call of ours or for an adopted one
    store = StateStore(servers.state_url, namespace=f"hint-{uuid.uuid4().hex[:12]}")
    library.load(server)
    fleet.publish(server, [(SOME_TOOL, ToolPolicy(limit=None))], Settings(namespace=store.namespace))
    submission = wire.Submission(
        tool="some", payload=b"{}", role="sdr", tenant="t", tool_call_id='an "odd" id ü', celery=celery
    )
    _, job = store.call("submit_job", *submission.arguments())
    found = next(server.scan_iter(match=f"*{store.namespace}*:q:default*", count=10_000))
    item = server.lindex(found, 0)
    assert isinstance(item, bytes)
    # When a worker reads it
    message = check_message(item)
    with a_connection(servers) as connection:
        channel = connection.channel()
        # Then it passes, and it names the job
        assert job_of(channel.Message(message, channel=channel, accept={"application/json"})) == wire.text(job)
    server.delete(*server.scan_iter(match=f"*{store.namespace}*", count=10_000))
    store.close()


# --- the channel -----------------------------------------------------------------------------------------------


def drain(connection: Any, queue: str, times: int) -> list[str]:
    """Take so many entries from the queue; return the ids of those that came through."""
    seen: list[str] = []

    def note(message: Any) -> None:
        seen.append(message.headers["id"])
        message.ack()

    with Consumer(connection.channel(), [Queue(queue)], on_message=note, accept=["json"]):
        for _ in range(times):
            connection.drain_events(timeout=5)
    return seen


def test_kombu_still_trips_over_a_malformed_entry(servers: EmbeddedServers, server: redis.Redis, queue: str) -> None:
    # Given kombu's own transport and an entry that is no JSON
    server.lpush(queue, b"hello")
    with a_connection(servers, kombu_redis.Transport) as connection:
        # When it reads it
        met = error_of(lambda: drain(connection, queue, 1))
    # Then it raises, out of the worker's loop
    assert isinstance(met, ValueError), (
        f"kombu {KOMBU} survives malformed entries: see whether workers/transport.py still needs Channel._brpop_read"
    )


def test_malformed_entries_are_set_aside_and_counted(servers: EmbeddedServers, server: redis.Redis, queue: str) -> None:
    # Given a queue with bad entries among good ones
    bad = [item for item, _ in MALFORMED.values()]
    server.lpush(queue, encoded(headers(id="first")), *bad, encoded(headers(id="last")))
    # When a worker reads it
    with a_connection(servers) as connection:
        seen = drain(connection, queue, len(bad) + 2)
    # Then the good ones come through, and the bad ones can be looked at, the large ones in part
    assert seen == ["first", "last"]
    assert server.lrange(f"{queue}.malformed", 0, -1) == [item[:4096] for item in reversed(bad)]
    assert server.get(f"{queue}.malformed.count") == str(len(bad)).encode()


def test_no_more_malformed_entries_are_kept_than_can_be_looked_at(
    servers: EmbeddedServers, server: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given room for three
    monkeypatch.setattr(transport, "KEPT", 3)
    server.lpush(queue, *(b"bad %d" % number for number in range(5)))
    # When five are met
    with a_connection(servers) as connection:
        drain(connection, queue, 5)
    # Then the last three are there, and five were counted
    assert server.lrange(f"{queue}.malformed", 0, -1) == [b"bad 4", b"bad 3", b"bad 2"]
    assert server.get(f"{queue}.malformed.count") == b"5"


def test_an_entry_of_a_priority_list_is_set_aside_under_its_queue(
    servers: EmbeddedServers, server: redis.Redis, queue: str
) -> None:
    server.lpush(f"{queue}\x06\x163", b"hello")
    with a_connection(servers) as connection:
        drain(connection, queue, 1)
    assert server.lrange(f"{queue}.malformed", 0, -1) == [b"hello"]


# --- install ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _uninstalled_after(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("redis", "rediss"):
        monkeypatch.setitem(ALIASES, scheme, "kombu.transport.redis:Transport")
        monkeypatch.setitem(CACHE, scheme, kombu_redis.Transport)  # so that whatever comes is taken out again
        monkeypatch.delitem(CACHE, scheme)


@pytest.mark.usefixtures("_uninstalled_after")
@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://h:1/0", "redis+socket:///tmp/s.sock?virtual_host=0"])
def test_installed_it_serves_every_kind_of_url(url: str) -> None:
    install()
    assert Connection(url).get_transport_cls() is transport.Transport


@pytest.mark.usefixtures("_uninstalled_after")
@pytest.mark.parametrize("changes", [{"minor": 8}, {"minor": 6}, {"major": 6, "minor": 0}])
def test_another_release_line_of_kombu_is_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]) -> None:
    # Given kombu of a release that nobody has compared with ours
    monkeypatch.setattr(transport, "VERSION", vars(transport)["VERSION"]._replace(**changes))
    # When a worker starts, then it says what is to be done
    with pytest.raises(RuntimeError, match=r"written against kombu 5\.7, found .*: compare .* then raise MENDED"):
        install()
    assert ALIASES["redis"] == "kombu.transport.redis:Transport"


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("unix:///run/s.sock?db=3", "redis+socket:///run/s.sock?virtual_host=3"),
        ("unix:///run/s.sock", "redis+socket:///run/s.sock?virtual_host=0"),
    ],
)
def test_a_socket_is_spelled_as_kombu_does(url: str, spelled: str) -> None:
    assert celery_url(url) == spelled
