"""kombu's Redis transport with two faults of kombu 5.7.0 mended.

1. A message that is no JSON object kills the worker: `_brpop_read` decodes it outside any guard. Here it is set aside
   (`<queue>.malformed`, capped) and counted.
2. A channel that is used after its connection was closed meets ``'NoneType' object has no attribute 'hostname'``, which
   no recovery path expects, so that a restart of Redis ends the worker. Here it is a ConnectionError, which Celery
   recovers from.

`tests/unit/workers/test_transport.py` fails when kombu no longer needs either.
"""

from __future__ import annotations

import base64
from queue import Empty
from typing import Any, cast

import orjson
import structlog
from kombu import VERSION, __version__  # type: ignore[attr-defined]  # lazy module, the stubs leave them out
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ConnectionError as RedisConnectionError

log = structlog.get_logger(__name__)

MENDED = (5, 7)
"""The kombu release line that these overrides were written against."""

MAX_MESSAGE = 1024 * 1024
"""Bytes; our own hints are below 2 KiB, and a plain producer's payload is bounded too."""

KEPT = 1000
"""Malformed entries kept for a look."""


_StockChannel: Any = kombu_redis.Channel


class Malformed(ValueError):
    """Raised for a queue entry that no Celery message can be."""


def check_message(item: bytes) -> dict[str, Any]:
    """Return the decoded entry.

    Raises:
        Malformed: It is too large, no JSON object, compressed, or lacks what kombu and Celery take for granted.
    """
    if len(item) > MAX_MESSAGE:
        raise Malformed(f"{len(item)} bytes")
    try:
        # kombu's own reader would build what {"__type__": …} asks for, and fail in many ways.
        message = orjson.loads(item)
    except orjson.JSONDecodeError as exc:
        raise Malformed(f"no JSON: {exc}") from exc
    if not isinstance(message, dict):
        raise Malformed(f"a JSON {type(message).__name__}")
    entry = cast(dict[str, Any], message)
    if not isinstance(entry.get("headers"), dict) or not isinstance(entry.get("properties"), dict):
        raise Malformed("no headers or properties")
    headers, properties = cast(dict[str, Any], entry["headers"]), cast(dict[str, Any], entry["properties"])
    if headers.get("compression"):
        raise Malformed(f"compressed with {headers['compression']}")
    if entry.get("content-type") != "application/json":
        raise Malformed(f"content type {entry.get('content-type')!r}")
    if not isinstance(entry.get("body"), str) or not isinstance(properties.get("delivery_tag"), str):
        raise Malformed("no body or delivery tag")
    if not isinstance(properties.get("delivery_info"), dict):
        raise Malformed("no delivery information")
    if not isinstance(headers.get("task"), str) or not isinstance(headers.get("id"), str):
        raise Malformed("no task or id")
    _check_encoding(entry["body"], properties.get("body_encoding"))
    return entry


def _check_encoding(body: str, encoding: Any) -> None:
    if encoding not in (None, "utf-8", "base64"):
        raise Malformed(f"body encoding {encoding!r}")
    try:
        encoded = body.encode()
        if encoding == "base64":
            base64.b64decode(encoded)
    except ValueError as exc:
        raise Malformed(f"a body that is not {encoding}") from exc


class Channel(_StockChannel):  # type: ignore[misc]  # the stubs leave most of it out
    """A channel that survives bad entries and lost connections."""

    def _brpop_read(self, **options: Any) -> Any:
        connection = self.client.connection
        try:
            try:
                reply = self.client.parse_response(connection, "BRPOP", **options)
            except self.connection_errors:
                connection.disconnect()
                raise
            if not reply:
                raise Empty
            key, item = reply
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = check_message(item)
            except Malformed as exc:
                self._set_aside(queue, item, str(exc))
                return True
            self.connection._deliver(message, queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        """Put a message back as it was read; kombu would write a body without encoding in a form of its own."""
        where = message.delivery_info
        for queue in self._lookup(where.get("exchange"), where.get("routing_key")):
            self._put(queue, message._raw)

    def _set_aside(self, queue: str, item: bytes, why: str) -> None:
        log.error("malformed_queue_entry", queue=queue, bytes=len(item), why=why)
        with self.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.lpush(f"{queue}.malformed", item[:4096])
            pipeline.ltrim(f"{queue}.malformed", 0, KEPT - 1)
            pipeline.incr(f"{queue}.malformed.count")
            try:
                pipeline.execute()
            except self.ResponseError as exc:  # a server without memory takes nothing; the log has it
                log.warning("malformed_queue_entry_not_kept", queue=queue, error=str(exc))

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the channel's connection was closed")
        return cast(dict[str, Any], super()._connparams(asynchronous=asynchronous))


class Transport(kombu_redis.Transport):
    """The transport that workers use for ``redis://`` and ``rediss://``."""

    Channel = Channel


def install() -> None:
    """Make kombu use this transport in this process.

    Raises:
        RuntimeError: kombu is of another release line than the overrides were written against.
    """
    if (VERSION.major, VERSION.minor) != MENDED:
        raise RuntimeError(
            f"workers/transport.py was written against kombu {MENDED[0]}.{MENDED[1]}, found {__version__}: compare "
            "its overrides with kombu.transport.redis, then raise MENDED"
        )
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
