"""Arithmetic of the history: histograms of durations, and spans of time that thin out. Pure; stdlib only.

What happens in a queue is added up per second. Old seconds become minutes and old minutes hours (:data:`THINNING`), so
that a year of history costs some thousand rows a queue.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtool.engine.broker import Bucket, Latency

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

THINNING: tuple[tuple[int, int], ...] = ((60, 2 * 3600), (3600, 7 * 86400))
"""(width, age), both in seconds: spans narrower than ``width`` are added up to it once they are older than ``age``."""

HISTORY_KEEP = 400 * 86400
"""Seconds: what is older is forgotten. A year, and a month more to compare with."""

RATE_WINDOW = 60
"""Seconds over which a snapshot's rates are taken."""

LATENCY_WINDOW = 600
"""Seconds over which a snapshot's latencies are taken."""

FINEST = 1e-6
"""Seconds: the lower edge of a histogram's first bucket."""

LAST_BUCKET = 255
"""The index of the last bucket, which also takes whatever is longer."""


def bucket_of(seconds: float) -> int:
    """The histogram bucket of a duration: a quarter of a power of two wide, from a microsecond upward."""
    if not seconds > FINEST:
        return 0
    return int(min(4.0 * math.log2(seconds / FINEST), LAST_BUCKET))


def bucket_value(index: int) -> float:
    """The duration, in seconds, that stands for a bucket: its geometric middle."""
    return FINEST * math.exp2((index + 0.5) / 4.0)


def quantile(histogram: Mapping[int, int], share: float) -> float:
    """The duration, in seconds, that ``share`` (0 to 1) of the observations do not exceed; 0 when there are none."""
    rank = max(1, math.ceil(share * sum(histogram.values())))
    seen = 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank:
            return bucket_value(index)
    return 0.0


def latency(histogram: Mapping[int, int], total_seconds: float) -> Latency | None:
    """What a histogram says of durations that add up to ``total_seconds``; None when it is empty."""
    count = sum(histogram.values())
    if count <= 0:
        return None
    return Latency(
        count=count, mean=total_seconds / count, p50=quantile(histogram, 0.50), p95=quantile(histogram, 0.95)
    )


def floor_to(at: float, width: int) -> int:
    """Where the span of ``width`` seconds that holds ``at`` begins."""
    return int(at // width) * width


def width_for(age: float) -> int:
    """How wide a span of the given age, in seconds, is kept: 1, 60 or 3600."""
    return max((width for width, limit in THINNING if age > limit), default=1)


def widths(now: float) -> list[tuple[int, int, int]]:
    """The history as :func:`thin` leaves it: (width, from, until), oldest first and without a gap."""
    first = _begins(now, 3600, HISTORY_KEEP)
    found = []
    for wider, age in reversed(THINNING):
        end = _begins(now, wider, age)
        found.append((wider, first, end))
        first = end
    return [*found, (1, first, int(now) + 1)]


def _begins(now: float, width: int, age: int) -> int:
    """The first span of this width that is not yet older than ``age``, when all of it has passed."""
    return math.ceil((now - age - width) / width) * width


COUNTERS = ("enqueued", "started", "succeeded", "retried", "dead", "cancelled", "expired")
"""What is counted, by the names of :class:`~qtool.engine.broker.Bucket`'s fields."""


class Tally:
    """What happened in one queue in one span, while it is being added up."""

    __slots__ = ("at", "counters", "queue", "run", "run_total", "seconds", "wait", "wait_total")

    def __init__(self, at: int, seconds: int, queue: str) -> None:
        self.at = at
        self.seconds = seconds
        self.queue = queue
        self.counters: dict[str, int] = {}
        """By the names in :data:`COUNTERS`; absent is none."""
        self.wait: dict[int, int] = {}
        """Histogram of the time from ready to started."""
        self.wait_total = 0.0
        self.run: dict[int, int] = {}
        """Histogram of the time from started to ended."""
        self.run_total = 0.0

    def count(self, counter: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters[counter] = self.counters.get(counter, 0) + by

    def add(self, other: Tally) -> None:
        """Take in what ``other`` saw."""
        for counter, by in other.counters.items():
            self.count(counter, by)
        for mine, theirs in ((self.wait, other.wait), (self.run, other.run)):
            for index, by in theirs.items():
                mine[index] = mine.get(index, 0) + by
        self.wait_total += other.wait_total
        self.run_total += other.run_total

    def waited(self, seconds: float, jobs: int = 1) -> None:
        """So many jobs were started this long after they became ready."""
        seconds = max(0.0, seconds)
        index = bucket_of(seconds)
        self.wait[index] = self.wait.get(index, 0) + jobs
        self.wait_total += seconds * jobs

    def ran(self, seconds: float) -> None:
        """A run ended this long after it began."""
        seconds = max(0.0, seconds)
        index = bucket_of(seconds)
        self.run[index] = self.run.get(index, 0) + 1
        self.run_total += seconds

    def bucket(self) -> Bucket:
        """The value that an Inspector's history gives."""
        return Bucket(
            at=float(self.at),
            seconds=self.seconds,
            queue=self.queue,
            wait=latency(self.wait, self.wait_total),
            run=latency(self.run, self.run_total),
            **{name: self.counters.get(name, 0) for name in COUNTERS},
        )


def gathered(width: int, seconds: int) -> int:
    """How wide what has this width becomes when spans of at least ``seconds`` are asked for: a multiple of it."""
    return width * max(1, math.ceil(seconds / width))


def gather(tallies: Iterable[Tally], seconds: int = 1, *, together: bool = False) -> list[Tally]:
    """The same events in spans of at least ``seconds``, by time and then by queue; the tallies given stay as they are.

    A span that is wider already is kept; a width that ``seconds`` is no multiple of is rounded up to one, so that no
    span lies in two. ``together``: whatever the queue; that of the spans is empty.
    """
    merged: dict[tuple[int, int, str], Tally] = {}
    for tally in tallies:
        width = gathered(tally.seconds, seconds)
        key = (floor_to(tally.at, width), width, "" if together else tally.queue)
        if key not in merged:
            merged[key] = Tally(*key)
        merged[key].add(tally)
    return [merged[key] for key in sorted(merged)]


def thin(tallies: Iterable[Tally], now: float) -> list[Tally]:
    """The same events with old spans made wider and those older than :data:`HISTORY_KEEP` left out.

    A span's age is that of the whole wide span it would fall into, so that no wide span is made while narrow ones of
    it are still young.
    """
    merged: dict[tuple[int, int, str], Tally] = {}
    for tally in tallies:
        width = tally.seconds
        for wider, age in THINNING:
            if wider > width and now - (floor_to(tally.at, wider) + wider) > age:
                width = wider
        if now - (floor_to(tally.at, width) + width) > HISTORY_KEEP:
            continue
        key = (floor_to(tally.at, width), width, tally.queue)
        if key not in merged:
            merged[key] = Tally(*key)
        merged[key].add(tally)
    return [merged[key] for key in sorted(merged)]
