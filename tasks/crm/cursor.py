"""Cursors of listings: opaque, and of use only for the listing that gave them.

A cursor is the last row's sort key, signed (HMAC-SHA256, RFC 2104, cut to 128 bits) together with what was
asked, by a key that the database keeps. One that was forged, or comes from another tenant, query or database,
does not verify.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

from salesboost.faults import InputFault

_MAC_BYTES: Final = 16


def sign_cursor(key: bytes, scope: str, last: list[Any]) -> str:
    """Return the cursor that continues after the row with the sort key *last*."""
    body = json.dumps(last, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(key, scope, body) + body).decode().rstrip("=")


def read_cursor(key: bytes, scope: str, cursor: str) -> list[Any]:
    """Return the sort key in *cursor*.

    Raises:
        InputFault: It was not given for this listing.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not body or not hmac.compare_digest(mac, _mac(key, scope, body)):
        raise InputFault(
            "cursor must be the next_cursor of the page before, with the same action, entity, customer_id, "
            f"filters and query, got {cursor[:40]!r}; leave it out to begin anew"
        )
    last: list[Any] = json.loads(body)
    return last


def _mac(key: bytes, scope: str, body: bytes) -> bytes:
    message = len(scope).to_bytes(4, "big") + scope.encode() + body
    return hmac.new(key, message, hashlib.sha256).digest()[:_MAC_BYTES]
