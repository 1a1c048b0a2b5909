"""What goes to the server of runs: their ends and their output. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from qtool.engine.celery.message import decode_message, reissue
from qtool.engine.celery.results import settled
from qtool.engine.output import HEAD, TAIL, bound, size
from qtool.engine.states import Event, State
from qtool.errors import NotSerialisable, PayloadTooLarge, Undecodable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.brokers.redis.following import Followed
    from qtool.engine.job import Chunk, Failure, Report, Settlement

PIECE = 16 * 1024
"""Bytes of output that are kept or dropped together, at most."""

NULL = "null"

_SPENT = re.compile(rb'"(?:retries": ?[1-9]|eta": ?"|expires": ?")')
"""What a message has where there is something to take back."""


def pieces(chunks: Sequence[Chunk]) -> list[bytes]:
    """Output as it is kept: ``<stream> <offset>\\n<bytes>``, cut so that little more than the bound is."""
    if not chunks:
        return []
    kept: Sequence[Chunk] = bound(chunks) if size(chunks) > HEAD + TAIL else chunks
    return [
        f"{stream} {offset + at}\n".encode() + data[at : at + PIECE]
        for stream, offset, data in kept
        for at in range(0, max(1, len(data)), PIECE)
    ]


def error_text(error: Failure) -> str:
    """An error as JSON in ASCII, so that any text survives."""
    said = {name: value for name in error.__slots__ if (value := getattr(error, name)) is not None}
    return json.dumps(said)


def goes_out_again(settlement: Settlement) -> bool:
    """Whether its message says too little for the next attempt: one of Celery's workers may take it."""
    return settlement.state is State.RETRY and settlement.event is Event.ERROR and not settlement.told


def anew(settlement: Settlement, message: bytes | None) -> str | None:
    """The message of the next attempt (WIRE.md section 7, RETRY); None where it has to stay as it was."""
    if message is None:
        return None
    try:
        again = reissue(decode_message(message), retries=settlement.lease.failures + 1, eta=settlement.due_at)
    except (Undecodable, NotSerialisable, PayloadTooLarge):
        return None
    return again.decode("ascii")


def afresh(message: bytes | None) -> bytes | None:
    """The message of a job that a person runs again: nothing has failed, and no time is set; None where that holds."""
    if message is None or not _SPENT.search(message):
        return None
    try:
        return reissue(decode_message(message), retries=0, eta=None, expires=None)
    except (Undecodable, NotSerialisable, PayloadTooLarge):
        return None


def ending(followed: Followed, raw: list[bytes], again: str | None = None) -> tuple[Any, ...]:
    """What ``settle.lua`` takes; the result and the output go to the end of ``raw``.

    ``again``: the next attempt's message.
    """
    settlement = followed.settlement
    lease, result = settlement.lease, settlement.result
    # What an attempt before has left must not be the last word.
    silent = settlement.told or not (settlement.kept or lease.attempt > 1)
    meta = settled(settlement, followed.message, followed.children) if not silent else None
    if meta is not None:
        raw.append(meta)
    null = NULL if result == NULL else False
    if settlement.state is State.SUCCEEDED and not settlement.output:
        at, started_at = settlement.at, settlement.started_at
        token, seconds = str(lease.token), at - started_at
        return lease.id, token, False, repr(at), repr(started_at), meta is not None, null, lease.queue, seconds
    written = 0
    if settlement.event is not Event.SNOOZE or settlement.told:
        output = pieces(settlement.output)
        raw += output
        written = len(output)
    return (
        lease.id,
        str(lease.token),
        settlement.event,
        settlement.at,
        settlement.started_at,
        meta is not None,
        null,
        settlement.state,
        settlement.due_at if settlement.due_at is not None else False,
        settlement.reason or False,
        error_text(settlement.failure) if settlement.failure is not None else False,
        settlement.crash,
        written,
        again if again is not None else False,
        settlement.told,
    )


def reporting(report: Report, raw: list[bytes]) -> tuple[Any, ...]:
    """What ``report.lua`` takes; the output goes to the end of ``raw``."""
    output = pieces(report.output)
    raw += output
    message = report.message
    return (
        report.lease.id,
        str(report.lease.token),
        report.progress if report.progress is not None else False,
        message.encode("utf-8", "backslashreplace").decode() if message is not None else False,
        len(output),
    )
