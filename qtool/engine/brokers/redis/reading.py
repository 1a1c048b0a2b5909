"""What a claim brings: leases, read from messages with as little work as may be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from qtool.engine.brokers.redis.writing import error_text
from qtool.engine.celery.message import Message, came_with, decode_message, lease_body
from qtool.engine.job import Failure, Lease
from qtool.engine.value import Value
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Sequence

_started = msgspec.msgpack.Decoder(list[tuple[str, str, str, int, int, int, int, float]]).decode
"""Id, task, queue, attempt, failures, crashes, key, ready since."""

_CREATED = b'"qtool.created":'
_OPTIONS = b'"qtool.options":'


class Claimed(Value):
    """What came of a claim."""

    leases: list[Lease]
    unreadable: list[tuple[Lease, str]]
    """Those whose message cannot be read, and why, as it is kept."""
    messages: list[Message]
    """Those that took more than a glance: what they say may matter at the end of the job."""


def parts(message: bytes) -> tuple[str, str | None]:
    """A lease's body and options. Raises Undecodable."""
    body, options, _ = _read(message)
    return body, options


def _read(message: bytes) -> tuple[str, str | None, Message | None]:
    """A lease's body and options, and the message where it took more than a glance. Raises Undecodable."""
    if _CREATED in message and _OPTIONS not in message and (body := lease_body(message)) is not None:
        return body, None, None
    decoded = decode_message(message)
    if decoded.ours:
        return decoded.body, decoded.options, decoded
    return decoded.content.whole, came_with(decoded), decoded


def leases_of(packed: bytes, messages: Sequence[bytes], token: int) -> Claimed:
    """The leases that ``claim.lua`` gave."""
    leases: list[Lease] = []
    unreadable: list[tuple[Lease, str]] = []
    read: list[Message] = []
    for row, message in zip(_started(packed), messages, strict=True):
        id, task, queue, attempt, failures, crashes, key, ready_at = row
        try:
            body, options, decoded = _read(message)
        except Undecodable as error:
            lease = Lease(id, task, queue, token, attempt, failures, crashes, "", None, key, ready_at)
            unreadable.append((lease, error_text(Failure(type="Undecodable", message=str(error)))))
        else:
            leases.append(Lease(id, task, queue, token, attempt, failures, crashes, body, options, key, ready_at))
            if decoded is not None:
                read.append(decoded)
    return Claimed(leases, unreadable, read)
