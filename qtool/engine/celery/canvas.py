"""What the worker that ends a task owes by the task's message: callbacks, the next link of a chain, a chord's part.

Pure. :func:`on_success` and :func:`on_failure` say what is to be published and stored before the task's own result is;
where the last part of a chord has arrived, :func:`complete` says it of the chord (WIRE.md section 7).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtool.engine.celery.body import EMPTY_EMBED
from qtool.engine.celery.results import failure_meta
from qtool.engine.celery.signatures import (
    Child,
    Publication,
    Sender,
    Signature,
    flat,
    kind_of,
    options_of,
    tasks_of,
)
from qtool.engine.value import Value
from qtool.errors import QtoolError

if TYPE_CHECKING:
    from qtool.engine.celery.message import Message

Exc = Mapping[str, Any]
"""An exception as Celery writes one: ``exc_type``, ``exc_message``, ``exc_module``."""


class Part(Value, kw_only=True):
    """What a task of a chord's header gives to the chord."""

    group_id: str
    task_id: str
    index: int | None
    member: str
    """JSON: ``[1, task id, state, value or exception]``."""
    body: Signature
    """What runs when all parts are there."""
    queue: str


class Owed(Value, kw_only=True):
    """What is to be done before the task's own result is stored."""

    publications: Sequence[Publication] = ()
    sizes: Sequence[tuple[str, int]] = ()
    """Chords that begin: group id and number of parts, to be known before the last part is sent."""
    results: Sequence[tuple[str, bytes]] = ()
    """Of other tasks, which will not run any more: id and what to store."""
    parts: Sequence[Part] = ()
    children: Sequence[Child] = ()
    """For the task's own result: what was sent."""


NOTHING_OWED = Owed()


class Desk(Value):
    """What it takes to owe something: the time, and new ids."""

    now: float
    new_id: Callable[[], str]


def owes(message: Message) -> bool:
    """Whether anything is to follow the task at all."""
    return message.content.embed_text is not EMPTY_EMBED


def on_success(message: Message, value: str | None, queue: str, desk: Desk) -> Owed:
    """What the task's value sets going; ``value`` is JSON. ``queue`` is where its message was.

    A signature that nobody can send fails the task, as it does in Celery: raises ValueError, NotSerialisable.
    """
    if not owes(message):
        return NOTHING_OWED
    embed = message.content.embed
    result = json.loads(value) if value is not None else None
    sender = _sender(message, queue, desk)
    children: list[Child] = []
    callbacks = embed.get("callbacks") or []
    if len(callbacks) == 1:
        children.append(sender.apply(callbacks[0], [result]))
    elif callbacks:
        children += [sender.apply(each, [result]) for each in callbacks if kind_of(each) == "group"]
        if single := [each for each in callbacks if kind_of(each) != "group"]:
            children.append(sender.together(single, [result]))
    if chain := embed.get("chain"):
        children.append(sender.apply(chain[-1], [result], chain=chain[:-1]))
    part = _part(message.id, message.headers, embed.get("chord"), "SUCCESS", result, queue)
    return Owed(
        publications=tuple(sender.publications),
        sizes=tuple(sender.sizes),
        parts=(part,) if part else (),
        children=tuple(children),
    )


def on_failure(
    message: Message, exc: Exc, traceback: str | None, queue: str, desk: Desk, *, revoked: bool = False
) -> Owed:
    """What an error ends beside the task: the rest of its chain, its part of a chord; and whom it calls.

    A task that was revoked, before it ran or in it, only gives its part to its chord.
    """
    if not owes(message):
        return NOTHING_OWED
    embed = message.content.embed
    state = "REVOKED" if revoked else "FAILURE"
    part = _part(message.id, message.headers, embed.get("chord"), state, exc, queue)
    parts = [part] if part else []
    if revoked:
        return Owed(parts=tuple(parts))
    results: list[tuple[str, bytes]] = []
    _fail_chain(embed.get("chain") or [], exc, traceback, queue, desk, results, parts)
    sender = _sender(message, queue, desk)
    _call_errbacks(sender, embed.get("errbacks") or [], message.id)
    return Owed(
        publications=tuple(sender.publications), sizes=tuple(sender.sizes), results=tuple(results), parts=tuple(parts)
    )


def complete(part: Part, members: Sequence[bytes | str], nested: bytes | None, desk: Desk) -> Owed:
    """What follows a chord whose parts are all there, in order: its body; or its error, where a part failed.

    ``nested`` is what stands at the group's own key where a header holds groups: the shape of the values.
    """
    read = [json.loads(member) for member in members]
    values: dict[str, Any] = {}
    for _, id, state, value in read:
        if state in ("FAILURE", "REVOKED"):
            return _break(part, f"Dependency {id} raised {_repr(value)}", desk)
        values[id] = value
    ordered: list[Any] = [value for _, _, _, value in read]
    body = part.body
    options = options_of(body)
    sender = Sender(part.task_id, options.get("root_id") or part.task_id, part.queue, now=desk.now, new_id=desk.new_id)
    try:
        if nested is not None:
            ordered = [_shaped(each, values) for each in json.loads(nested)["result"][1]]
        sender.apply(body, [ordered], root_id=options.get("root_id"))
    except (QtoolError, ValueError, KeyError, TypeError, IndexError) as error:
        return _break(part, f"Callback error: {error!r}", desk)
    return Owed(publications=tuple(sender.publications), sizes=tuple(sender.sizes))


# --- parts -------------------------------------------------------------------------------------------


def _sender(message: Message, queue: str, desk: Desk) -> Sender:
    root = message.headers.get("root_id") or message.id
    return Sender(message.id, root, queue, now=desk.now, new_id=desk.new_id)


def _part(id: str, said: Mapping[str, Any], chord: Any, state: str, value: Any, queue: str) -> Part | None:
    """The part of the task with these headers, where it belongs to a chord."""
    group_id = said.get("group")
    if not isinstance(chord, Mapping) or not isinstance(group_id, str):
        return None
    index = said.get("group_index")
    member = json.dumps([1, id, state, value])
    return Part(
        group_id=group_id,
        task_id=id,
        index=index if type(index) is int else None,
        member=member,
        body=chord,
        queue=queue,
    )


def _fail_chain(
    chain: Sequence[Any],
    exc: Exc,
    traceback: str | None,
    queue: str,
    desk: Desk,
    results: list[tuple[str, bytes]],
    parts: list[Part],
) -> None:
    """The same error for what would have followed; a chord among it ends with its body."""
    waiting = list(chain)
    while waiting:
        step = waiting.pop(0)
        if not isinstance(step, Mapping):
            continue
        options = options_of(step)
        if isinstance(id := options.get("task_id"), str):
            results.append((id, failure_meta(id, exc, traceback, desk.now, group_id=options.get("group_id"))))
            place = {"group": options.get("group_id"), "group_index": options.get("group_index")}
            if part := _part(id, place, options.get("chord"), "FAILURE", exc, queue):
                parts.append(part)
        if kind_of(step) == "chord" and isinstance(body := (step.get("kwargs") or {}).get("body"), Mapping):
            waiting.append(body)


def _call_errbacks(sender: Sender, errbacks: Any, id: str) -> None:
    listed = errbacks if isinstance(errbacks, list) else [errbacks]
    if listed:
        sender.together(listed, [id])


def _break(part: Part, why: str, desk: Desk) -> Owed:
    """The chord's error is its body's; a body of several tasks fails in each of them."""
    exc = {"exc_type": "ChordError", "exc_message": [why], "exc_module": "celery.exceptions"}
    sender = Sender(part.task_id, part.task_id, part.queue, now=desk.now, new_id=desk.new_id)
    results: list[tuple[str, bytes]] = []
    parts: list[Part] = []
    bodies = flat(tasks_of(part.body)) if kind_of(part.body) == "group" else [part.body]
    for body in bodies:
        options = options_of(body)
        _fail_chain([body, *(options.get("chain") or [])], exc, None, part.queue, desk, results, parts)
        if (errbacks := options.get("link_error")) and isinstance(id := options.get("task_id"), str):
            _call_errbacks(sender, errbacks, id)
    return Owed(
        publications=tuple(sender.publications), sizes=tuple(sender.sizes), results=tuple(results), parts=tuple(parts)
    )


def _repr(exc: Any) -> str:
    """An exception as Python shows one."""
    if not isinstance(exc, Mapping):
        return repr(exc)
    args = exc.get("exc_message")
    listed = args if isinstance(args, list) else [args]
    return f"{exc.get('exc_type')}({', '.join(map(repr, listed))})"


def _shaped(result: Any, values: Mapping[str, Any]) -> Any:
    """The value of a result as it was written down, a group's as a list."""
    (id, _), children = result
    return values[id] if children is None else [_shaped(each, values) for each in children]
