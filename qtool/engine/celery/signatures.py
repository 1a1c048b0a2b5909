"""Signatures into messages: what it takes to apply a task, a chain, a group or a chord (WIRE.md sections 1 and 7).

A signature is the JSON object that stands in a message's embed. It is never changed here: options are merged into
copies. :class:`Sender` collects what is to be published; nothing is sent by it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtool.engine.celery import times
from qtool.engine.celery.message import compose, origin, shown
from qtool.engine.codec import encode_value
from qtool.engine.value import Value

Signature = Mapping[str, Any]
Child = list[Any]
"""What was sent, as Celery writes results down: ``[[id, parent or None], children or None]``."""

_KEPT = ("group_id", "stamped_headers")
"""Options of a signature that nobody's call overrides."""

_OWN = ("group_id", "group_index", "chord", "task_id", "chain", "link", "link_error")
"""Options that belong to a chain, a group or a chord, not to each of its tasks."""


class Publication(Value, kw_only=True):
    """A message to publish."""

    id: str
    exchange: str
    routing_key: str
    """The queue, where the exchange is ``""``."""
    priority: int
    """The message's: on Redis 0 runs first."""
    raw: bytes


class Sender:
    """Collects the messages that follow one task."""

    def __init__(self, parent_id: str, root_id: str, queue: str, *, now: float, new_id: Callable[[], str]) -> None:
        """``queue`` takes what names none: that of the task that is followed, whose workers know its application."""
        self._family = {"parent_id": parent_id, "root_id": root_id}
        self._queue = queue
        self._now = now
        self._new_id = new_id
        self.publications: list[Publication] = []
        self.sizes: list[tuple[str, int]] = []
        """Chords that begin: the group's id, and how many parts its header has."""

    def apply(self, signature: Signature, args: Sequence[Any], **options: Any) -> Child:
        """Send what the signature stands for, with ``args`` before its own; what was sent.

        Raises NotSerialisable, PayloadTooLarge, and ValueError for what is no signature.
        """
        return self._apply(signature, args, self._family | options)

    def together(self, signatures: Sequence[Signature], args: Sequence[Any]) -> Child:
        """Send them as a new group."""
        return self.apply({"subtask_type": "group", "kwargs": {"tasks": list(signatures)}}, args)

    # --- by kind -------------------------------------------------------------------------------------

    def _apply(self, signature: Signature, args: Sequence[Any], options: Mapping[str, Any]) -> Child:
        kind = kind_of(signature)
        if kind == "group":
            return self._group(signature, args, options)
        if kind == "chord":
            return self._chord(signature, args, options)
        if kind == "chain":
            return self._chain(signature, args, options)
        return self._task(signature, args, options)

    def _group(self, signature: Signature, args: Sequence[Any], options: Mapping[str, Any]) -> Child:
        merged = _merged(options_of(signature), options)
        id = merged.get("task_id") or self._new_id()
        return self._members(id, flat(tasks_of(signature)), args, merged, merged.get("chord"))

    def _members(
        self, id: str, tasks: Sequence[Signature], args: Sequence[Any], options: Mapping[str, Any], chord: Any
    ) -> Child:
        """Every task of a group; the size of a chord is told with the last (WIRE.md section 7)."""
        chord = chord or next((said for task in tasks if (said := options_of(task).get("chord"))), None)
        if chord and tasks:
            self.sizes.append((id, sum(map(parts_of, tasks))))
        common = {name: value for name, value in options.items() if name not in _OWN}
        sent = []
        for index, task in enumerate(tasks):
            own = options_of(task)
            place = {"group_id": own.get("group_id") or id, "group_index": index}
            if chord:
                place["chord"] = chord
            sent.append(self._apply(task, args, common | place))
        return [[id, None], sent]

    def _chord(self, signature: Signature, args: Sequence[Any], options: Mapping[str, Any]) -> Child:
        said = signature.get("kwargs") or {}
        header, body = said.get("header"), said.get("body")
        if not isinstance(body, Mapping):
            raise ValueError("a chord has no body")
        merged = _merged(options_of(signature), options)
        if isinstance(header, Mapping):
            tasks, id = flat(tasks_of(header)), options_of(header).get("task_id")
        else:
            tasks, id = flat(_listed(header)), None
        id = id or self._new_id()
        body = self._body(body, merged, id)
        if not tasks:
            return self._apply(body, [[]], self._family)
        before = () if signature.get("immutable") else args
        common = {name: value for name, value in merged.items() if name not in _OWN}
        header_sent = self._members(id, tasks, before, common, body)
        return [[options_of(body)["task_id"], header_sent], None]

    def _body(self, body: Signature, options: Mapping[str, Any], group_id: str) -> Signature:
        """The body as every part of the header carries it: with its id, and with what is to follow the chord."""
        passed = {k: v for k, v in options.items() if k not in ("parent_id", "countdown", "eta", "link", "link_error")}
        own = dict(options_of(body))
        own |= {name: value for name, value in passed.items() if name != "task_id" and not _keeps(own, name)}
        own.setdefault("task_id", options.get("task_id") or self._new_id())
        own.setdefault("group_id", group_id)
        for name in ("link", "link_error"):
            if more := _listed(options.get(name)):
                own[name] = [*_listed(own.get(name)), *more]
        return {**body, "options": own}

    def _chain(self, signature: Signature, args: Sequence[Any], options: Mapping[str, Any]) -> Child:
        merged = _merged(options_of(signature), options)
        steps = self._steps(tasks_of(signature), merged)
        if not steps:
            raise ValueError("a chain has no tasks")
        first = steps.pop()
        later = _listed(merged.get("chain"))
        common = {name: value for name, value in merged.items() if name not in _OWN}
        before = () if signature.get("immutable") else (*args, *_listed(signature.get("args")))
        sent = self._apply(first, before, common | {"chain": [*later, *steps]})
        for step in reversed(steps):
            sent = [[options_of(step).get("task_id"), sent[0]], None]
        return sent

    def _steps(self, tasks: Sequence[Signature], options: Mapping[str, Any]) -> list[Signature]:
        """The steps of a chain, last first, each with its id; a group before another step is a chord's header."""
        steps: list[Signature] = []
        for task in reversed(_unrolled(tasks)):
            if kind_of(task) == "group" and steps:
                body = steps.pop()
                task = {"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": task, "body": body}}
                task["options"] = {"task_id": options_of(body).get("task_id")}
            own = dict(options_of(task))
            own.setdefault("task_id", self._new_id())
            if not steps:
                # What waits for the chain waits for its last task.
                for name in ("group_id", "group_index", "chord"):
                    if options.get(name) is not None:
                        own.setdefault(name, options[name])
                if options.get("task_id") and "task_id" not in options_of(task):
                    own["task_id"] = options["task_id"]
                own["link"] = [*_listed(own.get("link")), *_listed(options.get("link"))]
            if errbacks := _listed(options.get("link_error")):
                own["link_error"] = [*_listed(own.get("link_error")), *errbacks]
            steps.append({**task, "options": own})
        return steps

    # --- one task ------------------------------------------------------------------------------------

    def _task(self, signature: Signature, args: Sequence[Any], options: Mapping[str, Any]) -> Child:
        name = signature.get("task")
        if not isinstance(name, str) or not name:
            raise ValueError("a signature names no task")
        said = _merged(options_of(signature), options)
        own = _listed(signature.get("args"))
        values = own if signature.get("immutable") else [*args, *own]
        kwargs = dict(signature.get("kwargs") or {})
        id = said.get("task_id") or self._new_id()
        embed = {
            "callbacks": _listed(said.get("link")) or None,
            "errbacks": _listed(said.get("link_error")) or None,
            "chain": said.get("chain"),
            "chord": said.get("chord"),
        }
        body = encode_value([values, kwargs, embed], "What follows a task")
        exchange, routing_key = self._where(said)
        priority = said.get("priority")
        properties: dict[str, Any] = {
            "reply_to": said.get("reply_to") or "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": exchange, "routing_key": routing_key},
            "priority": min(max(priority, 0), 9) if type(priority) is int else 0,
        }
        raw = compose(self._headers(id, name, said, values, kwargs, len(body)), properties, body)
        self.publications.append(
            Publication(id=id, exchange=exchange, routing_key=routing_key, priority=properties["priority"], raw=raw)
        )
        return [[id, None], None]

    def _headers(
        self, id: str, task: str, said: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any], size: int
    ) -> dict[str, Any]:
        headers: dict[str, Any] = dict(said["headers"]) if isinstance(said.get("headers"), Mapping) else {}
        stamped = _listed(said.get("stamped_headers"))
        headers |= {
            "lang": "py",
            "task": task,
            "id": id,
            "shadow": said.get("shadow"),
            "eta": self._time(said.get("eta"), said.get("countdown")),
            "expires": self._time(said.get("expires")),
            "group": said.get("group_id"),
            "group_index": said.get("group_index"),
            "retries": said.get("retries") or 0,
            "timelimit": [said.get("time_limit"), said.get("soft_time_limit")],
            "root_id": said.get("root_id") or id,
            "parent_id": said.get("parent_id"),
            "argsrepr": shown(tuple(args), size),
            "kwargsrepr": shown(dict(kwargs), size),
            "origin": origin(os.getpid()),
            "ignore_result": said.get("ignore_result"),
            "replaced_task_nesting": said.get("replaced_task_nesting") or 0,
            "stamped_headers": stamped or None,
            "stamps": {name: said.get(name) for name in stamped if isinstance(name, str)},
        }
        return headers

    def _time(self, said: Any, countdown: Any = None) -> str | None:
        """A time as a message has it: a number counts from now."""
        if type(countdown) in (int, float) and countdown:
            return times.to_text(self._now + countdown)
        if type(said) in (int, float):
            return times.to_text(self._now + said)
        return times.to_text(times.from_text(said)) if said else None

    def _where(self, said: Mapping[str, Any]) -> tuple[str, str]:
        """Exchange and routing key."""
        queue = said.get("queue")
        if isinstance(queue, Mapping):
            queue = queue.get("name")
        if isinstance(queue, str) and queue:
            return "", queue
        exchange, key = said.get("exchange"), said.get("routing_key")
        if isinstance(exchange, str) and exchange and isinstance(key, str):
            return exchange, key
        return "", key if isinstance(key, str) and key else self._queue


# --- reading a signature -----------------------------------------------------------------------------


def kind_of(signature: Signature) -> str | None:
    """``chain``, ``group`` or ``chord``; None for a task. Raises ValueError for what is no signature."""
    if not isinstance(signature, Mapping):
        raise ValueError(f"{json.dumps(signature)[:100]} is not a signature")
    kind = signature.get("subtask_type")
    return kind if kind in ("chain", "group", "chord") else None


def options_of(signature: Signature) -> Mapping[str, Any]:
    """Its options."""
    said = signature.get("options")
    return said if isinstance(said, Mapping) else {}


def tasks_of(signature: Signature) -> list[Signature]:
    """The tasks of a chain or a group."""
    return _listed((signature.get("kwargs") or {}).get("tasks"))


def flat(tasks: Sequence[Signature]) -> list[Signature]:
    """The tasks of a group, those of groups in it among them; a chain of nothing is none."""
    found: list[Signature] = []
    for task in tasks:
        if kind_of(task) == "group":
            found += flat(tasks_of(task))
        elif kind_of(task) != "chain" or tasks_of(task):
            found.append(task)
    return found


def parts_of(signature: Signature) -> int:
    """How many parts a task in a chord's header returns."""
    kind = kind_of(signature)
    if kind == "group":
        return sum(map(parts_of, tasks_of(signature)))
    if kind == "chain":
        tasks = tasks_of(signature)
        return parts_of(tasks[-1]) if tasks else 0
    if kind == "chord":
        return parts_of((signature.get("kwargs") or {}).get("body") or {})
    return 1


def _unrolled(tasks: Sequence[Signature]) -> list[Signature]:
    """The steps of a chain without chains in it; a group of one task is that task."""
    found: list[Signature] = []
    for task in tasks:
        if kind_of(task) == "chain" or (kind_of(task) == "group" and len(tasks_of(task)) == 1):
            found += _unrolled(tasks_of(task))
        else:
            found.append(task)
    # Groups of nothing are steps of nothing, unless there is nothing else.
    some = [task for task in found if kind_of(task) != "group" or tasks_of(task)]
    return some or found[:1]


def _keeps(options: Mapping[str, Any], name: str) -> bool:
    """Whether an option of a signature stands against a call's."""
    return name in options and (name in _KEPT or name in _listed(options.get("stamped_headers")))


def _merged(own: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A signature's options under those of a call."""
    said = {name: value for name, value in options.items() if value is not None and not _keeps(own, name)}
    return {**own, **said}


def _listed(value: Any) -> list[Any]:
    """One or several as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
