"""What a worker tells of its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qtool.tables import Column, Table

if TYPE_CHECKING:
    from qtool.engine.job import Settlement
    from qtool.engine.worker.options import Summary, WorkerEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEventRow:
    """Something that happened to a job at this worker."""

    at: datetime
    kind: str
    """"started", or the state that the attempt left the job in."""
    id: str
    task: str
    queue: str
    attempt: int
    seconds: float | None
    """How long the attempt ran."""
    error: str | None
    reason: str | None
    """Why it is dead."""


def event_row(event: WorkerEvent) -> WorkerEventRow:
    """The row of an event."""
    return WorkerEventRow(
        at=datetime.fromtimestamp(event.at, UTC),
        kind=event.kind,
        id=event.id,
        task=event.task,
        queue=event.queue,
        attempt=event.attempt,
        seconds=event.seconds,
        error=event.error,
        reason=event.reason,
    )


def ended_row(settlement: Settlement) -> WorkerEventRow:
    """The row of an attempt that has ended."""
    from qtool.engine.worker.outbox import ended

    return event_row(ended(settlement))


def account(summary: Summary) -> str:
    """All that a worker did, in a line: ``3 jobs: 1 succeeded, 2 dead; 1 retry; 3.3s (0.91 jobs/s)``."""
    from qtool.engine.times import format_duration

    ends = (("succeeded", summary.succeeded), ("dead", summary.dead), ("cancelled", summary.cancelled))
    ended = ", ".join(f"{count:,} {state}" for state, count in ends if count)
    parts = [f"{counted(summary.jobs, 'job')}: {ended}" if ended else counted(summary.jobs, "job")]
    others = (
        (summary.retried, "retry", "retries"),
        (summary.snoozed, "snooze", "snoozes"),
        (summary.unstarted, "given back before it started", "given back before they started"),
        (summary.stopped, "stopped and given back", "stopped and given back"),
        (summary.killed, "killed and given back", "killed and given back"),
        (summary.late, "lease lost", "leases lost"),
        (summary.abandoned, "outcome not stored", "outcomes not stored"),
    )
    parts += [counted(count, one, many) for count, one, many in others if count]
    took = format_duration(summary.seconds)
    rated = summary.jobs and summary.seconds > 0
    return "; ".join([*parts, f"{took} ({_rate(summary.jobs / summary.seconds)})" if rated else took])


def counted(count: int, one: str, many: str = "") -> str:
    """``1 job``, ``2 jobs``; ``many`` where an s does not do."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _rate(each_second: float) -> str:
    """Of jobs: a fraction where they are few."""
    if each_second < 0.95:
        return f"{each_second:.2g} jobs/s"
    return f"{counted(round(each_second), 'job')}/s"


WORKER_EVENTS = Table(
    WorkerEventRow,
    (
        Column("ID", lambda r: r.id, wide=36),
        Column("KIND", lambda r: r.kind, wide=9),
        Column("TASK", lambda r: r.task, least=10),
        Column("ERROR", lambda r: r.error or "", least=10),
    ),
    id="id",
    live=True,
)
