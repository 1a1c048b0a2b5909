"""Jobs to text and back.

Three shapes, all JSON in ASCII, so that NUL and lone surrogates (file names that are not UTF-8) survive any store:

body      ``[args, kwargs]``, the first two parts of Celery's message body (WIRE.md section 1), or all three of them
options   ``{"retries": 3, "tags": {…}}``, only what the job says; absent when it says nothing. Beside it a lease has
          under ``celery`` what came with a message of Celery's: :mod:`qtool.engine.worker.celery.trace`
envelope  the whole job as one object with ``"v": 1``: what ``export`` writes and ``import`` reads
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtool.engine.job import NOTHING, UNSAID, Job, Policy
from qtool.errors import NotSerialisable, PayloadTooLarge, Undecodable

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes of encoded arguments or result; beyond it a store of files is the right place."""

_strict = json.JSONEncoder(separators=(",", ":"), check_circular=True, allow_nan=False).encode
_quoted = json.encoder.encode_basestring_ascii
_TEXT = {str}


def encode_value(value: Any, what: str) -> str:
    """JSON for one value. Raises NotSerialisable, PayloadTooLarge."""
    try:
        text = _strict(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSerialisable(what=what, why=_reason(error)) from None
    return _limited(text)


def _limited(text: str) -> str:
    if len(text) > MAX_PAYLOAD:
        raise PayloadTooLarge(size=len(text), limit=MAX_PAYLOAD)
    return text


def encode_body(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """``[args, kwargs]``. Raises NotSerialisable, PayloadTooLarge."""
    if not kwargs and {*map(type, args)} <= _TEXT:
        # What a pipe brings, at a quarter of the price.
        return _limited(f"[[{','.join(map(_quoted, args))}],{{}}]")
    return encode_value((args, kwargs if type(kwargs) is dict else dict(kwargs)), "The job's arguments")


def decode_body(body: str | bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Args and kwargs; what Celery lets follow them (WIRE.md section 1) is passed over. Raises Undecodable."""
    try:
        args, kwargs, *more = json.loads(body)
        if type(args) is not list or type(kwargs) is not dict or (more and not _embed(more)):
            raise ValueError("it is not [args, kwargs]")
    except (ValueError, TypeError, RecursionError) as error:
        raise Undecodable(what="arguments", why=_reason(error)) from None
    return tuple(args), kwargs


def _embed(more: list[Any]) -> bool:
    """Whether it is the third part of a body of Celery's, and nothing else."""
    return len(more) == 1 and (more[0] is None or type(more[0]) is dict)


def encode_options(job: Job) -> str | None:
    """Policy, tags and parents, or None when the job says nothing of them. Raises NotSerialisable."""
    if job.policy is UNSAID and not job.tags and not job.parents and job.signature is None:
        return None
    said = {name: value for name in Policy.__slots__ if (value := getattr(job.policy, name)) is not None}
    if job.tags:
        said["tags"] = dict(job.tags)
    if job.parents:
        said["parents"] = list(job.parents)
    if job.signature is not None:
        said["signature"] = job.signature
    return encode_value(said, "The job's options") if said else None


def decode_options(options: str | None) -> tuple[Policy, Mapping[str, str], tuple[str, ...]]:
    """Policy, tags, parents. Raises Undecodable."""
    if options is None:
        return UNSAID, NOTHING, ()
    try:
        said = json.loads(options)
        tags = said.get("tags") or NOTHING
        if tags is not NOTHING and type(tags) is not dict:
            raise ValueError(f"tags are an object, not {tags!r}")
        return _policy(said), tags, tuple(said.get("parents") or ())
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Undecodable(what="options", why=_reason(error)) from None


def encode(job: Job) -> dict[str, Any]:
    """The envelope: a JSON object that :func:`decode` turns into the same job."""
    envelope: dict[str, Any] = {"v": VERSION, "id": job.id, "task": job.task, "queue": job.queue}
    envelope |= {"args": list(job.args), "kwargs": dict(job.kwargs), "created_at": job.created_at}
    if job.priority:
        envelope["priority"] = job.priority
    for name in ("run_at", "expires_at", "unique", "key"):
        if (value := getattr(job, name)) is not None:
            envelope[name] = value
    if job.key_limit != 1:
        envelope["key_limit"] = job.key_limit
    if options := encode_options(job):
        envelope |= json.loads(options)
    return envelope


_KNOWN = frozenset(Job.__slots__) - {"policy"} | frozenset(Policy.__slots__) | {"v"}


def decode(envelope: Mapping[str, Any], *, id: str, created_at: float, queue: str) -> Job:
    """The job in an envelope; ``id``, ``created_at`` and ``queue`` serve where it names none. Raises Undecodable."""
    if envelope.get("v", VERSION) != VERSION:
        raise Undecodable(what="envelope", why=f"version {envelope['v']!r} is not known")
    if unknown := sorted(set(envelope) - _KNOWN):
        raise Undecodable(what="envelope", why=f"{unknown[0]!r} is not a field (known: {', '.join(sorted(_KNOWN))})")
    if not isinstance(envelope.get("task"), str):
        raise Undecodable(what="envelope", why="it names no task")
    args, kwargs = envelope.get("args", []), envelope.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Undecodable(what="envelope", why="args is not an array or kwargs not an object")
    try:
        policy = _policy(envelope)
    except ValueError as error:
        raise Undecodable(what="envelope", why=str(error)) from None
    return Job(
        id=envelope.get("id") or id,
        task=envelope["task"],
        args=tuple(args),
        kwargs=kwargs,
        queue=envelope.get("queue") or queue,
        priority=envelope.get("priority") or 0,
        created_at=envelope.get("created_at") or created_at,
        run_at=envelope.get("run_at"),
        expires_at=envelope.get("expires_at"),
        unique=envelope.get("unique"),
        key=envelope.get("key"),
        key_limit=envelope.get("key_limit") or 1,
        tags=envelope.get("tags") or NOTHING,
        parents=tuple(envelope.get("parents") or ()),
        policy=policy,
        signature=envelope.get("signature"),
    )


_WORDS: Mapping[str, tuple[object, ...]] = {"jitter": (False, True), "on_crash": ("retry", "dead")}
"""What those parts of a policy may be that are no numbers."""


def _policy(said: Mapping[str, Any]) -> Policy:
    """Raises ValueError for what no worker can count with."""
    values = {name: said.get(name) for name in Policy.__slots__}
    for name, value in values.items():
        if value is not None and name in _WORDS:
            if value not in _WORDS[name] or type(value) is int:
                raise ValueError(f"{name} is one of {', '.join(map(str, _WORDS[name]))}, not {value!r}")
        elif value is not None and not (type(value) in (int, float) and 0 <= value < float("inf")):
            raise ValueError(f"{name} is a number from 0 on, not {value!r}")
    return Policy(**values)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or type(error).__name__
