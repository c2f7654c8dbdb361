"""Both clients under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from salesboost import AsyncToolClient, CallSpec, ToolClient
from tests.contract.driving import LoopThread, drive
from workers.stack import Stack

MakeClient = Callable[..., ToolClient]


def specs_of(tool: str, times: int, **payload: Any) -> list[CallSpec]:
    """Return the same call several times, each with a key of its own."""
    return [{"name": tool, "payload": payload} for _ in range(times)]


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Make further clients of the kind under test; they are closed after it."""
    with ExitStack() as open_clients:
        loop = open_clients.enter_context(LoopThread()) if request.param == "async" else None

        def make(url: str, **options: Any) -> ToolClient:
            client = drive(AsyncToolClient(url, **options), loop) if loop else ToolClient(url, **options)
            return open_clients.enter_context(client)

        yield make


@pytest.fixture
def client(make_client: MakeClient, stack: Stack) -> ToolClient:
    """A client of the running stack: `ToolClient`, then `AsyncToolClient` through an adapter."""
    return make_client(stack.state_url, cache_url=stack.cache_url, result_timeout=30)


@pytest.fixture
def state_server(stack: Stack) -> Iterator[redis.Redis]:
    """The state server itself, to look behind the client's back."""
    with redis.Redis.from_url(stack.state_url) as server:
        yield server
