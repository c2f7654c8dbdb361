"""The client that a command uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from salesboost.client import ToolClient

FOREVER = 366 * 86_400.0
"""Seconds that a command waits when it was given no bound: until it is interrupted."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The global options.

    Attributes:
        url: The state server's URL, None to find one.
        cache_url: The cache server's URL, None to find one.
        namespace: The ledger's name, None for the default.
    """

    url: str | None
    cache_url: str | None
    namespace: str | None


def client(context: typer.Context) -> ToolClient:
    """Return a client for the global options.

    Raises:
        ConfigurationError: No state server is known.
    """
    from salesboost import wire
    from salesboost.client import ToolClient

    chosen: Connection = context.obj
    namespace = chosen.namespace or wire.DEFAULT_NAMESPACE
    return ToolClient(chosen.url, cache_url=chosen.cache_url, namespace=namespace, result_timeout=FOREVER)
