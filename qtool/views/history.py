"""What happened over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qtool.engine.broker import Bucket
from qtool.tables import Column, Table
from qtool.views.text import always, number, span, sure_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRow:
    """What happened in one queue in one span of time; latencies in seconds."""

    at: datetime
    """Where the span starts."""
    seconds: int
    """How long it is."""
    queue: str
    enqueued: int
    started: int
    succeeded: int
    retried: int
    """Attempts that failed and were to be tried again."""
    dead: int
    cancelled: int
    expired: int
    wait_p50: float | None
    """From ready to started: the median."""
    wait_p95: float | None
    """What 95 of 100 did not exceed."""
    run_p50: float | None
    """From started to ended: the median."""
    run_p95: float | None

    @classmethod
    def of(cls, bucket: Bucket) -> StatsRow:
        """The row of a bucket."""
        counted = ("seconds", "queue", "enqueued", "started", "succeeded", "retried", "dead", "cancelled", "expired")
        return cls(
            at=sure_moment(bucket.at),
            **{name: getattr(bucket, name) for name in counted},
            wait_p50=bucket.wait.p50 if bucket.wait else None,
            wait_p95=bucket.wait.p95 if bucket.wait else None,
            run_p50=bucket.run.p50 if bucket.run else None,
            run_p95=bucket.run.p95 if bucket.run else None,
        )


def _clock(row: StatsRow) -> str:
    local = row.at.astimezone()
    return local.strftime("%H:%M:%S" if row.seconds < 60 else "%H:%M" if row.seconds < 3600 else "%m-%d %H:%M")


STATS = Table(
    StatsRow,
    (
        Column("TIME", _clock, style=always("dim")),
        Column("QUEUE", lambda r: r.queue, least=8, style=always("bold")),
        Column("IN", lambda r: number(r.enqueued), right=True),
        Column("STARTED", lambda r: number(r.started), right=True, rank=3),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("RETRY", lambda r: number(r.retried), right=True, style=always("yellow")),
        Column("DEAD", lambda r: number(r.dead), right=True, style=lambda r: "red" if r.dead else ""),
        Column("GONE", lambda r: number(r.cancelled + r.expired), right=True, rank=2, style=always("dim")),
        Column("WAIT P50", lambda r: span(r.wait_p50), right=True, rank=1),
        Column("P95", lambda r: span(r.wait_p95), right=True, rank=1),
        Column("RUN P50", lambda r: span(r.run_p50), right=True, rank=1),
        Column("P95", lambda r: span(r.run_p95), right=True, rank=1),
    ),
    empty="Nothing happened in that time.",
)
