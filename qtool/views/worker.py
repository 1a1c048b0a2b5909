"""What a worker tells of its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qtool.tables import Column, Table

if TYPE_CHECKING:
    from qtool.engine.worker.options import WorkerEvent


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
    )


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
