"""What a filter can ask of a job: for each field the column that holds it and how to read it from a JobInfo."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from qtool.engine.job import JobInfo
from qtool.engine.states import PENDING, State
from qtool.engine.value import Value

_BEYOND_ASCII = re.compile(r"[^ -~]")
_SMALL = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """``text`` with A to Z made small and nothing else, as SQLite's lower() does."""
    return text.lower() if text.isascii() else text.translate(_SMALL)


def escape_json(text: str) -> str:
    """``text`` as it stands inside stored JSON, which is ASCII: é becomes \\u00e9. Quotes and backslashes stay."""
    return _BEYOND_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)


class Text(Value):
    """A field that holds text."""

    column: str
    """An SQL expression."""
    read: Callable[[JobInfo], str | None]
    nullable: bool = True
    path: str | None = None
    """The JSON path that ``column`` has a ``?`` for."""
    is_json: bool = False

    def sql(self, params: list[object]) -> str:
        """The expression; what it binds is appended to ``params``."""
        if self.path is not None:
            params.append(self.path)
        return self.column

    def never_null(self, condition: str) -> str:
        """``condition`` on the expression, made false where it has no value, so that NOT of it is true."""
        return f"coalesce({condition}, 0)" if self.nullable else condition


class Quantity(Value):
    """A field that holds a number: a count, a time, or a span of seconds."""

    column: str
    """An SQL expression; ``{now}`` in it stands for a bound parameter."""
    read: Callable[[JobInfo, float], float | None]
    nullable: bool = True

    def sql(self, now: float, params: list[object]) -> str:
        """The expression; what it binds is appended to ``params``."""
        params.extend([now] * self.column.count("{now}"))
        return self.column.replace("{now}", "?")

    def never_null(self, condition: str) -> str:
        """``condition`` on the expression, made false where it has no value, so that NOT of it is true."""
        return f"coalesce({condition}, 0)" if self.nullable else condition


def _body(job: JobInfo) -> str | None:
    try:
        return json.dumps([job.args, dict(job.kwargs)], separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None


def _wait(job: JobInfo, now: float) -> float | None:
    since = job.due_at if job.due_at is not None else job.created_at
    if job.ready_at is not None and (job.state is State.READY or job.state not in PENDING):
        since = job.ready_at
    until = now if job.state in PENDING else job.started_at
    return None if until is None or since is None else until - since


def _runtime(job: JobInfo, now: float) -> float | None:
    until = now if job.state is State.RUNNING else job.finished_at
    return None if until is None or job.started_at is None else until - job.started_at


_ERROR = "CASE WHEN coalesce(error_message, '') = '' THEN error_type ELSE error_type || ': ' || error_message END"
# A job that waits for its time or its parents waits since it was due, whatever an earlier attempt left behind.
_LATER = ", ".join(f"'{state}'" for state in sorted(PENDING - {State.READY}))
_WAIT = (
    f"CASE WHEN state = '{State.READY}' THEN {{now}} - coalesce(ready_at, due_at, created_at)"
    f" WHEN state IN ({_LATER}) THEN {{now}} - coalesce(due_at, created_at)"
    " ELSE started_at - coalesce(ready_at, due_at, created_at) END"
)
_RUNTIME = f"CASE WHEN state = '{State.RUNNING}' THEN {{now}} ELSE finished_at END - started_at"

_HELD = "CASE held WHEN 'key' THEN 'key:' || key WHEN 'task' THEN 'task:' || task END"

TEXTS: dict[str, Text] = {
    "id": Text("id", lambda job: job.id, nullable=False),
    "task": Text("task", lambda job: job.task, nullable=False),
    "queue": Text("queue", lambda job: job.queue, nullable=False),
    "worker": Text("worker", lambda job: job.worker),
    "error": Text(f"({_ERROR})", lambda job: None if job.error is None else str(job.error)),
    "args": Text("body", _body, is_json=True),
    "unique": Text("unique_key", lambda job: job.unique),
    "key": Text("key", lambda job: job.key),
    "held": Text(_HELD, lambda job: job.held),
}
REASON = Text("reason", lambda job: job.reason)
COUNTS: dict[str, Quantity] = {
    "priority": Quantity("priority", lambda job, _: job.priority, nullable=False),
    "attempt": Quantity("attempt", lambda job, _: job.attempt, nullable=False),
    "failures": Quantity("failures", lambda job, _: job.failures, nullable=False),
    "crashes": Quantity("crashes", lambda job, _: job.crashes, nullable=False),
}
CREATED = Quantity("created_at", lambda job, _: job.created_at, nullable=False)
FINISHED = Quantity("finished_at", lambda job, _: job.finished_at)
TIMES: dict[str, Quantity] = {
    "created": CREATED,
    "due": Quantity("due_at", lambda job, _: job.due_at),
    "started": Quantity("started_at", lambda job, _: job.started_at),
    "finished": FINISHED,
    "expires": Quantity("expires_at", lambda job, _: job.expires_at),
}
SPANS: dict[str, Quantity] = {
    "wait": Quantity(f"({_WAIT})", _wait),
    "runtime": Quantity(f"({_RUNTIME})", _runtime),
}
AGE = "age"
"""A span as well, but asked of ``created_at`` with the bounds turned round, where an index can help."""

FIELDS = (
    "id",
    "task",
    "queue",
    "state",
    "reason",
    *COUNTS,
    "worker",
    "error",
    "args",
    "unique",
    "key",
    "held",
    "tag.NAME",
    AGE,
)
FIELDS = (*FIELDS, *SPANS, *TIMES)


def tag(name: str) -> Text:
    """The field of one tag."""

    def read(job: JobInfo) -> str | None:
        value: object = job.tags.get(name)
        return value if value is None or isinstance(value, str) else str(value)

    # Options that are not JSON are no reason to fail the query: such a job has no tags. A tag that a foreign envelope
    # gave as a number is asked as text.
    column = "(CASE WHEN json_valid(options) THEN CAST(json_extract(options, ?) AS TEXT) END)"
    return Text(column, read, path="$.tags." + json.dumps(name))
