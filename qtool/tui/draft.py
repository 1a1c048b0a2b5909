"""A changed copy of a job, as somebody types it: checked field by field, and how it takes the original's place.

A job never changes. No Textual here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine.codec import encode_body
from qtool.engine.ids import new_id
from qtool.engine.job import Job, JobInfo
from qtool.engine.names import check_name
from qtool.engine.states import FINAL, PENDING, State
from qtool.engine.times import format_duration, format_time, parse_duration, parse_time
from qtool.errors import QtoolError, UsageError
from qtool.intake.input import check_depth, parse_json
from qtool.intake.jobs import read_priority, read_retries
from qtool.tui.deeds import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qtool.engine.broker import Adapter
    from qtool.tui.deeds import Step

FIELDS: Mapping[str, tuple[str, str]] = {
    "task": ("task", ""),
    "queue": ("queue", ""),
    "priority": ("priority", "0 to 9; 9 runs first"),
    "run_at": ("not before", "+5m; empty: now"),
    "retries": ("retries", "empty: the task's"),
    "backoff": ("backoff", "30s; empty: the task's"),
    "timeout": ("timeout", "10m; empty: the task's"),
}
"""The one-line fields: what they are called, and a hint."""


def texts(job: JobInfo, now: float) -> dict[str, str]:
    """A job as the texts of the form."""
    policy = job.policy
    later = job.due_at is not None and job.due_at > now and job.state is State.SCHEDULED
    return {
        "task": job.task,
        "queue": job.queue,
        "priority": str(job.priority),
        "run_at": format_time(job.due_at) if later and job.due_at is not None else "",
        "retries": "" if policy.retries is None else str(policy.retries),
        "backoff": "" if policy.backoff is None else _duration_text(policy.backoff),
        "timeout": "" if policy.timeout is None else _duration_text(policy.timeout),
        "args": json.dumps(list(job.args), indent=2, ensure_ascii=True),
        "kwargs": json.dumps(dict(job.kwargs), indent=2, ensure_ascii=True),
    }


def _duration_text(seconds: float) -> str:
    """As people write it, where that says exactly the same."""
    text = format_duration(seconds)
    return text if parse_duration(text) == seconds else f"{seconds:g}s"


def wrongs(said: Mapping[str, str], now: float) -> dict[str, str]:
    """What is wrong, by field; empty when a job can be made of it."""
    found = {}
    for name, text in said.items():
        try:
            _READ[name](text, now)
        except QtoolError as error:
            found[name] = str(error)
    return found


def made(said: Mapping[str, str], job: JobInfo, now: float, *, id: str | None = None) -> Job:
    """The copy: what the form says, and for the rest what the original says. Raises QtoolError."""
    read = {name: _READ[name](text, now) for name, text in said.items()}
    encode_body(tuple(read["args"]), read["kwargs"])
    return Job(
        id=id or new_id(),
        task=read["task"],
        args=tuple(read["args"]),
        kwargs=read["kwargs"],
        queue=read["queue"],
        priority=read["priority"],
        created_at=now,
        run_at=read["run_at"],
        # A time that has passed would end the copy before it began.
        expires_at=job.expires_at if job.expires_at is not None and job.expires_at > now else None,
        unique=job.unique,
        key=job.key,
        key_limit=job.key_limit,
        tags=job.tags,
        parents=job.parents,
        policy=replace(job.policy, retries=read["retries"], backoff=read["backoff"], timeout=read["timeout"]),
    )


def _duration(text: str, _now: float) -> float | None:
    return parse_duration(text) if text.strip() else None


def _timeout(text: str, now: float) -> float | None:
    seconds = _duration(text, now)
    if seconds == 0:
        raise UsageError(why="A timeout of 0 would end every attempt before it began: leave it empty for no limit.")
    return seconds


def _json(kind: type, wanted: str, text: str, _now: float) -> Any:
    check_depth(text)
    value = parse_json(text, wanted)
    if type(value) is not kind:
        raise UsageError(why=f"{wanted} {'is an array, as in [1]' if kind is list else 'is an object, as in {}'}.")
    return value


_READ: Mapping[str, Callable[[str, float], Any]] = {
    "task": lambda text, _now: check_name("task", text),
    "queue": lambda text, _now: check_name("queue", text),
    "priority": lambda text, _now: read_priority(text.strip()),
    "run_at": lambda text, now: parse_time(text, now) if text.strip() else None,
    "retries": lambda text, _now: read_retries(text.strip()) if text.strip() else None,
    "backoff": _duration,
    "timeout": _timeout,
    "args": partial(_json, list, "args"),
    "kwargs": partial(_json, dict, "kwargs"),
}


# --- what becomes of the original --------------------------------------------------------------------


def consequences(job: JobInfo, *, instead: bool) -> str:
    """What happens when the form is confirmed, in a few sentences."""
    if not instead:
        return "A copy is enqueued under a new id; the original stays as it is. Undo: cancel the copy."
    if job.state in FINAL:
        return f"The copy runs under a new id; the original is {job.state} and is kept, unless it is deleted below."
    if job.state is State.RUNNING:
        return (
            "The copy is enqueued first, then the original is asked to stop: both may run for a moment. "
            "Undo: cancel the copy; what the original had done stays done."
        )
    back = (
        "if that fails the original is put back"
        if job.state in _PUT_BACK
        else f"if that fails the original stays cancelled, for put back it would not be {job.state} but run at once"
    )
    return (
        f"The original is cancelled, then the copy is enqueued; {back}. The two are not one step: should qtool die in "
        "between, the original stays cancelled. Undo: cancel the copy, retry the original."
    )


def plan(copy: Job, job: JobInfo, *, instead: bool, delete: bool) -> Plan:
    """Enqueue ``copy``; ``instead`` of the original, or beside it. ``delete`` an original that has ended."""
    return Plan(
        title="Edit the job" if instead else "Enqueue a copy",
        what=job.id,
        happens=consequences(job, instead=instead),
        undo="cancel the copy.",
        steps=partial(_steps, copy, job, instead, delete),
    )


def _steps(copy: Job, job: JobInfo, instead: bool, delete: bool, adapter: Adapter) -> Iterator[Step]:
    if instead:
        _check_unchanged(job, adapter)
        if job.state in PENDING:
            yield from _replace(copy, job, adapter)
            return
    taken = _enqueue(copy, adapter)
    if taken is not None:
        raise UsageError(why=taken + " Nothing was changed.")
    yield f"Enqueued as {copy.id}."
    if instead and job.state is State.RUNNING:
        yield adapter.operator.cancel([job.id])
    elif instead and delete:
        yield adapter.operator.delete([job.id])


def _check_unchanged(job: JobInfo, adapter: Adapter) -> None:
    """Raises UsageError where the job no longer stands as it did when the form was opened.

    Somebody may have retried, edited or cancelled it since: a copy beside that would do the work twice, or undo it.
    """
    found = adapter.inspector.get([job.id])[0]
    now = found.state if found is not None else None
    if now is not job.state and not (job.state in PENDING and now in PENDING):
        raise _too_late(now)


def _too_late(now: State | None) -> UsageError:
    return UsageError(why=f"The job is {now or 'gone'} by now: nothing was changed, and no copy was enqueued.")


def _replace(copy: Job, job: JobInfo, adapter: Adapter) -> Iterator[Step]:
    """The original first: it may hold a unique key, and must not start once its copy can."""
    change = adapter.operator.cancel([job.id])[0]
    if not change.changed:
        raise _too_late(change.before)
    yield [change]
    try:
        taken = _enqueue(copy, adapter)
        if taken is not None:
            raise UsageError(why=taken)
    except QtoolError as error:
        if change.after is not State.CANCELLED:
            raise UsageError(why=f"{error} The original had started meanwhile and was asked to stop.") from None
        if change.before not in _PUT_BACK:
            why = f"The original stays cancelled: retry would not have it {change.before} again but run it at once."
            raise UsageError(why=f"{error} {why}") from None
        yield from _put_back(job.id, error, adapter)
    if change.after is not State.CANCELLED:
        yield "The original had started meanwhile, and was asked to stop."
    yield f"Enqueued as {copy.id}."


_PUT_BACK = (State.READY, State.RETRY)
"""From where a retry brings a cancelled job back to where it was, or near it: it makes it ready."""


def _put_back(id: str, error: QtoolError, adapter: Adapter) -> Iterator[Step]:
    """Retry the original, and raise ``error`` with what came of that. Somebody may have been there before."""
    try:
        back = adapter.operator.retry([id])[0]
    except QtoolError as again:
        raise UsageError(why=f"{error} The original stays cancelled, for: {again}") from None
    yield [back]
    if back.changed:
        became = "was put back."
    elif back.before is None:
        became = "is gone: somebody has deleted it."
    elif back.before is State.CANCELLED:
        became = f"stays cancelled: {back.note}."
    else:
        became = f"is {back.before} by now."
    raise UsageError(why=f"{error} The original {became}")


def _enqueue(copy: Job, adapter: Adapter) -> str | None:
    """Why it was not enqueued, if it was not. Raises BrokerError."""
    receipt = adapter.broker.enqueue([copy])
    if not receipt.existing:
        return None
    return f"No copy was enqueued: job {receipt.ids[0]} holds its unique key {copy.unique!r}."
