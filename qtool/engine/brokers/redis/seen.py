"""A message that qtool has no record of, as a job. Pure."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from qtool.engine.celery.message import Message, decode_message
from qtool.engine.codec import decode_body, decode_options
from qtool.engine.job import NOTHING, UNSAID, Failure, JobInfo, Policy
from qtool.engine.states import Reason, State
from qtool.engine.value import Value
from qtool.errors import ContentRefused, Undecodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtool.engine.celery.results import Meta

NAMELESS = "unreadable-"
"""What the ids begin with that stand for messages which have none."""

SHOWN = 64 * 1024
"""Bytes of an unreadable message that are shown."""


class Seen(Value):
    """A message, where it lies, and what could be read of it."""

    raw: bytes
    queue: str
    state: State
    id: str
    task: str
    """Empty where even that cannot be read."""
    message: Message | None
    """None: it cannot be read, or must not be."""
    error: Failure | None = None


def see(raw: bytes, queue: str, state: State) -> Seen:
    """What can be read of a message. Pickled ones are not touched."""
    try:
        message = decode_message(raw)
    except Undecodable as error:
        refused = isinstance(error, ContentRefused)
        failure = Failure(
            type="ContentRefused" if refused else "Undecodable",
            message=str(error),
            traceback=raw[:SHOWN].decode("utf-8", "backslashreplace"),
        )
        id, task = _text(error.data.get("id")), _text(error.data.get("task"))
        return Seen(raw, queue, state, id or nameless(raw), task or "", None, failure)
    return Seen(raw, queue, state, message.id, message.task, message)


def nameless(raw: bytes) -> str:
    """An id for a message without one: the same wherever it lies."""
    return NAMELESS + sha256(raw).hexdigest()[:16]


def info(seen: Seen) -> JobInfo:
    """The job. Nobody has written down when it was made: Celery's messages do not say."""
    message, error = seen.message, seen.error
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = NOTHING
    policy: Policy = UNSAID
    tags: Mapping[str, str] = NOTHING
    parents: tuple[str, ...] = ()
    if message is not None:
        try:
            args, kwargs = decode_body(message.body)
            policy, tags, parents = decode_options(message.options)
        except Undecodable as undecodable:
            error = Failure(type="Undecodable", message=str(undecodable))
    return JobInfo(
        id=seen.id,
        task=seen.task,
        queue=seen.queue,
        state=seen.state,
        args=args,
        kwargs=kwargs,
        priority=message.weight if message is not None else 0,
        created_at=message.created_at if message is not None else None,
        due_at=message.eta if message is not None else None,
        ready_at=None,
        expires_at=message.expires if message is not None else None,
        started_at=None,
        finished_at=None,
        attempt=message.retries if message is not None else 0,
        failures=message.retries if message is not None else 0,
        crashes=0,
        reason=Reason.UNDECODABLE if seen.state is State.DEAD else None,
        error=error,
        worker=None,
        progress=None,
        message=None,
        unique=message.unique if message is not None else None,
        key=message.key if message is not None else None,
        key_limit=message.key_limit if message is not None else 1,
        tags=tags,
        parents=parents,
        policy=policy,
    )


def ended(id: str, meta: Meta) -> JobInfo:
    """A job of which there is nothing but Celery's result; it names the task only where the application has it so."""
    said = meta.extended
    args, kwargs = said.get("args"), said.get("kwargs")
    retries = said.get("retries")
    return JobInfo(
        id=id,
        task=_text(said.get("name")) or "",
        queue=_text(said.get("queue")) or "",
        state=meta.state,
        args=tuple(args) if isinstance(args, list) else (),
        kwargs=kwargs if isinstance(kwargs, dict) else NOTHING,
        priority=0,
        created_at=None,
        due_at=None,
        ready_at=None,
        expires_at=None,
        started_at=None,
        finished_at=meta.done_at,
        attempt=1 + (retries if isinstance(retries, int) else 0),
        failures=retries if isinstance(retries, int) else 0,
        crashes=0,
        reason=meta.reason,
        error=meta.error,
        worker=_text(said.get("worker")),
        progress=None,
        message=None,
        unique=None,
        tags=NOTHING,
        parents=(meta.parent_id,) if meta.parent_id else (),
        policy=UNSAID,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def unwrap(entry: bytes | str) -> tuple[bytes, str, str]:
    """What stands in ``unacked``: the envelope, the exchange and the routing key (WIRE.md section 2).

    What is not written as kombu does comes back whole, as an envelope that cannot be read.
    """
    try:
        envelope, exchange, key = json.loads(entry)
    except (ValueError, TypeError, RecursionError):
        return entry.encode() if isinstance(entry, str) else entry, "", ""
    return json.dumps(envelope).encode(), str(exchange or ""), str(key or "")
