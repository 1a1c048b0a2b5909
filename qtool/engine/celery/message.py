"""Celery's task message on a virtual transport (Redis): one JSON envelope (WIRE.md sections 1 and 2).

:func:`encode_message` writes a job as one; :func:`decode_message` reads anybody's. What Celery has no field for travels
in headers beginning with ``qtool.``, which Celery ignores. Everything is ASCII: nothing in a payload needs a codec, and
the text of every message of ours begins ``{"properties":{"delivery_tag":"<id>",``, so that a reader in Lua finds the
id without decoding.

A Celery worker *exits* on an item that is no JSON, lacks an id or has a body of two parts (WIRE.md section 1): a
message is made from validated parts here, and by nobody else.
"""

from __future__ import annotations

import json
import os
import reprlib
import socket
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from qtool.engine import codec
from qtool.engine.celery import times
from qtool.engine.celery.body import EMPTY_EMBED, Body, read_body
from qtool.engine.job import NOTHING, PRIORITIES, UNSAID, Job, Policy
from qtool.engine.value import Value
from qtool.errors import NotSerialisable, Undecodable

KILL_AFTER = 5.0
"""Seconds between the soft and the hard time limit of a job that names no grace: what a worker gives by default."""

_REPR_BYTES = 1024
"""How much of the arguments is repeated for display, as Celery does by default."""

_quoted = json.encoder.encode_basestring_ascii
_TEXT = {str}


class Message(Value, kw_only=True):
    """A task message, whoever published it."""

    id: str
    task: str
    exchange: str
    routing_key: str
    """The name of the queue, where the exchange is ``""``."""
    priority: int
    """0 to 9; on Redis 0 runs first."""
    delivery_tag: str
    eta: float | None
    expires: float | None
    retries: int
    timelimit: tuple[float | None, float | None]
    """Hard and soft, in seconds."""
    headers: Mapping[str, Any]
    """As they came; those of version 1 in the words of version 2."""
    properties: Mapping[str, Any]
    content: Body
    """Its arguments, and what is to follow."""
    created_at: float | None
    """When it was made; only known of messages of ours."""
    unique: str | None
    key: str | None
    key_limit: int
    ours: bool
    """Made by :func:`encode_message`."""
    raw: bytes
    """The envelope as it was published."""

    @property
    def body(self) -> str:
        """``[args, kwargs]`` as text: a lease's body."""
        return self.content.text

    @property
    def options(self) -> str | None:
        """Policy, tags and parents as text: a lease's options. Celery's time limits are part of the policy."""
        if (said := self.headers.get("qtool.options")) is not None:
            return json.dumps(said, separators=(",", ":"))
        policy = policy_of(self.timelimit)
        if policy is UNSAID:
            return None
        said = {"timeout": policy.timeout, "grace": policy.grace}
        return json.dumps({name: value for name, value in said.items() if value is not None}, separators=(",", ":"))

    @property
    def queue(self) -> str:
        """Where it was sent to, as far as the message itself knows."""
        return self.routing_key

    @property
    def weight(self) -> int:
        """qtool's priority, of which the larger runs first."""
        return 9 - self.priority


_CARRIED = ("correlation_id", "reply_to", "delivery_info", "priority")
"""Of a message's properties: what a task of Celery's sees in its request."""


def came_with(message: Message) -> str:
    """A lease's options for a message of Celery's: also its headers and properties, for an application to see."""
    properties = {name: message.properties[name] for name in _CARRIED if name in message.properties}
    said = json.dumps({"headers": message.headers, "properties": properties}, separators=(",", ":"))
    options = message.options
    return f'{{"celery":{said}}}' if options is None else f'{options[:-1]},"celery":{said}}}'


# --- writing -----------------------------------------------------------------------------------------


def encode_message(job: Job, *, retries: int = 0, embed: str = EMPTY_EMBED) -> bytes:
    """The job as a message for the default exchange. Raises NotSerialisable, PayloadTooLarge.

    ``retries`` is how many errors were forgiven so far; ``embed`` is JSON: what is to follow.
    """
    args, kwargs = job.args, job.kwargs
    body = codec.encode_body(args, kwargs)
    options = codec.encode_options(job)
    try:
        id = _quoted(job.id)
        to, told = _fixed(job.task, job.queue, job.priority)
        extra = f',"qtool.created":{moment(job.created_at)}'
        if options is not None:
            extra += f',"qtool.options":{options}'
        if job.unique is not None:
            extra += f',"qtool.unique":{_quoted(job.unique)}'
        if job.key is not None:
            extra += f',"qtool.key":{_quoted(job.key)}'
        if job.key_limit != 1:
            extra += f',"qtool.key_limit":{int(job.key_limit)}'
        # What Celery takes for unsaid is left out: a third of the text, which a server copies some times on its way.
        expiration = when = ""
        if job.run_at is not None:
            when = f',"eta":"{times.to_text(_number(job.run_at))}"'
        if job.expires_at is not None:
            when += f',"expires":"{times.to_text(_number(job.expires_at))}"'
            expiration = f',"expiration":"{max(0, int((job.expires_at - job.created_at) * 1000))}"'
        if job.policy is not UNSAID:
            when += f',"timelimit":{json.dumps(timelimit_of(job.policy))}'
    except (TypeError, ValueError) as error:
        raise NotSerialisable(what="The job", why=str(error)) from None
    said = _quoted(shown(args, len(body))) if args else '"()"'
    named = _quoted(shown(dict(kwargs), len(body))) if kwargs else '"{}"'
    content = b2a_base64(f"{body[:-1]},{embed}]".encode("ascii"), newline=False).decode("ascii")
    return (
        f'{{"properties":{{"delivery_tag":{id},"correlation_id":{id}{to}{expiration}}},{told},"id":{id},"root_id":{id}'
        f'{when},"retries":{retries},"argsrepr":{said}'
        f',"kwargsrepr":{named}{extra}}},"body":"{content}"}}'
    ).encode("ascii")


@lru_cache(maxsize=64)
def _fixed(task: str, queue: str, priority: int) -> tuple[str, str]:
    """What the jobs of a batch have in common: the end of the properties, and the beginning of the headers."""
    if priority not in PRIORITIES:
        raise ValueError(f"a priority is a number from 0 to 9, not {priority!r}")
    to = (
        f',"delivery_mode":2,"delivery_info":{{"exchange":"","routing_key":{_quoted(queue)}}}'
        f',"priority":{9 - int(priority)},"body_encoding":"base64"'
    )
    told = (
        f'"content-type":"application/json","content-encoding":"utf-8","headers":{{"lang":"py","task":{_quoted(task)}'
        f',"origin":{_quoted(origin(os.getpid()))}'
    )
    return to, told


@lru_cache(maxsize=4)
def origin(pid: int) -> str:
    """The producer as Celery names one: ``gen<pid>@<host>``."""
    return f"gen{pid}@{socket.gethostname()}"


@lru_cache(maxsize=64, typed=True)
def moment(value: float) -> str:
    """Seconds since the epoch as text: what came in one batch was mostly made at one time. Raises ValueError."""
    return repr(_number(value))


def _number(value: float) -> float:
    if type(value) not in (int, float) or not -1e300 < value < 1e300:
        raise ValueError(f"a time is a number of seconds, not {value!r}")
    return value


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 200
_short.maxdict = _short.maxlist = _short.maxtuple = 10


def shown(value: Any, size: int) -> str:
    """``repr`` for display, whole where it is short."""
    text = repr(value) if size <= _REPR_BYTES else _short.repr(value)
    return text if len(text) <= _REPR_BYTES else f"{text[: _REPR_BYTES - 3]}..."


def timelimit_of(policy: Policy) -> list[float | None]:
    """Celery's ``[hard, soft]``, in seconds: an error in the task when its time is up, the kill after the grace."""
    if policy.timeout is None:
        return [None, None]
    grace = KILL_AFTER if policy.grace is None else policy.grace
    return [policy.timeout + grace, policy.timeout]


def policy_of(timelimit: tuple[float | None, float | None]) -> Policy:
    """The policy that means Celery's ``(hard, soft)``: with a hard limit alone nothing is said in the task before."""
    hard, soft = timelimit
    if hard is None and soft is None:
        return UNSAID
    if soft is None:
        return Policy(timeout=hard, grace=0.0)
    return Policy(timeout=soft, grace=max(0.0, hard - soft) if hard is not None else None)


def compose(headers: Mapping[str, Any], properties: Mapping[str, Any], body: str) -> bytes:
    """A message from parts that stand already, with an ``id`` and a ``task`` among the headers.

    ``body`` is the text ``[args, kwargs, embed]``. The delivery tag is the id, and comes first. Raises NotSerialisable.
    """
    id = headers["id"]
    marked = {"delivery_tag": id, "correlation_id": id, **{k: v for k, v in properties.items() if k != "delivery_tag"}}
    marked["body_encoding"] = "base64"
    envelope = {
        "properties": marked,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {name: value for name, value in headers.items() if name != "compression"},
        "body": b2a_base64(body.encode("ascii"), newline=False).decode("ascii"),
    }
    return codec.encode_value(envelope, "The message").encode("ascii")


class _Same:
    """Stands for what a caller leaves as it is, where None means something."""


SAME = _Same()


def reissue(
    message: Message,
    *,
    queue: str | None = None,
    priority: int | None = None,
    retries: int | None = None,
    eta: float | _Same | None = SAME,
    expires: float | _Same | None = SAME,
    body: str | None = None,
) -> bytes:
    """The same task, published anew: retried (its own parent, WIRE.md section 7), moved or edited.

    ``priority`` is qtool's, ``body`` is ``[args, kwargs]``; what is not given stays. What is to follow it stays, too.
    """
    headers, properties = dict(message.headers), dict(message.properties)
    if retries is not None:
        headers |= {"retries": retries, "parent_id": message.id}
    if not isinstance(eta, _Same):
        headers["eta"] = None if eta is None else times.to_text(eta)
    if not isinstance(expires, _Same):
        headers["expires"] = None if expires is None else times.to_text(expires)
        properties.pop("expiration", None)
    if priority is not None:
        properties["priority"] = 9 - priority
    if queue is not None:
        properties["delivery_info"] = {"exchange": "", "routing_key": queue}
    content = message.content
    if body is not None:
        args, kwargs = codec.decode_body(body)
        length = len(body)
        headers |= {"argsrepr": shown(args, length), "kwargsrepr": shown(kwargs, length)}
    text = content.text if body is None else body
    return compose(headers, properties, f"{text[:-1]},{content.embed_text}]")


# --- reading -----------------------------------------------------------------------------------------

_OURS = b'{"properties":{"delivery_tag":"'
_BODY = b',"body":"'
_NOTHING_MORE = f",{EMPTY_EMBED}]".encode()


def lease_body(raw: bytes) -> str | None:
    """``[args, kwargs]`` of a message of ours that nothing is to follow, without reading the rest of it.

    None for any other: :func:`decode_message` tells.
    """
    start = raw.rfind(_BODY)
    if start < 0 or not raw.startswith(_OURS):
        return None
    try:
        body = a2b_base64(raw[start + len(_BODY) : -2])
    except ValueError:
        return None
    return f"{body[: -len(_NOTHING_MORE)].decode()}]" if body.endswith(_NOTHING_MORE) else None


def decode_message(raw: bytes | str) -> Message:
    """Anybody's message. Raises Undecodable with the reason; ContentRefused for what is never decoded (pickle, YAML).

    The error's ``data`` has the ``id`` and the ``task`` where the envelope gives them.
    """
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogatepass")
    envelope = _json(raw)
    if type(envelope) is not dict:
        raise Undecodable(what="message", why="it is not an object")
    properties, headers = envelope.get("properties") or {}, envelope.get("headers") or {}
    if type(properties) is not dict or type(headers) is not dict:
        raise Undecodable(what="message", why="its properties or its headers are not an object")
    try:
        content, headers = read_body(envelope, properties, headers)
        return _message(properties, headers, content, raw)
    except Undecodable as error:
        error.data |= {"id": headers.get("id"), "task": headers.get("task")}
        raise
    except (TypeError, ValueError, RecursionError) as error:
        why = str(error) or type(error).__name__
        raise Undecodable(what="message", why=why, id=headers.get("id"), task=headers.get("task")) from None


def _message(properties: dict[str, Any], headers: dict[str, Any], content: Body, raw: bytes) -> Message:
    id, task = headers.get("id"), headers.get("task")
    if type(id) is not str or not id:
        raise ValueError("it has no id")
    if type(task) is not str or not task:
        raise ValueError("it names no task")
    info = properties.get("delivery_info") or {}
    if type(info) is not dict:
        raise ValueError("its delivery_info is not an object")
    eta, expires = headers.get("eta"), headers.get("expires")
    created, priority = headers.get("qtool.created"), properties.get("priority")
    limit = headers.get("qtool.key_limit")
    options = headers.get("qtool.options")
    if options is not None and type(options) is not dict:
        raise ValueError("its options are not an object")
    retries = headers.get("retries")
    return Message(
        id=id,
        task=task,
        exchange=_text(info.get("exchange")) or "",
        routing_key=_text(info.get("routing_key")) or "",
        priority=min(max(priority, 0), 9) if type(priority) is int else 0,
        delivery_tag=_text(properties.get("delivery_tag")) or "",
        eta=times.from_text(eta) if eta else None,
        expires=times.from_text(expires) if expires else None,
        retries=retries if type(retries) is int and retries > 0 else 0,
        timelimit=_timelimit(headers.get("timelimit")),
        headers=headers,
        properties=properties,
        content=content,
        created_at=created if type(created) in (int, float) else None,
        unique=_text(headers.get("qtool.unique")),
        key=_text(headers.get("qtool.key")),
        key_limit=limit if type(limit) is int and limit > 0 else 1,
        ours=created is not None,
        raw=raw,
    )


def _json(raw: bytes) -> Any:
    try:
        return _quick()(raw)
    except (ValueError, RecursionError):
        # Lone surrogates and NaN, which Celery's own reader takes.
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Undecodable(what="message", why=str(error) or type(error).__name__) from None


@lru_cache(maxsize=1)
def _quick() -> Any:
    import msgspec

    return msgspec.json.Decoder().decode


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _timelimit(said: object) -> tuple[float | None, float | None]:
    """Hard and soft; what is no span of time, or none at all (0), limits nothing, as for Celery."""
    if type(said) is not list or len(said) != 2:
        return None, None
    hard, soft = (value if type(value) in (int, float) and 0 < value < float("inf") else None for value in said)
    return hard, soft


def job_of(message: Message, *, created_at: float, queue: str | None = None) -> Job:
    """The message as a job; ``created_at`` and ``queue`` serve where the message tells nothing. Raises Undecodable."""
    args, kwargs = codec.decode_body(message.body)
    policy, tags, parents = codec.decode_options(message.options)
    return Job(
        id=message.id,
        task=message.task,
        args=args,
        kwargs=kwargs or NOTHING,
        queue=queue or message.queue,
        priority=message.weight,
        created_at=created_at if message.created_at is None else message.created_at,
        run_at=message.eta,
        expires_at=message.expires,
        unique=message.unique,
        key=message.key,
        key_limit=message.key_limit,
        tags=tags,
        parents=parents,
        policy=policy,
    )
