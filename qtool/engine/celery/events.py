"""Celery's events: what a worker tells of itself and of its tasks, to whoever listens (WIRE.md section 5). Pure.

Events of tasks go out many at a time, as a list under the routing key ``task.multi``; those of the worker one by one.
They are structs of msgspec's, because a busy worker makes three of them a job: a dictionary each costs three times as
much.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec

from qtool.engine import codec
from qtool.engine.celery.envelope import wrap
from qtool.engine.celery.message import shown
from qtool.engine.celery.results import exception_of
from qtool.engine.job import NOTHING, Failure
from qtool.engine.states import Reason, State
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.engine.celery.lamport import Lamport
    from qtool.engine.job import Lease, Settlement

MULTI = "task.multi"
"""The routing key of a list of events."""

SIGTERM = 15
"""The signal that Celery's tools are told a terminated task was ended with."""

_MOST = 256
"""Characters of a number that is shown as it is."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Event(msgspec.Struct, tag_field="type", gc=False):
    """What every event says."""

    hostname: str
    """The node."""
    utcoffset: int
    """Hours west of UTC."""
    pid: int
    clock: int
    """The node's logical clock."""
    timestamp: float
    """When it happened, in seconds since the epoch."""


class WorkerEvent(Event):
    """A sign of life."""

    freq: float
    """Seconds until the next."""
    active: int
    processed: int
    loadavg: tuple[float, float, float]
    sw_ident: str
    sw_ver: str
    sw_sys: str


class Online(WorkerEvent, tag="worker-online"):
    """It begins."""


class Heartbeat(WorkerEvent, tag="worker-heartbeat"):
    """It goes on."""


class Offline(WorkerEvent, tag="worker-offline"):
    """It ends."""


class TaskEvent(Event):
    """Something that happened to a job."""

    uuid: str
    """Its id."""


class Received(TaskEvent, tag="task-received"):
    """A worker has it."""

    name: str
    args: str
    """For display, as ``kwargs``."""
    kwargs: str
    root_id: str
    parent_id: str | None
    retries: int
    eta: str | None
    expires: str | None


class Started(TaskEvent, tag="task-started"):
    """Its own code has begun."""


class Succeeded(TaskEvent, tag="task-succeeded"):
    """It has returned."""

    result: str
    """For display."""
    runtime: float


class Failed(TaskEvent, tag="task-failed"):
    """It has ended in an error, for good."""

    exception: str
    traceback: str


class Retried(TaskEvent, tag="task-retried"):
    """It has ended in an error, and is run again later."""

    exception: str
    traceback: str


class Revoked(TaskEvent, tag="task-revoked"):
    """It was cancelled."""

    terminated: bool
    """While it ran."""
    signum: int | None
    expired: bool


class Source:
    """Makes the events of one node."""

    __slots__ = ("_clock", "_node", "_offset", "_pid")

    def __init__(self, node: str, pid: int, clock: Lamport) -> None:
        self._node = node
        self._pid = pid
        self._clock = clock
        self._offset = utc_offset()

    def _stamp(self, at: float) -> tuple[str, int, int, int, float]:
        return self._node, self._offset, self._pid, self._clock.forward(), at

    # --- the worker ----------------------------------------------------------------------------------

    def worker(self, kind: type[WorkerEvent], at: float, about: Mapping[str, Any]) -> WorkerEvent:
        """A sign of life; ``about`` is what the worker says of itself."""
        return kind(*self._stamp(at), **about)

    # --- its jobs ------------------------------------------------------------------------------------

    def received(self, lease: Lease, at: float) -> Received:
        """The worker has a job."""
        if lease.options is None:
            id, (args, kwargs) = lease.id, _read(lease.body)
            return Received(*self._stamp(at), id, lease.task, args, kwargs, id, None, lease.failures, None, None)
        args, kwargs = called_with(lease)
        said = _headers(lease).get
        return Received(
            *self._stamp(at),
            lease.id,
            name=_text(said("shadow")) or lease.task,
            args=args,
            kwargs=kwargs,
            root_id=_text(said("root_id")) or lease.id,
            parent_id=_text(said("parent_id")),
            retries=lease.failures,
            eta=_text(said("eta")),
            expires=_text(said("expires")),
        )

    def started(self, id: str, at: float) -> Started:
        """Its code has begun."""
        return Started(*self._stamp(at), id)

    def revoked(self, id: str, at: float, *, terminated: bool = False) -> Revoked:
        """It was cancelled, while it ran or before."""
        return Revoked(*self._stamp(at), id, terminated, SIGTERM if terminated else None, expired=False)

    def ended(self, settlement: Settlement) -> TaskEvent:
        """How a run has ended that :func:`ends` says is told of."""
        id, at, state = settlement.lease.id, settlement.at, settlement.state
        if state is State.SUCCEEDED:
            took = max(0.0, at - settlement.started_at)
            return Succeeded(*self._stamp(at), id, _result(settlement.result), took)
        if state is State.CANCELLED:
            return self.revoked(id, at, terminated=began(settlement))
        kind = Retried if state is State.RETRY else Failed
        return kind(*self._stamp(at), id, *_failure(settlement))

    # --- messages ------------------------------------------------------------------------------------

    def message(self, event: WorkerEvent, exchange: str, tag: str) -> tuple[str, bytes]:
        """The routing key and the envelope of a sign of life."""
        key = str(event.__struct_config__.tag).replace("-", ".")
        return key, self._wrapped(event, exchange, key, tag)

    def messages(self, events: Sequence[TaskEvent], exchange: str, tag: str) -> tuple[str, bytes]:
        """The routing key and the envelope of many events of tasks."""
        return MULTI, self._wrapped(events, exchange, MULTI, tag)

    def _wrapped(self, what: object, exchange: str, key: str, tag: str) -> bytes:
        try:
            body = _encode(what)
        except UnicodeEncodeError:
            # Lone surrogates in what a task has said: the standard library spells them out.
            body = json.dumps(msgspec.to_builtins(what)).encode("ascii")
        return wrap(body, {"hostname": self._node}, exchange, key, tag)


def utc_offset() -> int:
    """Hours west of UTC, as Celery counts them."""
    return (time.altzone if time.localtime().tm_isdst else time.timezone) // 3600


def began(settlement: Settlement) -> bool:
    """Whether there was a run: not where the job was given back, or cancelled, before it had started."""
    return settlement.at > settlement.started_at or settlement.state is State.SUCCEEDED


def ends(settlement: Settlement) -> bool:
    """Whether a run has ended as anything: not where the job waits again as if it had not begun."""
    state = settlement.state
    if state is State.DEAD:
        # Its own code said that there is nothing more to be said.
        return settlement.reason is not Reason.DISCARDED
    return state is State.SUCCEEDED or state is State.RETRY or state is State.CANCELLED


# --- what a job says ---------------------------------------------------------------------------------


def came_with(lease: Lease) -> Mapping[str, Any]:
    """Headers and properties of the message of a Celery client; empty for a job of ours."""
    if lease.options is None or '"celery":' not in lease.options:
        return NOTHING
    try:
        said = json.loads(lease.options).get("celery")
    except (ValueError, AttributeError):
        return NOTHING
    return said if isinstance(said, dict) else NOTHING


def called_with(lease: Lease) -> tuple[str, str]:
    """Arguments for display: as their sender has them shown, who may hide some."""
    headers = _headers(lease)
    args, kwargs = headers.get("argsrepr"), headers.get("kwargsrepr")
    if isinstance(args, str) and isinstance(kwargs, str):
        return args, kwargs
    return _read(lease.body)


def _headers(lease: Lease) -> Mapping[str, Any]:
    headers = came_with(lease).get("headers")
    return headers if isinstance(headers, dict) else NOTHING


def _text(said: object) -> str | None:
    return said if isinstance(said, str) else None


def _read(body: str) -> tuple[str, str]:
    """``[args, kwargs]`` for display."""
    try:
        args, kwargs = _decode(body)[:2]
        if type(args) is not list or type(kwargs) is not dict:
            return "()", "{}"
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        # What the quick reader does not take: lone surrogates and NaN; or what nobody reads.
        try:
            args, kwargs = codec.decode_body(body)
        except Undecodable:
            return "()", "{}"
    size = len(body)
    return shown(tuple(args), size), shown(kwargs, size) if kwargs else "{}"


def _result(text: str | None) -> str:
    """``repr`` of the value in a JSON text."""
    if text is None:
        return "None"
    return shown(json.loads(text), len(text)) if text[:1] in '"[{tfn' else text[:_MOST]


def _failure(settlement: Settlement) -> tuple[str, str]:
    """The error as its class would show itself, by the name that Celery has for it; and where it was raised."""
    failure = settlement.failure or Failure(type="Exception", message=str(settlement.reason or ""))
    said = exception_of(failure, settlement.reason, task=settlement.lease.task)
    args = ", ".join(map(repr, said["exc_message"]))
    return f"{said['exc_type']}({args})", failure.traceback or ""
