"""Which servers a client finds, and what is said when they fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from salesboost import ConfigurationError, locate
from salesboost.connections import check_url, translated, without_password

STACK = {"state_url": "redis://127.0.0.1:1/0", "cache_url": "redis://127.0.0.1:2/0"}


@pytest.fixture
def running_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack runs in the folder at hand."""
    (tmp_path / "servers.json").write_text(json.dumps(STACK), encoding="utf-8")
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))


@pytest.mark.usefixtures("running_stack")
def test_the_stack_that_runs_here_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a running stack
    # When nothing, the environment, and the caller name servers
    found = locate.state_url(), locate.cache_url()
    monkeypatch.setenv("SALESBOOST_REDIS_URL", "redis://env")
    monkeypatch.setenv("SALESBOOST_CACHE_URL", "redis://env-cache")
    by_environment = locate.state_url(), locate.cache_url()
    by_argument = locate.state_url("redis://arg"), locate.cache_url("redis://arg-cache")

    # Then the nearest word counts
    assert found == (STACK["state_url"], STACK["cache_url"])
    assert by_environment == ("redis://env", "redis://env-cache")
    assert by_argument == ("redis://arg", "redis://arg-cache")


@pytest.mark.usefixtures("running_stack")
def test_the_cache_of_the_stack_here_is_not_used_beside_another_state_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a running stack, and a state server somewhere else
    # When a cache is looked for
    # Then there is none: results of the one must not answer calls of the other
    assert locate.cache_url(state="redis://production") is None
    monkeypatch.setenv("SALESBOOST_REDIS_URL", "redis://production")
    assert locate.cache_url() is None


@pytest.mark.parametrize("content", [None, "{broken", "[]", '{"cache_url": "redis://x"}'])
def test_without_any_server_the_remedies_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    # Given no stack, or a file that a broken one left
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / "servers.json").write_text(content, encoding="utf-8")

    # When the state server is looked for
    # Then the error says what to do
    with pytest.raises(ConfigurationError, match=r"salesboost up.*SALESBOOST_REDIS_URL"):
        locate.state_url()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://user:p@ss@host/1", "rediss://***@host/1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/state.sock?db=0", "unix:///run/state.sock?db=0"),
        ("redis://[broken", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    # Given a URL
    # When it is shown
    # Then no secret is in it
    assert without_password(url) == shown


@pytest.mark.parametrize("url", ["redis://localhost:port", "http://localhost", "localhost:6379", "redis://[broken"])
def test_a_wrong_url_is_a_configuration_error(url: str) -> None:
    # Given what is no URL of a server
    # When it is checked
    # Then the error says what one looks like
    with pytest.raises(ConfigurationError, match=r"redis://127\.0\.0\.1:6379/0"):
        check_url(url)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.ResponseError("Function not found"), "start a worker"),
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "out of memory"),
        (redis.ResponseError("SBILLEGAL job x cannot go from a to b"), "refused a command: SBILLEGAL"),
        (redis.ConnectionError("Connection refused"), "did not answer"),
        (redis.TimeoutError("Timeout reading from socket"), "did not answer"),
    ],
)
def test_a_servers_failure_is_one_sentence_with_a_remedy(error: redis.RedisError, said: str) -> None:
    # Given an error of redis-py
    # When it is translated
    ours = translated(error, "redis://:secret@host:6379/0")

    # Then it is retryable, says what happened and keeps the secret
    assert said in ours.message
    assert "secret" not in ours.message
    assert (ours.code, ours.retryable) == ("TOOL_UNAVAILABLE", True)
    assert ours.retry_after
