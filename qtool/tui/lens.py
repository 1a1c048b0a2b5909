"""Which stretch of the history one looks at, where the crosshair is, what is to be asked for. No Textual, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Bucket
from qtool.engine.journal import Note
from qtool.engine.times import format_time
from qtool.engine.value import Value
from qtool.options import any_of
from qtool.tui.braille import ACROSS
from qtool.tui.charting import Sheet
from qtool.tui.timeline import Past, Window, beginning, newest, refresh_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.errors import QtoolError

FIRST_STEP = 5
"""Seconds a column at first: the last quarter of an hour, on a narrow screen."""

_FAR = 1e12
"""Later than any note."""


class Reading(Value, kw_only=True):
    """A slice of the history: the question, and with the last three its answer."""

    number: int
    queues: tuple[str, ...]
    step: int
    since: int
    until: int
    asked_at: float
    beginning: float | None
    buckets: tuple[Bucket, ...] = ()
    notes: tuple[Note, ...] = ()


class Lens:
    """Moves over the history of some queues. Times are seconds, ``now`` is the broker's."""

    def __init__(self) -> None:
        self.queues: tuple[str, ...] = ()
        """None: all of them."""
        self.window = Window(FIRST_STEP, 0, 1)
        self.live = True
        """The window follows the time."""
        self.cursor: int | None = None
        """A time in the column that the crosshair is on."""
        self.notes: tuple[Note, ...] = ()
        self.trouble: str | None = None
        """Why nothing newer is read."""
        self._past = Past()
        self._now = 0.0
        self._asked = 0
        self._pending = False
        self._looked_at = float("-inf")

    # --- what is known -------------------------------------------------------------------------------

    def see(self, now: float, columns: int) -> None:
        """Come to this time, and to so many columns."""
        self._now = now
        step = self.window.step
        end = newest(now, step) if self.live else min(self.window.end, newest(now, step))
        self.window = Window(step, end, columns)

    def choose(self, queues: Sequence[str]) -> None:
        """Be about these queues; none: all of them."""
        if tuple(queues) != self.queues:
            self.queues = tuple(queues)
            self._past.forget()
            self.hurry()

    def hurry(self) -> None:
        """Look again, whatever is on its way."""
        self._pending, self._looked_at = False, float("-inf")

    def question(self) -> Reading | None:
        """What is to be asked now; None while nothing is, or the answer to the last question is on its way."""
        if not self._now or self._pending:
            return None
        again = not 0 <= self._now - self._looked_at < refresh_seconds(self.window.step)
        gap = self._past.missing(self.window, self._now, again=again)
        if gap is None and not again:
            return None
        if again:
            self._looked_at = self._now
        self._asked += 1
        self._pending = True
        since, until = gap or (self.window.end, self.window.end)
        return Reading(
            number=self._asked,
            queues=self.queues,
            step=self.window.step,
            since=since,
            until=until,
            asked_at=self._now,
            beginning=self._past.beginning,
        )

    def learn(self, reading: Reading) -> None:
        """Take in an answer; there may be another question now."""
        self.trouble = None
        self.notes = reading.notes
        self._past.beginning = reading.beginning
        if reading.queues == self.queues:
            self._past.add(reading.step, reading.since, reading.until, reading.buckets, reading.asked_at)
        if reading.number == self._asked:
            self._pending = False

    def fail(self, error: QtoolError) -> None:
        """There is no answer; the next look tries again."""
        self.trouble = str(error)
        self._pending = False

    def sheet(self) -> Sheet | None:
        """What is to be drawn; None before the first look."""
        if not self._now:
            return None
        window = self.window
        return Sheet(
            window=window,
            now=self._now,
            columns=self._past.columns(window),
            notes=self.notes,
            cursor=None if self.cursor is None else window.column(self.cursor),
            queues=self.queues,
            live=self.live,
            reading=self._pending and self._past.missing(window, self._now) is not None,
            trouble=self.trouble,
        )

    def where(self) -> str:
        """A filter for the jobs that ended in the column under the crosshair, or in the whole window."""
        window = self.window
        column = None if self.cursor is None else window.column(self.cursor)
        first, last = (window.start, window.end) if column is None else (window.at(column), window.at(column + 1))
        times = f"finished>={format_time(first)} finished<{format_time(last)}"
        whose = any_of("queue", self.queues)
        return f"({whose}) {times}" if whose is not None else times

    # --- moving --------------------------------------------------------------------------------------

    def zoom(self, by: int, around: int | None = None) -> None:
        """``by`` steps wider, or, negative, finer; around this time or the crosshair, where there is one."""
        self._go(self.window.zoomed(by, self.cursor if around is None else around, self._now))

    def read(self, by: int) -> None:
        """Move the crosshair so many columns; it begins at the newest, and takes the window with it."""
        window = self.window
        at = window.at(window.columns - 1) if self.cursor is None else self.cursor + by * window.step
        self.read_at(min(at, newest(self._now, window.step) - 1))

    def read_at(self, at: int) -> None:
        """Put the crosshair on this time."""
        window = self.window
        if self._past.beginning is not None:
            at = max(at, int(self._past.beginning))
        if at < window.start:
            window = window.moved((at - window.start) // window.step, newest(self._now, window.step))
        elif at >= window.end:
            window = window.moved((at - window.end) // window.step + 1, newest(self._now, window.step))
        self.cursor = at
        self._go(window)

    def pan(self, pages: float) -> None:
        """Move the window so many times its length; a crosshair that it leaves behind is gone."""
        window = self.window
        self._go(window.moved(int(pages * window.columns), newest(self._now, window.step)))
        if self.cursor is not None and self.window.column(self.cursor) is None:
            self.cursor = None

    def first(self) -> None:
        """To the beginning of what is known."""
        if self._past.beginning is not None:
            self.read_at(int(self._past.beginning))

    def latest(self) -> None:
        """Follow the time, without a crosshair."""
        self.cursor = None
        step = self.window.step
        self._go(Window(step, newest(self._now, step), self.window.columns))

    def to_note(self, way: int) -> bool:
        """Put the crosshair on the next note (1) or the one before (-1), as seen from it; False if there is none."""
        window = self.window
        here = self.cursor if self.cursor is not None else window.end
        column = here // window.step * window.step
        latest = newest(self._now, window.step)
        there = [
            note
            for note in self.notes
            if note.at < latest and (note.at >= column + window.step if way > 0 else note.at < column)
        ]
        if there:
            self.read_at(int((there[0] if way > 0 else there[-1]).at))
        return bool(there)

    def notes_here(self) -> list[Note]:
        """Those that the crosshair is on: of the same cell, for that is as fine as a picture tells."""
        place = None if self.cursor is None else self.window.column(self.cursor)
        if place is None:
            return []
        columns = ((note, self.window.column(note.at)) for note in self.notes)
        return [note for note, column in columns if column is not None and column // ACROSS == place // ACROSS]

    def _go(self, window: Window) -> None:
        step, latest = window.step, newest(self._now, window.step)
        earliest = self._past.beginning
        if earliest is not None and window.end <= earliest:
            # Nothing but emptiness: the beginning stays in sight.
            window = Window(step, min(latest, int(earliest) // step * step + step), window.columns)
        if step != self.window.step:
            self.hurry()
        self.window = window
        self.live = window.end >= latest


def answer(wanted: Reading, adapter: Adapter) -> Reading:
    """Ask a broker for it. Raises BrokerError."""
    inspector = adapter.inspector
    began = wanted.beginning if wanted.beginning is not None else beginning(inspector, wanted.asked_at)
    buckets: Sequence[Bucket] = ()
    if wanted.until > wanted.since:
        buckets = inspector.history(
            wanted.since, wanted.until, seconds=wanted.step, queues=wanted.queues, together=True
        )
    return Reading(
        number=wanted.number,
        queues=wanted.queues,
        step=wanted.step,
        since=wanted.since,
        until=wanted.until,
        asked_at=wanted.asked_at,
        beginning=began,
        buckets=tuple(buckets),
        notes=tuple(adapter.journal.notes(0, _FAR)),
    )
