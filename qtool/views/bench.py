"""What a broker can do on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtool.tables import NONE, Column, Table
from qtool.views.text import always, number

if TYPE_CHECKING:
    from qtool.engine.measure import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One figure; times are seconds."""

    what: str
    """What was measured."""
    calls: int
    """How often it was called."""
    jobs_per_second: float | None
    """None for calls that only look."""
    p50: float
    """The median time of a call."""
    p99: float

    @classmethod
    def of(cls, measure: Measure) -> BenchRow:
        """The row of a measure."""
        return cls(
            what=measure.what,
            calls=measure.calls,
            jobs_per_second=measure.jobs / measure.seconds if measure.jobs and measure.seconds else None,
            p50=measure.p50,
            p99=measure.p99,
        )


BENCH = Table(
    BenchRow,
    (
        Column("WHAT", lambda r: r.what, least=20, style=always("bold")),
        Column("CALLS", lambda r: number(r.calls), right=True, rank=2, style=always("dim")),
        Column("JOBS/S", lambda r: f"{r.jobs_per_second:,.0f}" if r.jobs_per_second else NONE, right=True),
        Column("P50 MS", lambda r: f"{1000 * r.p50:.2f}", right=True),
        Column("P99 MS", lambda r: f"{1000 * r.p99:.2f}", right=True, rank=1),
    ),
)
