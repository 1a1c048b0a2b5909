"""A window on a listing of any size: the rows around one place, kept by key while jobs come, go and change.

The window holds one unbroken stretch of the listing. A :class:`Stretch` says what to ask the broker for; the answer is
folded in where it belongs, in place of what was known there before. No Textual, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool.engine.value import Value
from qtool.views.jobs import JobRow

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector, Page
    from qtool.engine.filter import Filter
    from qtool.engine.job import JobInfo

PAGE = 200
"""Jobs asked for at a time, at most."""

MOST = 1000
"""Rows that are held, at most."""

_LONGEST, _WIDEST, _DEEPEST = 300, 20, 5
"""Characters, items and levels of an argument that a row keeps: a line of a table has no room for more."""


class Stretch(Value, kw_only=True):
    """A part of the listing, as a question."""

    after: int | None
    """The key beside which it begins; None for the end of the listing that it comes from."""
    backwards: bool = False
    """Towards the first row, not towards the last."""
    limit: int = PAGE

    def ask(self, inspector: Inspector, where: Filter | None, *, oldest_first: bool) -> tuple[Page, tuple[JobRow, ...]]:
        """The page of it, and its rows. Raises BrokerError."""
        page = inspector.browse(
            where, after=self.after, limit=min(self.limit, PAGE), oldest_first=oldest_first is not self.backwards
        )
        return page, tuple(map(brief, page.jobs))


class Window:
    """The rows around one place of the listing of ``where``."""

    def __init__(self, where: Filter | None = None, *, oldest_first: bool = False, most: int = MOST) -> None:
        self.where = where
        self.oldest_first = oldest_first
        self.rows: list[JobRow] = []
        self.loaded = False
        """Something was answered."""
        self.whole_top = False
        """When it was asked last, nothing lay before the first row."""
        self.whole_end = False
        """When it was asked last, nothing lay behind the last row."""
        self._most = most
        self._sign = 1 if oldest_first else -1
        self._places: list[int] = []
        """Keys, turned so that they grow from the first row to the last."""
        self._bounds: tuple[int, int] | None = None
        """From which place to which all is known."""

    # --- questions -----------------------------------------------------------------------------------

    def first(self, count: int = PAGE) -> Stretch:
        """The beginning of the listing."""
        return Stretch(after=None, limit=count)

    def last(self) -> Stretch:
        """Its end."""
        return Stretch(after=None, backwards=True)

    def above(self) -> Stretch:
        """What comes before the first row."""
        return Stretch(after=self.key(0), backwards=True)

    def below(self) -> Stretch:
        """What comes behind the last row."""
        return Stretch(after=self.key(len(self.rows) - 1))

    def again(self, start: int, count: int) -> Stretch:
        """The rows from ``start`` on, as they are now."""
        return self.around(self.key(start), count)

    def around(self, key: int | None, count: int = PAGE) -> Stretch:
        """The row with this key and those behind it; without one the beginning."""
        return Stretch(after=None if key is None else key - self._sign, limit=count)

    # --- answers -------------------------------------------------------------------------------------

    def fits(self, stretch: Stretch, page: Page) -> bool:
        """Whether it joins on to what is held."""
        if self._bounds is None:
            return True
        first, last = self._limits(stretch, page)
        known_first, known_last = self._bounds
        return (first is None or first <= known_last + 1) and (last is None or last >= known_first - 1)

    def fold(self, stretch: Stretch, page: Page, rows: tuple[JobRow, ...]) -> None:
        """Put what was answered where it belongs. Rows that it does not join on to are dropped: there are no holes."""
        if not self.fits(stretch, page):
            self.rows, self._places, self._bounds = [], [], None
            self.whole_top = self.whole_end = False
        first, last = self._limits(stretch, page)
        step = -1 if stretch.backwards else 1
        self._without({row.id for row in rows}, first, last)
        start, stop = self._span(first, last)
        self.rows[start:stop] = rows[::step]
        self._places[start:stop] = [self._sign * key for key in page.keys[::step]]
        self.loaded = True
        self.whole_top |= first is None
        self.whole_end |= last is None
        self._know(first, last)

    def _limits(self, stretch: Stretch, page: Page) -> tuple[int | None, int | None]:
        """From which place to which the page tells all; None for as far as there is anything."""
        beside = None if stretch.after is None else self._sign * stretch.after
        reached = self._sign * page.keys[-1] if page.next is not None else None
        if stretch.backwards:
            return reached, None if beside is None else beside - 1
        return None if beside is None else beside + 1, reached

    def _span(self, first: int | None, last: int | None) -> tuple[int, int]:
        """The rows between these places."""
        start = 0 if first is None else bisect_left(self._places, first)
        return start, len(self._places) if last is None else bisect_left(self._places, last + 1)

    def _without(self, ids: set[str], first: int | None, last: int | None) -> None:
        """Drop rows outside of these places whose job has come back elsewhere: it was deleted and enqueued again."""
        start, stop = self._span(first, last)
        for n in reversed([n for n, row in enumerate(self.rows) if row.id in ids and not start <= n < stop]):
            del self.rows[n], self._places[n]

    def _know(self, first: int | None, last: int | None) -> None:
        """All is known in these bounds now, too. An end of the listing is where its last row was: it may grow."""
        if not self._places:
            self._bounds = None
            return
        low, high = self._bounds or (self._places[0], self._places[-1])
        low = self._places[0] if first is None else min(low, first)
        high = self._places[-1] if last is None else max(high, last)
        self._bounds = low, high

    def trim(self, focus: int) -> None:
        """Drop what is farthest from this row, where more is held than should be."""
        over = len(self.rows) - self._most
        if over <= 0:
            return
        start = max(0, min(focus - self._most // 2, over))
        stop = start + self._most
        self.whole_top &= start == 0
        self.whole_end &= stop == len(self.rows)
        self.rows = self.rows[start:stop]
        self._places = self._places[start:stop]
        self._bounds = self._places[0], self._places[-1]

    # --- places --------------------------------------------------------------------------------------

    def key(self, index: int) -> int | None:
        """The key of a row; None where there is none."""
        return self._sign * self._places[index] if 0 <= index < len(self._places) else None

    def nearest(self, key: int) -> int:
        """The row with this key; the one that has moved up into its place where it is gone."""
        return max(0, min(bisect_left(self._places, self._sign * key), len(self._places) - 1))

    def holds(self, key: int) -> bool:
        """Whether a row with this key is here."""
        return bool(self._places) and self.key(self.nearest(key)) == key


def brief(job: JobInfo) -> JobRow:
    """The row of a job with no more of its texts than a line can show, so that a thousand rows stay small."""
    row = JobRow.of(job)
    error = row.error
    if error is not None:
        error = replace(error, message=_cut(error.message), traceback=None)
    return replace(
        row,
        args=[_bounded(value) for value in row.args[:_WIDEST]],
        kwargs={_cut(key): _bounded(value) for key, value in list(row.kwargs.items())[:_WIDEST]},
        message=_cut(row.message) if row.message is not None else None,
        error=error,
    )


def _bounded(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, dict):
        if depth == _DEEPEST:
            return {"…": len(value)} if value else {}
        return {_cut(key): _bounded(each, depth + 1) for key, each in list(value.items())[:_WIDEST]}
    if isinstance(value, list | tuple):
        if depth == _DEEPEST:
            return ["…"] if value else []
        return [_bounded(each, depth + 1) for each in value[:_WIDEST]]
    return value


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
