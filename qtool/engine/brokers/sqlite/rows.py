"""Rows of the file to the engine's values and back."""

from __future__ import annotations

import json
from typing import Any

from qtool.engine.broker import WorkerInfo
from qtool.engine.codec import decode_body, decode_options
from qtool.engine.job import NOTHING, UNSAID, Failure, JobInfo
from qtool.engine.states import Reason, State
from qtool.errors import Undecodable

JOB_COLUMNS = (
    "seq, id, task, queue, state, body, options, priority, created_at, due_at, ready_at, expires_at, started_at, "
    "finished_at, attempt, failures, crashes, reason, error_type, error_message, error_detail, worker, progress, "
    "message, unique_key, key, key_limit, held"
)
"""What :func:`job_info` reads, in its order; the key comes first."""

_NUMBERS = frozenset(
    {
        *("seq", "state", "priority", "created_at", "due_at", "ready_at", "expires_at", "started_at", "finished_at"),
        *("attempt", "failures", "crashes", "reason", "progress", "key_limit"),
    }
)
"""And words of our own."""

JOB_BYTES = ", ".join(f"CAST({each} AS BLOB)" if each not in _NUMBERS else each for each in JOB_COLUMNS.split(", "))
"""The same where some of them may be no text."""


def spelled(text: bytes) -> str:
    """As text, with the bytes that are not UTF-8 written out."""
    return text.decode("utf-8", "backslashreplace")


def job_info(row: tuple[Any, ...]) -> JobInfo:
    """The job in a row of :data:`JOB_COLUMNS` or :data:`JOB_BYTES`.

    What cannot be decoded is shown empty, with its error in place.
    """
    row = tuple(spelled(each) if type(each) is bytes else each for each in row)
    _, id, task, queue, state, body, options, priority, created_at, due_at, ready_at, expires_at, started_at = row[:13]
    finished_at, attempt, failures, crashes, reason, error_type, error_message, error_detail = row[13:21]
    worker, progress, message, unique, key, key_limit, held = row[21:]
    error = failure(error_type, error_message, error_detail)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    policy, tags = UNSAID, NOTHING
    parents: tuple[str, ...] = ()
    try:
        args, kwargs = decode_body(body)
        policy, tags, parents = decode_options(options)
    except Undecodable as undecodable:
        error = error or Failure(type="Undecodable", message=str(undecodable))
    return JobInfo(
        id=id,
        task=task,
        queue=queue,
        state=State(state),
        args=args,
        kwargs=kwargs,
        priority=priority,
        created_at=created_at,
        due_at=due_at,
        ready_at=ready_at,
        expires_at=expires_at,
        started_at=started_at,
        finished_at=finished_at,
        attempt=attempt,
        failures=failures,
        crashes=crashes,
        reason=Reason(reason) if reason else None,
        error=error,
        worker=worker,
        progress=progress,
        message=message,
        unique=unique,
        key=key,
        key_limit=key_limit or 1,
        held={"key": f"key:{key}", "task": f"task:{task}"}.get(held),
        tags=tags,
        parents=parents,
        policy=policy,
    )


def failure(kind: str | None, message: str | None, detail: str | None) -> Failure | None:
    """The error in its three columns; None where there is none."""
    if kind is None:
        return None
    return Failure(type=kind, message=message or "", **(json.loads(detail) if detail else {}))


def error_columns(error: Failure | None) -> tuple[str | None, str | None, str | None]:
    """``error_type``, ``error_message`` and ``error_detail`` (JSON) of an error."""
    if error is None:
        return None, None, None
    detail = {
        name: value for name in ("traceback", "exit_code", "signal") if (value := getattr(error, name)) is not None
    }
    return storable(error.type), storable(error.message), json.dumps(detail) if detail else None


def storable(text: str) -> str:
    """SQLite's text is UTF-8: lone surrogates become their escapes, and NUL, where many readers stop, too."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def worker_to_json(worker: WorkerInfo) -> str:
    """A worker's row."""
    return json.dumps({name: getattr(worker, name) for name in WorkerInfo.__slots__})


def worker_from_json(text: str, *, gone: bool) -> WorkerInfo:
    """The worker in a row."""
    said: dict[str, Any] = json.loads(text)
    said["gone"] = gone
    said["queues"] = tuple(said["queues"])
    return WorkerInfo(**said)
