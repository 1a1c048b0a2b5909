"""Everything about one job, as the screen asks for it and takes it apart. No Textual here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.job import Attempt, Chunk, JobInfo, Result
from qtool.engine.value import Value
from qtool.output import to_json
from qtool.views.card import facts

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.views.jobs import JobDetail

LONGEST_TRACEBACK = 100_000
"""Characters of a traceback that are shown: the last ones, which say what happened."""

FIRST = ("task", "args", "kwargs", "queue", "priority", "tags", "parents")
_POLICY = ("retries", "backoff", "backoff_cap", "jitter", "timeout", "grace", "on_crash")
_ENVELOPE = (*FIRST, "created_at", "due_at", "expires_at", "unique", "key", "key_limit")


class Wanted(Value, kw_only=True):
    """What to ask about a job beyond where it stands."""

    id: str
    attempt: int | None
    """Whose output; None for the last one."""
    had: int | None
    """Of which attempt the output is here already."""
    offset: int
    """Up to which byte."""
    end: object
    """The end that is known already, as :attr:`Detail.end`."""


class Detail(Value, kw_only=True):
    """What there is about a job now."""

    wanted: Wanted
    job: JobInfo | None
    """None: there is no such job."""
    attempts: tuple[Attempt, ...] = ()
    result: Result | None = None
    """None also where it is known already."""
    attempt: int | None = None
    """Whose output follows."""
    chunks: tuple[Chunk, ...] = ()

    @property
    def end(self) -> object:
        """Differs where the end of the job may differ."""
        job = self.job
        return None if job is None else (job.state, job.attempt, job.finished_at)


def look(adapter: Adapter, wanted: Wanted) -> Detail:
    """Ask for it. Raises BrokerError."""
    (job,) = adapter.inspector.get([wanted.id])
    if job is None:
        return Detail(wanted=wanted, job=None)
    attempt = wanted.attempt or job.attempt or None
    chunks: list[Chunk] = []
    if attempt is not None:
        after = wanted.offset if attempt == wanted.had else 0
        chunks = adapter.results.output(wanted.id, attempt=attempt, after=after)
    found = Detail(
        wanted=wanted,
        job=job,
        attempts=tuple(adapter.inspector.attempts(wanted.id)),
        attempt=attempt,
        chunks=tuple(chunks),
    )
    if found.end == wanted.end:
        return found
    (result,) = adapter.results.results([wanted.id])
    return Detail(**{name: getattr(found, name) for name in Detail.__slots__} | {"result": result})


class Fact(Value):
    """Something about the job in a line."""

    label: str
    value: str
    job: str | None = None
    """The job that it leads to."""


def facts_of(row: JobDetail) -> list[Fact]:
    """What there is to say about it."""
    reason = f" ({row.reason})" if row.reason else ""
    found = [Fact("id", row.id), Fact("state", f"{row.state}{reason}")]
    found += [Fact(label, value) for label, value in facts(row) if label != "parents"]
    if row.error is not None:
        found.append(Fact("error", str(row.error)))
    return found + [Fact("parent", parent, parent) for parent in row.parents]


def envelope(row: JobDetail) -> dict[str, Any]:
    """What its producer said: what is not said is left out."""
    said = {name: getattr(row, name) for name in _ENVELOPE}
    policy = {name: getattr(row, name) for name in _POLICY if getattr(row, name) is not None}
    kept = {name: value for name, value in said.items() if name in ("args", "kwargs") or value not in (None, [], {}, 0)}
    if row.key is None:
        kept.pop("key_limit", None)
    return {"id": row.id, **kept, **({"policy": policy} if policy else {})}


def printed(row: JobDetail) -> str:
    """The job as ``qtool show -o json`` prints it."""
    return f"[\n{to_json(row)}\n]\n"
