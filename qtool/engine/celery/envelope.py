"""What is no task: events, requests and replies, each in the envelope of kombu's transport (WIRE.md section 2)."""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

from qtool.engine.celery.body import plain
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Mapping


def wrap(body: bytes, headers: Mapping[str, Any], exchange: str, routing_key: str, tag: str) -> bytes:
    """The envelope around a body of JSON; ``tag`` is its delivery tag, which nothing else may have."""
    properties = {
        "delivery_tag": tag,
        "delivery_mode": 1,
        "delivery_info": {"exchange": exchange, "routing_key": routing_key},
        "priority": 0,
        "body_encoding": "base64",
    }
    envelope = {
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    # What base64 is made of needs no escaping, and a batch of events is long.
    rest = json.dumps(envelope, separators=(",", ":")).encode("ascii")
    return b'{"body":"%b",%b' % (b2a_base64(body, newline=False), rest[1:])


def unwrap(raw: bytes) -> tuple[Mapping[str, Any], Any]:
    """Headers and body of what somebody published. Raises Undecodable; for other content than JSON, too."""
    try:
        envelope = json.loads(raw)
        headers = envelope.get("headers") or {}
        kind = envelope.get("content-type")
        if kind != "application/json" or not isinstance(headers, dict):
            raise ValueError(f"its content is {kind!r}")
        return headers, json.loads(plain(envelope, envelope.get("properties") or {}, headers))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Undecodable(what="request", why=str(error) or type(error).__name__) from None
