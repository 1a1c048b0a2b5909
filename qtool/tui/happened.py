"""What happened, as the screen lists it: columns, words, and the last few thousand events. No Textual, no I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtool.engine.events import Kind, News, Occurrence
from qtool.engine.times import format_duration
from qtool.tables import Column
from qtool.views.jobs import what
from qtool.views.text import always, moment, rate, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.filter import Filter

MOST = 5_000
"""Events that are kept."""

SIGNS = {
    Kind.ENQUEUED: "+",
    Kind.STARTED: "▸",
    Kind.SUCCEEDED: "✓",
    Kind.RETRY: "↻",
    Kind.AGAIN: "↺",
    Kind.DEAD: "✗",
    Kind.CANCELLED: "-",
    Kind.EXPIRED: "-",
    Kind.PAUSED: "‖",
    Kind.MISSED: "…",
}
STYLES = {
    Kind.STARTED: "cyan",
    Kind.SUCCEEDED: "green",
    Kind.RETRY: "yellow",
    Kind.AGAIN: "bold",
    Kind.DEAD: "red",
    Kind.CANCELLED: "dim",
    Kind.EXPIRED: "dim",
    Kind.WORKER_GONE: "yellow",
    Kind.PAUSED: "yellow",
    Kind.MISSED: "dim",
}


def _time(event: Occurrence) -> str:
    at = moment(event.at)
    return f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03}" if at is not None else ""


def _queue(event: Occurrence) -> str:
    return event.queue or (event.job.queue if event.job is not None else "")


def _about(event: Occurrence) -> str:
    if event.job is not None:
        return what(event.job)
    if event.worker is not None:
        return f"{event.worker.host} {event.worker.pid}, {event.worker.slots} slots"
    if event.kind is Kind.MISSED:
        return f"nobody looked for {format_duration(event.seconds)}"
    return f"queue {event.queue}"


def _says(event: Occurrence) -> str:
    """What is worth knowing beside it."""
    job = event.job
    if job is None:
        return ""
    if event.kind in (Kind.DEAD, Kind.RETRY):
        attempt = f"attempt {job.attempt}: " if event.kind is Kind.RETRY else ""
        return f"{attempt}{job.error or job.reason or ''}"
    if event.kind is Kind.AGAIN:
        return "by hand"
    if event.kind is Kind.STARTED:
        return f"attempt {job.attempt}" if job.attempt > 1 else ""
    if event.kind is Kind.SUCCEEDED and job.started_at is not None and job.finished_at is not None:
        return f"took {format_duration(max(0.0, job.finished_at - job.started_at))}"
    return ""


EVENTS: tuple[Column[Occurrence], ...] = (
    Column("TIME", _time, style=always("dim")),
    Column("EVENT", lambda e: f"{SIGNS.get(e.kind, '·')} {e.kind}", style=lambda e: STYLES.get(e.kind, ""), wide=11),
    Column("QUEUE", _queue, least=6, rank=2),
    Column("JOB", lambda e: short(e.job.id) if e.job is not None else "", rank=4, style=always("dim")),
    Column("WHAT", _about, least=18),
    Column("SAYS", _says, least=12, rank=1, style=lambda e: STYLES.get(e.kind, "")),
)


class Log:
    """The last events, and which of them are wanted."""

    def __init__(self, most: int = MOST) -> None:
        self._all: deque[Occurrence] = deque(maxlen=most)
        self._wanted: deque[Occurrence] = deque(maxlen=most)
        self._where: Filter | None = None

    def add(self, news: News) -> bool:
        """Put them at the end: whether any is wanted."""
        self._all.extend(news.occurrences)
        wanted = [event for event in news.occurrences if self._wants(event)]
        self._wanted.extend(wanted)
        return bool(wanted)

    def want(self, where: Filter | None) -> None:
        """Only those of jobs that match, as they were then; of queues and workers those that it names; None for all."""
        self._where = where
        self._wanted.clear()
        self._wanted.extend(event for event in self._all if self._wants(event))

    def _wants(self, event: Occurrence) -> bool:
        if self._where is None:
            return True
        if event.job is not None:
            return self._where.matches(event.job, event.at)
        queues = self._where.queues()
        return event.queue is not None and queues is not None and event.queue in queues

    @property
    def rows(self) -> Sequence[Occurrence]:
        """Those that are wanted, the oldest first."""
        return tuple(self._wanted)

    @property
    def count(self) -> int:
        """How many there are, wanted or not."""
        return len(self._all)


def sampling(news: News) -> str:
    """How much of what happens is seen: ``sampled: 12 of about 5,000 a second``."""
    if not news.sampled:
        return ""
    return f"sampled: {rate(news.seen)} of about {rate(news.real)} a second"
