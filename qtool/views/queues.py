"""Queues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qtool.engine.broker import QueueStats
from qtool.engine.states import State
from qtool.tables import Column, Table
from qtool.views.text import age, always, limit_text, moment, number, rate, span


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue at one instant. Rates are per second over the last minute, latencies in seconds over the last ten."""

    queue: str
    paused: bool
    """Nothing is started."""
    waiting: int
    """Jobs in this state, as in the eight that follow."""
    scheduled: int
    ready: int
    running: int
    retry: int
    succeeded: int
    dead: int
    cancelled: int
    expired: int
    held: int
    """Ready jobs that their key or their task's rate keeps from starting."""
    concurrency: int | None
    """How many jobs may run at once; null for any number."""
    rate: float | None
    """How many may start a second; null for any number."""
    oldest_ready_at: datetime | None
    """Since when the oldest ready job that is not held could have been started."""
    in_rate: float
    """Jobs enqueued."""
    out_rate: float
    """Jobs ended, however they did."""
    failed_rate: float
    """Jobs dead."""
    wait_p50: float | None
    """From ready to started: the median."""
    wait_p95: float | None
    """What 95 of 100 did not exceed."""
    run_p50: float | None
    """From started to ended: the median."""
    run_p95: float | None
    drain_seconds: float | None
    """How long the ready jobs will take at these rates; null where they do not get fewer."""
    workers: int
    """Workers that serve it."""

    @classmethod
    def of(cls, stats: QueueStats, workers: int) -> QueueRow:
        """The row of a queue that so many workers serve."""
        return cls(
            queue=stats.name,
            paused=stats.paused,
            **{str(state): stats.counts.get(state, 0) for state in State},
            held=stats.held,
            concurrency=stats.concurrency,
            rate=stats.rate,
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
        Column("HELD", lambda r: number(r.held) if r.held else "", right=True, rank=4, style=always("yellow")),
        Column("RUN", lambda r: number(r.running), right=True, style=always("cyan")),
        Column("LIMIT", lambda r: limit_text(r.concurrency, r.rate), right=True, rank=4),
        Column("SCHED", lambda r: number(r.scheduled), right=True, rank=3),
        Column("RETRY", lambda r: number(r.retry), right=True, style=always("yellow")),
        Column("DEAD", lambda r: number(r.dead), right=True, style=lambda r: "red" if r.dead else ""),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("OLDEST", lambda r: age(r.oldest_ready_at), right=True),
        Column("IN/s", lambda r: rate(r.in_rate), right=True, rank=1),
        Column("OUT/s", lambda r: rate(r.out_rate), right=True, rank=1),
        Column("P50", lambda r: span(r.run_p50), right=True, rank=2),
        Column("P95", lambda r: span(r.run_p95), right=True, rank=2),
        Column("DRAIN", lambda r: "∞" if r.drain_seconds is None else span(r.drain_seconds), right=True, rank=1),
        Column("WRK", lambda r: number(r.workers), right=True),
        Column("", lambda r: "paused" if r.paused else "", style=always("yellow")),
    ),
    id="queue",
    empty="No queues yet. 'qtool enqueue' makes the first.",
)
