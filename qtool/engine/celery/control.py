"""Celery's remote control: what a request asks of whom, and what the answers look like (WIRE.md section 6). Pure."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from qtool.engine import codec
from qtool.engine.celery.envelope import unwrap, wrap
from qtool.engine.celery.events import called_with, came_with
from qtool.engine.job import NOTHING
from qtool.engine.value import Value
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from qtool.engine.job import JobInfo, Lease

SKEW = 60.0
"""Seconds by which the clocks of two hosts may differ: a request that is over for longer is not carried out."""

_LONGEST_PATTERN = 200
_MOST_QUANTIFIERS = 4


class Request(Value):
    """What a worker is asked to do."""

    method: str
    arguments: Mapping[str, Any]
    ticket: str | None
    """By which whoever asks knows the answers."""
    reply_to: str | None
    """The list that the answer goes to; None where nobody waits for one."""
    exchange: str
    """The exchange of that list."""
    routing_key: str
    clock: int
    """The logical clock of whoever asks."""


def read_request(raw: bytes, node: str, namespace: str, now: float) -> Request | None:
    """The request in a message, or None where it is not for this node or nobody waits for it any more.

    ``namespace`` is Celery's ``control_exchange``. A reply goes to the mailbox of a client and nowhere else: on a queue
    of tasks it would end a worker of Celery's (WIRE.md section 1). Raises Undecodable.
    """
    headers, body = unwrap(raw)
    if not isinstance(body, dict):
        raise Undecodable(what="request", why="it is not an object")
    method, arguments = body.get("method"), body.get("arguments") or NOTHING
    if not isinstance(method, str) or not isinstance(arguments, Mapping):
        raise Undecodable(what="request", why="it names no method")
    expires = _number(headers.get("expires"))
    if not _meant(node, body) or (expires and now > expires + SKEW):
        return None
    to, exchange, key = body.get("reply_to"), f"reply.{namespace}.pidbox", ""
    if to:
        said = to.get("routing_key") if isinstance(to, dict) and to.get("exchange") == exchange else None
        if not isinstance(said, str) or not said:
            raise Undecodable(what="request", why="its reply_to is no mailbox")
        key = said
    ticket = body.get("ticket")
    return Request(
        method=method,
        arguments=arguments,
        ticket=ticket if isinstance(ticket, str) else None,
        reply_to=f"{key}.{exchange}" if to else None,
        exchange=exchange,
        routing_key=key,
        clock=int(_number(headers.get("clock"))),
    )


def _number(said: object) -> float:
    return said if isinstance(said, int | float) and not isinstance(said, bool) and abs(said) < 2**53 else 0


def _meant(node: str, body: Mapping[str, Any]) -> bool:
    """Whether a request is for this node: by name, by a pattern, or for all."""
    destination, pattern, matcher = body.get("destination"), body.get("pattern"), body.get("matcher")
    if destination:
        return isinstance(destination, list | str) and node in destination
    if not pattern or not matcher:
        return True
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        return False
    if matcher == "glob":
        return fnmatchcase(node, pattern)
    return matcher == "pcre" and _quick(pattern) and _matches(pattern, node)


def _quick(pattern: str) -> bool:
    """Whether no name makes the matching long: a few repetitions, and none of a group, which may hold others."""
    return not re.search(r"\)[*+?{]", pattern) and len(re.findall(r"[*+{]", pattern)) <= _MOST_QUANTIFIERS


def _matches(pattern: str, node: str) -> bool:
    with warnings.catch_warnings():
        # Of a pattern that may come to mean something else some day.
        warnings.simplefilter("ignore")
        try:
            return re.match(pattern, node) is not None
        except (re.error, RecursionError, OverflowError):
            return False


def encode_reply(request: Request, node: str, value: object, clock: int, tag: str) -> bytes:
    """The answer of one node, as a message."""
    body = json.dumps({node: value}, default=repr).encode("ascii")
    return wrap(body, {"ticket": request.ticket, "clock": clock}, request.exchange, request.routing_key, tag)


# --- answers -----------------------------------------------------------------------------------------


def ok(said: str) -> dict[str, str]:
    """It is done."""
    return {"ok": said}


def refused(why: str) -> dict[str, str]:
    """It is not, and why."""
    return {"error": why}


def task_info(lease: Lease, node: str, *, pid: int | None, started: float | None) -> dict[str, Any]:
    """A job that a worker has; ``pid`` and ``started`` (seconds since the epoch) of one that runs."""
    args, kwargs = _arguments(lease.body)
    return _info(lease.id, lease.task, args, kwargs, node) | {
        "time_start": started,
        "acknowledged": False,
        "delivery_info": _delivery(lease.queue, came_with(lease).get("properties")),
        "worker_pid": pid,
    }


def shown_info(lease: Lease, node: str, *, pid: int | None, started: float | None) -> dict[str, Any]:
    """As :func:`task_info`, with the arguments as their sender has them shown."""
    args, kwargs = called_with(lease)
    return task_info(lease, node, pid=pid, started=started) | {"args": args, "kwargs": kwargs}


def scheduled_info(job: JobInfo, node: str, eta: str) -> dict[str, Any]:
    """A job that is not due yet."""
    about = {
        "time_start": None,
        "acknowledged": False,
        "delivery_info": _delivery(job.queue, None),
        "worker_pid": None,
    }
    request = _info(job.id, job.task, list(job.args), dict(job.kwargs), node) | about
    return {"eta": eta, "priority": 9 - job.priority, "request": request}


def _info(id: str, task: str, args: object, kwargs: object, node: str) -> dict[str, Any]:
    return {"id": id, "name": task, "args": args, "kwargs": kwargs, "type": task, "hostname": node}


def _delivery(queue: str, properties: object) -> dict[str, Any]:
    said = properties if isinstance(properties, dict) else {}
    info = said.get("delivery_info")
    told = info if isinstance(info, dict) else {}
    return {
        "exchange": told.get("exchange", ""),
        "routing_key": told.get("routing_key", queue),
        "priority": said.get("priority"),
        "redelivered": bool(told.get("redelivered")),
    }


def _arguments(body: str) -> tuple[list[Any], dict[str, Any]]:
    try:
        args, kwargs = codec.decode_body(body)
    except Undecodable:
        return [], {}
    return list(args), kwargs


def queue_info(name: str) -> dict[str, Any]:
    """A queue that a worker serves, as kombu describes its own."""
    nothing = dict.fromkeys(("arguments", "delivery_mode"))
    exchange = {"name": name, "type": "direct", "durable": True, "passive": False, "auto_delete": False}
    limits = dict.fromkeys(("expires", "message_ttl", "max_length", "max_length_bytes", "max_priority"))
    arguments = dict.fromkeys(("queue_arguments", "binding_arguments", "consumer_arguments", "alias", "no_declare"))
    return {
        "name": name,
        "exchange": {**exchange, **nothing, "no_declare": False},
        "routing_key": name,
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "no_ack": False,
        "bindings": [],
        **arguments,
        **limits,
    }
