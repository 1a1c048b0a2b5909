"""A job's record and message as a parcel, and a parcel as what ``arrive.lua`` takes. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.records import attempt, job_info
from qtool.engine.brokers.redis.writing import error_text, pieces
from qtool.engine.celery.message import Message, decode_message, encode_message, reissue
from qtool.engine.celery.results import decode_result, ended
from qtool.engine.freight import Parcel, attempt_said
from qtool.engine.job import EXEC, Chunk, Lease
from qtool.engine.signing import SIGNATURE, Guard, signed
from qtool.engine.states import FINAL, State
from qtool.engine.value import Value
from qtool.errors import BadName, Distrusted, Undecodable

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.records import Record

_SEEN = (b"s", b"k", b"q", b"a", b"f", b"cr", b"ra", b"da", b"xa", b"fa")


class Packed(Value):
    """What stands beside a record."""

    attempts: tuple[bytes, ...] = ()
    value: str | None = None
    output: tuple[tuple[int, Chunk], ...] = ()


def seen_as(record: Record) -> str:
    """What tells whether a job is still as it was read; unchanged.lua makes the same text."""
    return b"|".join(record.fields.get(field, b"") for field in _SEEN).decode()


def pack(record: Record, beside: Packed, into: str | None) -> Parcel:
    """All of a job that has a record. Raises Undecodable."""
    if record.message is None:
        raise Undecodable(what="message", why="it is gone")
    message = decode_message(record.message)
    info = job_info(record)
    # Left to Celery's workers, in a list, before its time.
    early = info.state is State.READY and info.due_at is not None
    more = _says_more(message)
    return Parcel(
        id=info.id,
        task=info.task,
        queue=info.queue,
        into=into,
        state=(State.RETRY if info.failures else State.SCHEDULED) if early else info.state,
        priority=info.priority,
        created_at=info.created_at or 0.0,
        ready_at=info.ready_at if not early else None,
        due_at=info.due_at,
        expires_at=info.expires_at,
        started_at=info.started_at,
        finished_at=info.finished_at,
        attempt=info.attempt,
        failures=info.failures,
        crashes=info.crashes,
        reason=info.reason,
        error=info.error,
        worker=info.worker,
        message=info.message,
        unique=info.unique,
        key=info.key,
        key_limit=info.key_limit,
        body=message.body,
        options=message.options,
        envelope=record.message.decode() if more or not message.ours else None,
        redis_only=more,
        result=beside.value,
        attempts=tuple(map(attempt, beside.attempts)),
        output=beside.output,
    )


def without_signature(parcel: Parcel, key: str | None, url: str) -> Parcel:
    """The parcel as it may go where permissions are the lock: a command is vouched for, and bears no signature.

    Raises Distrusted for a command that others may have put there.
    """
    if parcel.task != EXEC:
        return parcel
    lease = Lease(parcel.id, parcel.task, parcel.queue, 0, 0, 0, 0, parcel.body, parcel.options, 1, 0.0)
    why = "there is no key to check it with: set QTOOL_KEY, or 'key' of its context"
    if key is not None:
        why = Guard(url=url, allowed=True, key=key).refusal(lease) or ""
    if why:
        raise Distrusted(why=why)
    said = json.loads(parcel.options or "{}")
    said.pop(SIGNATURE)
    return replace(parcel, options=json.dumps(said, separators=(",", ":")) if said else None)


def _says_more(message: Message) -> bool:
    """Whether Celery's client said what no job can hold."""
    headers = message.headers
    said = headers.get("ignore_result"), headers.get("group"), message.exchange
    return any(message.content.embed.values()) or any(said)


def coming(parcel: Parcel, queue: str, key: str | None, url: str, raw: list[bytes]) -> tuple[Any, ...]:
    """What ``arrive.lua`` takes; the output goes to the end of ``raw``. ``key`` signs commands.

    Raises Undecodable, BadName, KeyNeeded, and what a message cannot be made of.
    """
    for name in (parcel.id, parcel.task, queue, parcel.unique or "", parcel.key or ""):
        try:
            name.encode()
        except UnicodeEncodeError:
            why = "it is not valid text (bytes that are not UTF-8)"
            raise BadName(what="the text", name=name[:80], why=why) from None
    message = _message(parcel, queue, key, url)
    meta = _meta(parcel)
    outputs: dict[int, list[Chunk]] = {}
    for number, chunk in parcel.output:
        outputs.setdefault(number, []).append(chunk)
    written = []
    kept: list[bytes] = []
    for number, chunks in sorted(outputs.items()):
        some = pieces(chunks)
        kept += some
        written.append((number, len(some)))
    raw += kept
    return (
        parcel.id,
        queue,
        parcel.state,
        parcel.priority,
        _fields(parcel, queue, meta),
        message.decode("ascii"),
        _text(parcel.ready_at),
        _text(parcel.due_at),
        _text(parcel.expires_at),
        _text(parcel.finished_at),
        parcel.holds if parcel.holds is not None else False,
        [json.dumps(attempt_said(each)) for each in parcel.attempts],
        written,
        meta.decode() if meta is not None else False,
    )


def _message(parcel: Parcel, queue: str, key: str | None, url: str) -> bytes:
    due = parcel.due_at
    if parcel.envelope is not None:
        return reissue(decode_message(parcel.envelope), queue=queue, eta=due)
    return encode_message(signed(parcel.job(queue, due), key, url), retries=parcel.failures)


def _meta(parcel: Parcel) -> bytes | None:
    """What Celery's clients are told; nothing of a job that has not run."""
    if parcel.state not in FINAL and parcel.state is not State.RETRY:
        return None
    return ended(
        parcel.id,
        parcel.state,
        parcel.finished_at or 0.0,
        value=parcel.result,
        reason=parcel.reason,
        error=parcel.error,
        stopped=parcel.started_at is not None,
    )


def _text(time: float | None) -> str | bool:
    return repr(time) if time is not None else False


def _fields(parcel: Parcel, queue: str, meta: bytes | None) -> list[Any]:
    """The record: names and values, all of them text."""
    told = decode_result(meta).value if meta is not None and parcel.result is not None else None
    said: dict[str, Any] = {
        "s": parcel.state.value,
        # More than the few fields that most records have.
        "x": 1,
        "q": queue,
        "t": parcel.task,
        "p": parcel.priority,
        "c": repr(parcel.created_at),
        "ra": _text(parcel.ready_at),
        "da": _text(parcel.due_at),
        "xa": _text(parcel.expires_at),
        "sa": _text(parcel.started_at),
        "fa": _text(parcel.finished_at),
        "a": parcel.attempt,
        "f": parcel.failures,
        "cr": parcel.crashes,
        "w": parcel.worker,
        "why": parcel.reason.value if parcel.reason is not None else None,
        "e": error_text(parcel.error) if parcel.error is not None else None,
        "ms": parcel.message.encode("utf-8", "backslashreplace").decode() if parcel.message is not None else None,
        "u": parcel.unique,
        "ck": parcel.key,
        "cl": parcel.key_limit if parcel.key is not None else None,
        "r": parcel.result if told != parcel.result else None,
    }
    return [
        part for name, value in said.items() if value is not None and value is not False for part in (name, str(value))
    ]
