"""Finds the servers: an argument, the environment, or the stack that `salesboost up` runs in this folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

from salesboost.errors import ConfigurationError

STATE_VARIABLE = "SALESBOOST_REDIS_URL"
CACHE_VARIABLE = "SALESBOOST_CACHE_URL"
HOME_VARIABLE = "SALESBOOST_HOME"
DEFAULT_HOME = "var"
SERVERS_FILE = "servers.json"


def home() -> Path:
    """Return the folder in which a stack keeps its data: ``$SALESBOOST_HOME``, else ``var`` here."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)


def running_stack() -> dict[str, str]:
    """Return ``state_url`` and ``cache_url`` of the stack that runs in `home`, empty when none does."""
    path = home() / SERVERS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    stack = cast(dict[str, str], found)
    return {name: stack[name] for name in ("state_url", "cache_url") if stack.get(name)}


def state_url(given: str | None = None) -> str:
    """Return the URL of the state server.

    Raises:
        ConfigurationError: Nothing names one and no stack runs here.
    """
    url = given or os.environ.get(STATE_VARIABLE) or running_stack().get("state_url")
    if not url:
        raise ConfigurationError(
            f"no state server is known: start one with `salesboost up` in this folder, or set {STATE_VARIABLE} "
            f"to its URL such as redis://127.0.0.1:6379/0 (looked for {home() / SERVERS_FILE})"
        )
    return url


def cache_url(given: str | None = None, *, state: str | None = None) -> str | None:
    """Return the URL of the cache server, None when there is none: calls then go on without a cache.

    The cache of the stack that runs here belongs to that stack's state server: it is not used beside another one.

    Args:
        given: The URL that the caller named, if any.
        state: The state server's URL that the caller named, if any.
    """
    named = given or os.environ.get(CACHE_VARIABLE)
    if named or state or os.environ.get(STATE_VARIABLE):
        return named or None
    return running_stack().get("cache_url")
