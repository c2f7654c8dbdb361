"""Loads the server-side function library into the state server.

The files `NN_*.lua` hold what all functions share, in the order of their numbers; every other file is one
operation. Functions are named ``sb<wire version>_<operation>``: two wire versions live side by side, so that old
and new workers can serve one ledger during a rolling deploy. Called by workers, the gateway and tests when they
start; producers only call functions by name.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

import redis

from salesboost.wire import WIRE_VERSION

REVISION = 1
"""Rises with every change of the functions within one wire version; a worker never replaces a newer one."""

LIBRARY = f"salesboost_{WIRE_VERSION}"

_REVISION_FUNCTION = """
redis.register_function{{function_name = 'sb{wire}_revision',
  callback = function() return {{{revision}, '{digest}'}} end,
  flags = {{'no-writes', 'allow-stale'}}}}
"""


@lru_cache(maxsize=1)
def source() -> tuple[str, str]:
    """Return the library's text and the digest of its functions."""
    lua = sorted((f for f in files("scheduler.functions").iterdir() if f.name.endswith(".lua")), key=lambda f: f.name)
    body = "\n".join(f.read_text(encoding="utf-8") for f in lua)
    digest = sha256(body.encode()).hexdigest()[:16]
    tail = _REVISION_FUNCTION.format(wire=WIRE_VERSION, revision=REVISION, digest=digest)
    return f"#!lua name={LIBRARY}\n{body}\n{tail}", digest


def loaded(server: redis.Redis) -> tuple[int, str] | None:
    """Return (revision, digest) of the library on *server*, None when there is none."""
    try:
        revision, digest = server.fcall(f"sb{WIRE_VERSION}_revision", 0)
    except redis.ResponseError as exc:
        if "not found" in str(exc):
            return None
        raise
    return int(revision), digest.decode() if isinstance(digest, bytes) else str(digest)


def load(server: redis.Redis) -> bool:
    """Put this library on *server* unless a newer one, or the same one, is there. Return whether it did.

    Safe to call from any number of processes at once: loading replaces the library in one step.
    """
    text, digest = source()
    there = loaded(server)
    if there is not None and (there[0] > REVISION or there == (REVISION, digest)):
        return False
    server.function_load(text, replace=True)
    return True
