"""Limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qtool.engine.limits import Limit, format_rate
from qtool.tables import NONE, Column, Table
from qtool.views.text import ago, always, moment, number


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """What limits a queue or a task, and how much of it is in use."""

    scope: str
    """``queue`` or ``task``."""
    name: str
    concurrency: int | None
    """How many jobs run at once; null for any number."""
    rate: float | None
    """How many jobs start a second; null for any number."""
    burst: int | None
    """How many of them may start together."""
    declared: bool
    """The task's own code says so; false: somebody said it here."""
    running: int | None
    """Jobs of the queue that run."""
    held: int
    """Ready jobs of the task that wait for its rate."""
    opens_at: datetime | None
    """When the rate lets the next job start; null: it does so now."""

    @classmethod
    def of(cls, limit: Limit) -> LimitRow:
        """The row of a limit."""
        return cls(
            scope=limit.scope,
            name=limit.name,
            concurrency=limit.concurrency,
            rate=limit.rate,
            burst=limit.burst,
            declared=limit.declared,
            running=limit.running,
            held=limit.held,
            opens_at=moment(limit.opens_at),
        )


LIMITS = Table(
    LimitRow,
    (
        Column("SCOPE", lambda r: r.scope, style=always("dim")),
        Column("NAME", lambda r: r.name, least=10, style=always("bold")),
        Column("AT ONCE", lambda r: NONE if r.concurrency is None else number(r.concurrency), right=True),
        Column("RUN", lambda r: number(r.running or 0), right=True, style=always("cyan")),
        Column("RATE", lambda r: NONE if r.rate is None else format_rate(r.rate), right=True),
        Column("BURST", lambda r: number(r.burst or 0), right=True, rank=1),
        Column("HELD", lambda r: number(r.held), right=True, style=always("yellow")),
        Column("OPENS", lambda r: ago(r.opens_at) or NONE, right=True, rank=2),
        Column("BY", lambda r: "the task's code" if r.declared else "", rank=1, style=always("dim")),
    ),
    id="name",
    empty="No limits. 'qtool limits set QUEUE --concurrency N' sets one.",
)
