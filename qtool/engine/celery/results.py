"""Celery's results: the JSON at ``celery-task-meta-<id>``, both ways (WIRE.md section 4)."""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtool.engine.celery import times
from qtool.engine.celery.body import unpacked
from qtool.engine.job import NOTHING, Failure, Result, Settlement
from qtool.engine.states import FINAL, Event, Reason, State
from qtool.engine.value import Value
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from qtool.engine.celery.message import Message

KEPT_SECONDS = 86400
"""How long Celery keeps a result, unless its settings say otherwise."""

_PACKED = b"\x00celery-compressed\x00"
_NO_CHILDREN: tuple[Any, ...] = ()
_quoted = json.encoder.encode_basestring_ascii

Child = Sequence[Any]
"""A result as Celery writes one down: ``[[id, parent or None], children or None]``."""


class Meta(Value, kw_only=True):
    """What is stored of a task, whoever stored it."""

    id: str
    status: str
    """As it is written: one of Celery's states, or a task's own."""
    state: State
    """The same in qtool's words; a state of the task's own means that it runs."""
    value: str | None
    """JSON; of a task that is not finished, what it says of itself."""
    reason: Reason | None
    error: Failure | None
    done_at: float | None
    children: Sequence[Any] = ()
    parent_id: str | None = None
    group_id: str | None = None
    extended: Mapping[str, Any] = NOTHING
    """``name``, ``args``, ``kwargs``, ``worker``, ``retries``, ``queue`` where the application keeps them."""

    @property
    def result(self) -> Result:
        """As a result store gives it."""
        value = self.value if self.state is State.SUCCEEDED else None
        return Result(id=self.id, state=self.state, value=value, reason=self.reason, error=self.error)


# --- writing -----------------------------------------------------------------------------------------


def settled(
    settlement: Settlement, message: Message | None = None, children: Sequence[Child] = _NO_CHILDREN
) -> bytes | None:
    """What a settlement leaves for Celery's clients; None for nothing: the job goes on, or nobody wants to know.

    ``message`` is the one that was answered, where it can say more than its id; ``children`` what was sent on.
    """
    state = settlement.state
    if state is State.SUCCEEDED:
        if message is None:
            return _meta(settlement.lease.id, "SUCCESS", settlement.result or "null", "null", settlement.at)
        return ended(settlement.lease.id, state, settlement.at, value=settlement.result, of=message, children=children)
    if state is not State.RETRY and state not in FINAL:
        return None
    return ended(
        settlement.lease.id,
        state,
        settlement.at,
        reason=settlement.reason,
        error=settlement.failure,
        of=message,
        children=children,
        stopped=settlement.event is Event.CANCEL,
        task=settlement.lease.task,
    )


def ended(
    id: str,
    state: State,
    at: float,
    *,
    value: str | None = None,
    reason: Reason | None = None,
    error: Failure | None = None,
    of: Message | None = None,
    children: Sequence[Child] = _NO_CHILDREN,
    stopped: bool = False,
    task: str = "",
) -> bytes | None:
    """What a job in ``state`` leaves for Celery's clients. None where they want no result, or where it goes on.

    ``stopped`` says of a cancelled one that it ran.
    """
    if of is not None and of.headers.get("ignore_result"):
        return None
    more = _context(of)
    if state is State.SUCCEEDED:
        return _meta(id, "SUCCESS", value or "null", "null", at, children, more)
    if state is State.CANCELLED:
        return _meta(
            id,
            "REVOKED",
            json.dumps(revoked_exception("terminated" if stopped else "revoked")),
            "null",
            at,
            children,
            more,
        )
    if state is State.EXPIRED:
        return _meta(id, "REVOKED", json.dumps(revoked_exception("expired")), "null", at, children, more)
    if state not in (State.DEAD, State.RETRY):
        return None
    failure = error or Failure(type="Exception", message=str(reason or ""))
    what = json.dumps(exception_of(failure, reason, of, task))
    trace = _quoted(failure.traceback) if failure.traceback else "null"
    if state is State.RETRY:
        # What is to be retried is its own child, as Celery has it.
        return _meta(id, "RETRY", what, trace, None, children or ([[id, None], None],), more)
    return _meta(id, "FAILURE", what, trace, at, children, more)


def failure_meta(
    id: str, exc: Mapping[str, Any], traceback: str | None, at: float, *, group_id: str | None = None
) -> bytes:
    """What the error of another task leaves for a task that will not run any more."""
    trace = _quoted(traceback) if traceback else "null"
    more = f',"group_id":{json.dumps(group_id)}' if group_id else ""
    return _meta(id, "FAILURE", json.dumps(exc), trace, at, more=more)


def started(id: str, pid: int, hostname: str) -> bytes:
    """What a task with ``track_started`` leaves at its start."""
    return _meta(id, "STARTED", json.dumps({"pid": pid, "hostname": hostname}), "null", None)


def _meta(
    id: str,
    status: str,
    result: str,
    traceback: str,
    done_at: float | None,
    children: Sequence[Child] = _NO_CHILDREN,
    more: str = "",
) -> bytes:
    below = json.dumps(list(children)) if children else "[]"
    done = "null" if done_at is None else f'"{times.to_text(done_at)}"'
    return (
        f'{{"status":"{status}","result":{result},"traceback":{traceback},"children":{below}'
        f',"date_done":{done}{more},"task_id":{_quoted(id)}}}'
    ).encode("ascii")


def _context(of: Message | None) -> str:
    if of is None:
        return ""
    said = (("group_id", of.headers.get("group")), ("parent_id", of.headers.get("parent_id")))
    return "".join(f',"{name}":{json.dumps(value)}' for name, value in said if value)


def revoked_exception(how: str) -> dict[str, Any]:
    """``revoked``, ``terminated`` or ``expired`` as Celery writes it."""
    return _exception("TaskRevokedError", [how], "celery.exceptions")


_SECONDS = re.compile(r"([0-9.e+]+) s\b")


def exception_of(failure: Failure, reason: Reason | None, of: Message | None = None, task: str = "") -> dict[str, Any]:
    """The error as Celery writes exceptions; what is qtool's own has the name that Celery gives the like."""
    if reason is Reason.TIMEOUT or failure.type == "JobTimeout":
        soft = of is None or of.timelimit[0] is None or of.timelimit[1] is not None
        if failure.traceback and soft:
            return _exception("SoftTimeLimitExceeded", [], "billiard.exceptions")
        found = _SECONDS.search(failure.message)
        return _exception("TimeLimitExceeded", [float(found[1]) if found else failure.message], "billiard.exceptions")
    if reason is Reason.UNKNOWN_TASK:
        return _exception("NotRegistered", [task or failure.message], "celery.exceptions")
    if reason is Reason.CRASHED:
        return _exception("WorkerLostError", [failure.message], "billiard.exceptions")
    # What no class can be called makes a reader fail with an error of its own.
    module, name = _split("".join(char for char in failure.type if char.isprintable()))
    return _exception(name, args_of(failure), module)


def _exception(name: str, args: list[Any], module: str | None) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": args, "exc_module": module}


def _split(type: str) -> tuple[str | None, str]:
    """Module and class of ``proj.errors.Outer.Inner``: modules are written small.

    Celery looks the class up in the reader, and makes one up where it finds no module or is given none; what it finds
    has to be an exception.
    """
    parts = type.split(".")
    first = next((at for at, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    module, name = ".".join(parts[:first]), ".".join(parts[first:])
    if module:
        return module, name or "Exception"
    known = getattr(builtins, name, None)
    plain = isinstance(known, builtins.type) and issubclass(known, BaseException)
    return "builtins" if plain else None, name or "Exception"


def args_of(failure: Failure) -> list[Any]:
    """What an exception was raised with, as far as its text tells: several arguments show as a tuple's repr."""
    text = failure.message
    if not text:
        return []
    if failure.type == "KeyError" or (text[0] == "(" and text[-1] == ")"):
        try:
            said = ast.literal_eval(text)
            json.dumps(said, allow_nan=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return [text]
        if failure.type == "KeyError" and not isinstance(said, tuple):
            return [said]
        return list(said) if isinstance(said, tuple) and len(said) > 1 else [text]
    return [text]


# --- reading -----------------------------------------------------------------------------------------

_STATES = {
    "PENDING": State.READY,
    "RECEIVED": State.READY,
    "STARTED": State.RUNNING,
    "RETRY": State.RETRY,
    "SUCCESS": State.SUCCEEDED,
    "FAILURE": State.DEAD,
    "REJECTED": State.DEAD,
    "REVOKED": State.CANCELLED,
    "IGNORED": State.SUCCEEDED,
}
_REASONS = {
    "TimeLimitExceeded": Reason.TIMEOUT,
    "SoftTimeLimitExceeded": Reason.TIMEOUT,
    "NotRegistered": Reason.UNKNOWN_TASK,
    "WorkerLostError": Reason.CRASHED,
}

_EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue")


def decode_result(raw: bytes | str) -> Meta:
    """Anybody's result. Raises Undecodable: for other content than JSON, too."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if data.startswith(_PACKED):
        packing, _, packed = data[len(_PACKED) :].partition(b"\0")
        data = unpacked(packed, packing.decode("ascii", "replace"), "result")
    try:
        said = json.loads(data)
        if type(said) is not dict or type(said.get("status")) is not str:
            raise ValueError("it has no status")
        return _read(said)
    except (ValueError, TypeError, RecursionError) as error:
        raise Undecodable(what="result", why=str(error) or type(error).__name__) from None


def _read(said: dict[str, Any]) -> Meta:
    status, result = said["status"], said.get("result")
    state = _STATES.get(status, State.RUNNING)
    error = reason = None
    if state in (State.DEAD, State.RETRY, State.CANCELLED):
        error = _failure(result, said.get("traceback"))
        if state is State.CANCELLED and error is not None and error.message == "expired":
            state = State.EXPIRED
        if state is State.DEAD:
            reason = _REASONS.get(error.type.rpartition(".")[2], Reason.FAILED) if error else Reason.FAILED
        if state in (State.CANCELLED, State.EXPIRED):
            error = None
    done, children = said.get("date_done"), said.get("children")
    return Meta(
        id=str(said.get("task_id") or ""),
        status=status,
        state=state,
        value=None if error is not None or result is None else json.dumps(result, separators=(",", ":")),
        reason=reason,
        error=error,
        done_at=times.from_text(done) if done else None,
        children=children if isinstance(children, list) else (),
        parent_id=_text(said.get("parent_id")),
        group_id=_text(said.get("group_id")),
        extended={
            name: said[name] for name in ("name", "args", "kwargs", "worker", "retries", "queue") if name in said
        },
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _failure(result: Any, traceback: object) -> Failure | None:
    if result is None and not traceback:
        return None
    if not isinstance(result, dict) or "exc_type" not in result:
        return Failure(type="Exception", message=str(result), traceback=_text(traceback))
    module, name, args = _text(result.get("exc_module")), str(result["exc_type"]), result.get("exc_message", "")
    plain = module is None or module in ("builtins", "__main__")
    return Failure(
        type=name if plain else f"{module}.{name}",
        message=_message(name, args if isinstance(args, list) else [args]),
        traceback=_text(traceback),
    )


def _message(name: str, args: list[Any]) -> str:
    """What ``str`` makes of an exception raised with these arguments."""
    if len(args) == 1:
        return repr(args[0]) if name == "KeyError" else str(args[0])
    return str(tuple(args)) if args else ""
