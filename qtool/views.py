"""What the commands print: one frozen dataclass a kind of row, and its table.

The field names are a promise: ``qtool schema`` publishes them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qtool.engine.broker import Bucket, Change, Latency, QueueStats, WorkerInfo
from qtool.engine.durations import format_duration
from qtool.engine.job import Attempt, Failure, JobInfo
from qtool.engine.states import State
from qtool.output import to_json
from qtool.tables import Column, Table


def moment(at: float | None) -> datetime | None:
    """A time for machines: aware, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def ago(at: datetime | None) -> str:
    """A time for people: ``3m12s ago``, ``in 5m00s``, or nothing."""
    if at is None:
        return ""
    seconds = time.time() - at.timestamp()
    return f"{format_duration(seconds)} ago" if seconds >= 0 else f"in {format_duration(-seconds)}"


def age(at: datetime | None) -> str:
    """How old, without the word."""
    return "" if at is None else format_duration(max(time.time() - at.timestamp(), 0.0))


def number(value: float) -> str:
    """A count with thin separators; nothing for none, so that what is there stands out."""
    return f"{value:,}" if value else "·"


def rate(value: float) -> str:
    """A rate per second."""
    if not value:
        return "·"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


STYLES: Mapping[str, str] = {
    "waiting": "dim",
    "scheduled": "blue",
    "ready": "",
    "running": "cyan",
    "retry": "yellow",
    "succeeded": "green",
    "dead": "red",
    "cancelled": "dim",
    "expired": "dim",
}


# --- queues ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue at one instant. Rates are per second over the last minute, latencies in seconds over the last ten."""

    queue: str
    paused: bool
    waiting: int
    scheduled: int
    ready: int
    running: int
    retry: int
    succeeded: int
    dead: int
    cancelled: int
    expired: int
    oldest_ready_at: datetime | None
    in_rate: float
    out_rate: float
    failed_rate: float
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None
    drain_seconds: float | None
    workers: int

    @classmethod
    def of(cls, stats: QueueStats, workers: int) -> QueueRow:
        """The row of a queue that so many workers serve."""
        return cls(
            queue=stats.name,
            paused=stats.paused,
            **{str(state): stats.counts.get(state, 0) for state in State},
            oldest_ready_at=moment(stats.oldest_ready_at),
            in_rate=stats.in_rate,
            out_rate=stats.out_rate,
            failed_rate=stats.failed_rate,
            wait_p50=stats.wait.p50 if stats.wait else None,
            wait_p95=stats.wait.p95 if stats.wait else None,
            run_p50=stats.run.p50 if stats.run else None,
            run_p95=stats.run.p95 if stats.run else None,
            drain_seconds=stats.drain_seconds,
            workers=workers,
        )


QUEUES = Table(
    QueueRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=lambda r: "yellow" if r.paused else "bold"),
        Column("READY", lambda r: number(r.ready), right=True),
        Column("RUN", lambda r: number(r.running), right=True, style=lambda r: "cyan"),
        Column("SCHED", lambda r: number(r.scheduled), right=True, rank=3),
        Column("RETRY", lambda r: number(r.retry), right=True, style=lambda r: "yellow"),
        Column("DEAD", lambda r: number(r.dead), right=True, style=lambda r: "red" if r.dead else ""),
        Column("OK", lambda r: number(r.succeeded), right=True, style=lambda r: "green"),
        Column("OLDEST", lambda r: age(r.oldest_ready_at) or "·", right=True),
        Column("IN/s", lambda r: rate(r.in_rate), right=True, rank=1),
        Column("OUT/s", lambda r: rate(r.out_rate), right=True, rank=1),
        Column("P50", lambda r: _span(r.run_p50), right=True, rank=2),
        Column("P95", lambda r: _span(r.run_p95), right=True, rank=2),
        Column("DRAIN", lambda r: "∞" if r.drain_seconds is None else _span(r.drain_seconds), right=True, rank=1),
        Column("WRK", lambda r: number(r.workers), right=True),
        Column("", lambda r: "paused" if r.paused else "", style=lambda r: "yellow"),
    ),
    id="queue",
    empty="No queues yet. 'qtool enqueue' makes the first.",
)


def _span(seconds: float | None) -> str:
    return format_duration(seconds) if seconds else "·"
