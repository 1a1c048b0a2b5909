"""qtool's record of a job in Redis, read: a hash of short fields, beside the message as it was published. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import WorkerInfo
from qtool.engine.celery.message import decode_message
from qtool.engine.celery.results import Meta
from qtool.engine.codec import decode_body, decode_options
from qtool.engine.job import NOTHING, UNSAID, Attempt, Failure, JobInfo, Policy
from qtool.engine.states import Event, Reason, State
from qtool.engine.value import Value
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterable


def text(raw: bytes | str) -> str:
    """A name as it stands in the server: in bytes, though redis-py's types leave it open."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", "surrogatepass")


def taken(state: bytes, meta: Meta | None) -> Meta | None:
    """Celery's result of a job whose record says that it is ready, if that shows that a worker of Celery's took it.

    A result that says RETRY may be ours, of the attempt before.
    """
    if state != b"ready" or meta is None or meta.state in (State.READY, State.RETRY):
        return None
    return meta


def literal(prefix: str) -> str:
    """For a pattern of the server's: what would be special there is not."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)


class Record(Value):
    """A job's record, its message, and what Celery's places say of it."""

    id: str
    fields: Mapping[bytes, bytes]
    message: bytes | None
    claimed: bool = False
    """It stands in ``unacked``."""
    meta: Meta | None = None
    """Celery's result."""

    @property
    def state(self) -> State:
        """Where the job is. What Celery's worker took and ended is not in the record before upkeep has seen it."""
        if self.elsewhere is not None:
            return self.elsewhere.state
        written = State(text(self.fields[b"s"]))
        return State.RUNNING if written is State.READY and self.claimed else written

    @property
    def elsewhere(self) -> Meta | None:
        """What a worker of Celery's, that took the job, has stored of it."""
        return taken(self.fields[b"s"], self.meta)

    def said(self, field: bytes) -> str | None:
        """A text; None where there is none."""
        found = self.fields.get(field)
        return text(found) if found is not None and found != b"" else None

    def time(self, field: bytes) -> float | None:
        """A time, or another number with a fraction."""
        found = self.fields.get(field)
        return float(found) if found else None

    def number(self, field: bytes, default: int = 0) -> int:
        """A whole number."""
        found = self.fields.get(field)
        return int(float(found)) if found else default


def job_info(record: Record) -> JobInfo:
    """The job as it looks from outside. What cannot be decoded is shown empty, with its error in place."""
    state, elsewhere = record.state, record.elsewhere
    error, reason = failure(record.fields.get(b"e")), record.said(b"why")
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = NOTHING
    policy: Policy = UNSAID
    tags: Mapping[str, str] = NOTHING
    parents: tuple[str, ...] = ()
    try:
        if record.message is None:
            raise Undecodable(what="message", why="it is gone")
        message = decode_message(record.message)
        args, kwargs = decode_body(message.body)
        policy, tags, parents = decode_options(message.options)
    except Undecodable as undecodable:
        error = error or Failure(type="Undecodable", message=str(undecodable))
    if elsewhere is not None:
        error, reason = elsewhere.error, elsewhere.reason
    created = record.time(b"c")
    return JobInfo(
        id=record.id,
        task=record.said(b"t") or "",
        queue=record.said(b"q") or "",
        state=state,
        args=args,
        kwargs=kwargs,
        priority=record.number(b"p"),
        created_at=created if created is not None else 0.0,
        due_at=record.time(b"da"),
        ready_at=record.time(b"ra"),
        expires_at=record.time(b"xa"),
        started_at=record.time(b"sa"),
        finished_at=record.time(b"fa") if elsewhere is None else elsewhere.done_at,
        attempt=record.number(b"a") + (state is not State.READY and record.fields[b"s"] == b"ready"),
        failures=record.number(b"f"),
        crashes=record.number(b"cr"),
        reason=Reason(reason) if reason else None,
        error=error,
        worker=record.said(b"w"),
        progress=record.time(b"pr"),
        message=record.said(b"ms"),
        unique=record.said(b"u"),
        key=record.said(b"ck"),
        key_limit=record.number(b"cl", 1),
        held=record.said(b"h"),
        tags=tags,
        parents=parents,
        policy=policy,
    )


def failure(raw: bytes | str | None) -> Failure | None:
    """An error as it is kept, JSON; None where there is none."""
    return Failure(**json.loads(raw)) if raw else None


def attempt(raw: bytes | str) -> Attempt:
    """An attempt as it is kept, JSON."""
    said: dict[str, Any] = json.loads(raw)
    error = said.pop("error", None)
    event, state = Event(said.pop("event")), State(said.pop("state"))
    return Attempt(**said, event=event, state=state, error=Failure(**error) if error else None)


def worker(raw: bytes, *, gone: bool) -> WorkerInfo:
    """A worker as it describes itself, JSON."""
    said: dict[str, Any] = json.loads(raw)
    said["gone"] = gone
    said["queues"] = tuple(said["queues"])
    return WorkerInfo(**said)


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """A hash as a script returns it."""
    items = iter(flat)
    return dict(zip(items, items, strict=True))
