"""A table and the window on the jobs behind it, kept in step: what is in sight is asked for again and again, what lies
beyond it when somebody comes near, and nothing else. No Textual here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtool.engine.broker import Page
from qtool.engine.filter import Filter, parse, quote
from qtool.engine.value import Value
from qtool.tui.listing import PAGE, Stretch, Window
from qtool.views.jobs import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.tui.poller import Answer
    from qtool.tui.view import View
    from qtool.tui.widgets.grid import Grid

_SIDES = {"above": -1, "below": 1}
Goal = Literal["first", "last"] | int
"""Where the cursor is to go: to an end of what is held, or to the row with this key."""


class Seen(Value):
    """What a look at a stretch brought."""

    window: Window
    """For which it was asked; by now another one may be shown."""
    stretch: Stretch
    to: Goal | None
    page: Page
    rows: tuple[JobRow, ...]
    total: int | None
    """How many match; None where only a walk over the file could tell."""


class Paging:
    """Asks the broker for pages, and shows them."""

    def __init__(self, view: View, grid: Grid[JobRow], changed: Callable[[], object]) -> None:
        """``changed`` is called whenever there is something else to say about what is listed."""
        self.window = Window()
        self.total: int | None = None
        """How many match, as far as that is known."""
        self.wrong: str | None = None
        """Why the broker did not answer."""
        self._view = view
        self._grid = grid
        self._changed = changed
        self._follow = True
        """The cursor stays on the first row, whichever it is."""
        self._pending: set[int] = set()
        """The sides beyond which was asked."""

    def begin(self, where: Filter | None, *, oldest_first: bool) -> None:
        """List what matches from now on, in this order, from its beginning."""
        self.window = Window(where, oldest_first=oldest_first)
        self.total, self._follow = None, True
        self._pending.clear()
        self._grid.empty = "Looking…"
        self._grid.show((), cursor=0)
        self._look("jump", self.window.first(), to="first")
        if not _cheap(where):
            self._count()

    # --- what is asked for ---------------------------------------------------------------------------

    def refresh(self) -> None:
        """See what has become of the rows in sight, and whether there are new ones."""
        window, sight = self.window, self._grid.in_sight
        if not window.rows or self._following:
            self._look("view", window.first(PAGE if not window.loaded else len(sight) + 2))
            return
        self._look("view", window.again(sight.start, len(sight) + 2))
        if sight.start < len(sight):
            self._beyond(-1)

    def near(self, side: int) -> None:
        """Somebody comes near this end of what is held."""
        if self.window.loaded and not self._whole(side):
            self._beyond(side)

    def jump(self, side: int) -> None:
        """Go to this end of all there are."""
        if side < 0:
            self._look("jump", self.window.first(), to="first")
        elif not self._whole(side):
            self._look("jump", self.window.last(), to="last")

    def moved(self) -> None:
        """The cursor is on another row."""
        self._follow = self._grid.place == 0 and self.window.whole_top

    def search(self, word: str, *, backwards: bool, nothing: Callable[[], object]) -> None:
        """Go to the next row that holds the word, however far away it is. ``nothing`` is called where there is none."""
        window, key = self.window, self.window.key(self._grid.place)

        def then(answer: Answer) -> None:
            if answer.error is None and answer.value is None:
                nothing()
            else:
                self._take(answer)

        self._view.ask(
            "find", lambda adapter: _search(adapter, window, word, key, backwards=backwards), then, line="find"
        )

    def _whole(self, side: int) -> bool:
        """Whether nothing lies beyond this end of what is held."""
        return self.window.whole_top if side < 0 else self.window.whole_end

    @property
    def _following(self) -> bool:
        grid = self._grid
        return self._follow and grid.place == 0 and grid.scroll_offset.y == 0

    def _beyond(self, side: int) -> None:
        window = self.window
        if side in self._pending or not window.rows:
            return
        self._pending.add(side)
        self._look(*(("above", window.above()) if side < 0 else ("below", window.below())))

    def _look(self, key: str, stretch: Stretch, *, to: Goal | None = None) -> None:
        """Ask for a stretch. ``to``: where to go in it, whatever was shown before."""
        window = self.window

        def then(answer: Answer) -> None:
            self._pending.discard(_SIDES.get(key, 0))
            self._take(answer)

        self._view.ask(key, lambda adapter: _see(adapter, window, stretch, to), then)

    def _count(self) -> None:
        window = self.window

        def then(answer: Answer) -> None:
            if window is self.window and answer.error is None:
                self.total = answer.value
                self._tell()

        self._view.ask("count", lambda adapter: adapter.inspector.count(window.where), then, line="count")

    # --- what is answered ----------------------------------------------------------------------------

    def _take(self, answer: Answer) -> None:
        self.wrong = str(answer.error) if answer.error is not None else None
        if answer.error is None and answer.value.window is self.window:
            self._fold(answer.value)
        self._tell()

    def _tell(self) -> None:
        if self.window.whole_top and self.window.whole_end:
            self.total = len(self.window.rows)
        self._changed()

    def _fold(self, seen: Seen) -> None:
        window, grid, stretch, to = self.window, self._grid, seen.stretch, seen.to
        follows = self._following
        if seen.total is not None:
            self.total = seen.total
        wanted = to is not None or (follows and stretch == window.first(stretch.limit))
        if not wanted and window.rows and not window.fits(stretch, seen.page):
            # The window has moved since this was asked.
            return
        key = window.key(grid.place)
        window.fold(stretch, seen.page, seen.rows)
        if to is None:
            at = 0 if follows or key is None else window.nearest(key)
        else:
            at = {"first": 0, "last": len(window.rows) - 1}[to] if isinstance(to, str) else window.nearest(to)
            self._follow = to == "first"
        held = window.key(at)
        window.trim(at)
        grid.empty = "No job matches." if window.where is not None else "No jobs yet. 'qtool enqueue' makes the first."
        grid.show(tuple(window.rows), cursor=window.nearest(held) if held is not None else 0)


def _cheap(where: Filter | None) -> bool:
    """Whether counters can tell how many match."""
    return where is None or where.only_queues_and_states


def _see(adapter: Adapter, window: Window, stretch: Stretch, to: Goal | None = None) -> Seen:
    where = window.where
    page, rows = stretch.ask(adapter.inspector, where, oldest_first=window.oldest_first)
    return Seen(window, stretch, to, page, rows, adapter.inspector.count(where) if _cheap(where) else None)


def _search(adapter: Adapter, window: Window, word: str, key: int | None, *, backwards: bool) -> Seen | None:
    """The next row that holds ``word``, and those behind it; None when there is none."""
    said = quote(word)
    text = " or ".join(f"{field}~{said}" for field in ("id", "task", "queue", "args", "error", "worker"))
    where = parse(f"({window.where.text}) and ({text})" if window.where is not None else text)
    next_one = Stretch(after=key, backwards=backwards, limit=1)
    page, _ = next_one.ask(adapter.inspector, where, oldest_first=window.oldest_first)
    if not page.keys:
        return None
    return _see(adapter, window, window.around(page.keys[0]), page.keys[0])
