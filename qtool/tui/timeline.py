"""The history as columns of a chart: which stretch of time is shown, what of it is known, and what is to be asked.

The cost of a look is bounded by the number of columns: what has been read and changes no more is remembered, and what
is missing is asked for in slices of so many rollups, the newest first. No Textual, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import Bucket
from qtool.engine.rollup import HISTORY_KEEP, width_for
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from qtool.engine.broker import Inspector

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 3 * 86400)
"""Seconds that a column may stand for; each of the rollups' widths divides those above it."""

SETTLING = 20
"""Seconds after which nothing is added to a second any more: whoever waited for the broker so long has given up."""

SLICE = 2400
"""Rollups in a row that one question reads at most: it shares its line with the other screens."""

_LEVELS, _REMEMBERED = 6, 4000


class Window(Value):
    """A stretch of time, in columns of ``step`` seconds; its edges are multiples of that."""

    step: int
    end: int
    """Not included."""
    columns: int

    @property
    def start(self) -> int:
        """Included."""
        return self.end - self.step * self.columns

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.step * self.columns

    def at(self, column: int) -> int:
        """Where a column begins."""
        return self.start + self.step * column

    def column(self, at: float) -> int | None:
        """The column that holds this time; None outside."""
        column = int((at - self.start) // self.step)
        return column if 0 <= column < self.columns else None

    def moved(self, columns: int, latest: int) -> Window:
        """The same, so many columns later, until ``latest`` at most."""
        return Window(self.step, min(self.end + columns * self.step, latest), self.columns)

    def zoomed(self, by: int, around: float | None, now: float) -> Window:
        """``by`` steps wider (or, negative, finer), with the time ``around`` kept in its place.

        None keeps the newest in sight where it is, and the middle elsewhere.
        """
        step = STEPS[max(0, min(len(STEPS) - 1, STEPS.index(self.step) + by))]
        while by > 0 and step > self.step and STEPS[STEPS.index(step) - 1] * self.columns >= HISTORY_KEEP:
            step = STEPS[STEPS.index(step) - 1]
        latest = newest(now, step)
        if around is None:
            if self.end >= newest(now, self.step):
                return Window(step, latest, self.columns)
            around = self.end - self.seconds / 2
        share = (self.end - around) / self.seconds
        end = int(around + share * step * self.columns) // step * step
        return Window(step, min(end, latest), self.columns)


def newest(now: float, step: int) -> int:
    """Where the column ends that is being filled. A column of one second is not shown before it is over."""
    return -(-int(now) // step) * step


def refresh_seconds(step: int) -> float:
    """How often columns of ``step`` seconds are worth another look."""
    return min(60.0, max(1.0, step / 10))


class Past:
    """What has been read of the history of some queues."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        """By step; the one that was used last stands last."""
        self.beginning: float | None = None
        """When the first thing happened; None as long as nobody knows."""

    def forget(self) -> None:
        """Read everything anew: it is about other queues."""
        self._levels.clear()

    def missing(self, window: Window, now: float, *, again: bool = False) -> tuple[int, int] | None:
        """The next slice of the window to ask for, as times; None when there is none.

        ``again``: also what may have changed since it was read.
        """
        level = self._level(window.step)
        level.room = max(_REMEMBERED, 4 * window.columns)
        until = None
        for column in range(window.columns - 1, -1, -1):
            at = window.at(column)
            unknown = at not in level.columns or (again and at in level.unsettled)
            if unknown and until is None:
                until = at + window.step
            if until is not None and (not unknown or until - at > _reach(until, now, window.step)):
                return at + window.step, until
        return None if until is None else (window.start, until)

    def add(self, step: int, since: int, until: int, buckets: Iterable[Bucket], asked_at: float) -> None:
        """Take in the answer to a slice that was asked for at this time."""
        level = self._level(step)
        for at in range(since, until, step):
            level.columns[at] = None
            level.unsettled.discard(at)
            if at + step > asked_at - SETTLING:
                level.unsettled.add(at)
        for bucket in buckets:
            first = max(since, int(bucket.at) // step * step)
            for at in range(first, min(until, int(bucket.at) + bucket.seconds), step):
                # What old rollups hold together lies in several columns.
                level.columns[at] = bucket
        if len(level.columns) > level.room:
            for at in sorted(level.columns, key=lambda at: abs(at - since))[level.room // 2 :]:
                del level.columns[at]
                level.unsettled.discard(at)

    def columns(self, window: Window) -> tuple[Bucket | None, ...]:
        """What happened in each column; None where nobody knows."""
        known, step = self._level(window.step).columns, window.step
        found: list[Bucket | None] = []
        for at in range(window.start, window.end, step):
            bucket = known.get(at)
            if bucket is None and at in known and self.beginning is not None and at + step > self.beginning:
                bucket = Bucket(at=float(at), seconds=step, queue="")
            found.append(bucket)
        return tuple(found)

    def _level(self, step: int) -> _Level:
        level = self._levels.pop(step, None) or _Level()
        self._levels[step] = level
        while len(self._levels) > _LEVELS:
            del self._levels[next(iter(self._levels))]
        return level


class _Level:
    def __init__(self) -> None:
        self.columns: dict[int, Bucket | None] = {}
        """By where they begin; None: nothing happened."""
        self.unsettled: set[int] = set()
        self.room = _REMEMBERED
        """How many columns it remembers at most."""


def _reach(until: int, now: float, step: int) -> int:
    """How long a slice that ends here may be, in seconds."""
    return max(step, SLICE * width_for(now - until) // step * step)


def beginning(inspector: Inspector, now: float) -> float | None:
    """When the first thing happened that the history still holds; None if nothing has. Raises BrokerError.

    From the oldest on, in stretches that halve: it reads only the one in which it is.
    """
    since, age = 0.0, float(HISTORY_KEEP)
    while age > 0:
        until = now - age
        found = inspector.history(since, until, seconds=1, together=True)
        if found:
            return found[0].at
        since, age = until, age / 2 if age > 60 else 0
    found = inspector.history(since, now + 1, seconds=1, together=True)
    return found[0].at if found else None


# --- what is drawn -----------------------------------------------------------------------------------

Numbers = tuple[float | None, ...]
"""One for each column; None where nobody knows, or where there is none."""


class Series(Value, kw_only=True):
    """The columns of a window as numbers. Rates are a second, durations are seconds."""

    came: Numbers
    ended: Numbers
    """In whatever way."""
    dead: Numbers
    wait_p50: Numbers
    wait_p95: Numbers
    run_p50: Numbers
    run_p95: Numbers
    drift: Numbers
    """Jobs that came less those that ended, added up from the first known column on."""


def ended(bucket: Bucket) -> int:
    """How many jobs ended, in whatever way."""
    return bucket.succeeded + bucket.dead + bucket.cancelled + bucket.expired


def elapsed(bucket: Bucket, now: float) -> float:
    """How much of its span is over, in seconds."""
    return max(1.0, min(float(bucket.seconds), int(now) - bucket.at))


def share(bucket: Bucket, at: int, step: int, now: float) -> float:
    """Which part of a bucket's events lies in the column at ``at``: all of it, where it is no wider than the column."""
    over = elapsed(bucket, now)
    first, last = max(float(at), bucket.at), min(at + step, bucket.at + over)
    return max(0.0, last - first) / over


def series(columns: Sequence[Bucket | None], window: Window, now: float) -> Series:
    """The numbers of these columns of a window."""
    came: list[float | None] = []
    done: list[float | None] = []
    dead: list[float | None] = []
    drift: list[float | None] = []
    added = 0.0
    for number, bucket in enumerate(columns):
        if bucket is None:
            for numbers in (came, done, dead, drift):
                numbers.append(None)
            continue
        over = elapsed(bucket, now)
        came.append(bucket.enqueued / over)
        done.append(ended(bucket) / over)
        dead.append(bucket.dead / over)
        added += (bucket.enqueued - ended(bucket)) * share(bucket, window.at(number), window.step, now)
        drift.append(added)
    waits = [bucket.wait if bucket is not None else None for bucket in columns]
    runs = [bucket.run if bucket is not None else None for bucket in columns]
    return Series(
        came=tuple(came),
        ended=tuple(done),
        dead=tuple(dead),
        drift=tuple(drift),
        wait_p50=tuple(wait.p50 if wait is not None else None for wait in waits),
        wait_p95=tuple(wait.p95 if wait is not None else None for wait in waits),
        run_p50=tuple(run.p50 if run is not None else None for run in runs),
        run_p95=tuple(run.p95 if run is not None else None for run in runs),
    )


def totals(columns: Sequence[Bucket | None], window: Window, now: float) -> tuple[int, int, int]:
    """How many jobs came, ended and died in the window."""
    came = done = dead = 0.0
    for number, bucket in enumerate(columns):
        if bucket is not None:
            part = share(bucket, window.at(number), window.step, now)
            came += bucket.enqueued * part
            done += ended(bucket) * part
            dead += bucket.dead * part
    return round(came), round(done), round(dead)


def peak(*numbers: Collection[float | None]) -> float:
    """The largest of them; 0 when there are none."""
    return max((value for each in numbers for value in each if value is not None), default=0.0)
