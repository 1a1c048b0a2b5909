"""The jobs: a window on as many as there are, filtered, marked, found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.widgets import Input

from qtool.engine.broker import Page
from qtool.engine.filter import Filter, parse, quote
from qtool.engine.value import Value
from qtool.output import clean
from qtool.tui.completing import Known
from qtool.tui.listing import PAGE, Stretch, Window
from qtool.tui.targets import Targets
from qtool.tui.view import View
from qtool.tui.widgets.filterline import FilterLine
from qtool.tui.widgets.findline import FindLine
from qtool.tui.widgets.grid import Grid
from qtool.views.jobs import JOBS, JobRow
from qtool.views.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from qtool.engine.broker import Adapter
    from qtool.tui.poller import Answer
    from qtool.tui.store import Store

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


def of_queue(queue: str) -> str:
    """The filter for the jobs of a queue."""
    plain = queue.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return f"queue:{queue}" if plain and queue.isascii() else f"queue={quote(queue)}"


NEWEST, OLDEST = "newest first", "oldest first"
"""By what the list can be sorted: a page of it comes from the broker in either order, and in no other."""


class Jobs(View):
    """A virtual list: only the rows around the cursor are held, and only those in sight are asked for again."""

    MODE = "jobs"
    AUTO_FOCUS = "#jobs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="jobs.filter", priority=True),
        Binding("f", "find", "Find", id="jobs.find", priority=True),
        Binding("n", "again(1)", "The next that was found", show=False, id="jobs.next"),
        Binding("N", "again(-1)", "The one found before", show=False, id="jobs.previous"),
        Binding("asterisk", "all", "All that match", id="jobs.all"),
        Binding("o", "turn", "Oldest or newest first", show=False, id="jobs.turn"),
        Binding("d", "open", "Describe", show=False, id="jobs.describe"),
        Binding("l", "open('log')", "Log", id="jobs.log"),
        Binding("y", "copy", "Copy ids", show=False, id="jobs.copy"),
        Binding("escape", "back", "Back", show=False, id="jobs.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._window = Window()
        self._text = ""
        self._total: int | None = None
        self._all = False
        """All that match are meant, not the marked ones."""
        self._follow = True
        """The cursor stays on the first row, whichever it is."""
        self._pending: set[int] = set()
        """The sides beyond which was asked."""
        self._found = ""
        self._wrong: str | None = None

    # --- around it -----------------------------------------------------------------------------------

    def body(self) -> Sequence[Widget]:
        grid = Grid[JobRow](JOBS.columns, lambda row: row.id, empty="Looking…", markable=True, id="jobs")
        return [FilterLine(lambda: known_words(self._window.rows, self.store), id="filter"), FindLine(id="find"), grid]

    @property
    def grid(self) -> Grid[JobRow]:
        """The table."""
        return self.query_one("#jobs", Grid)

    def crumbs(self) -> Sequence[str]:
        return [self._text] if self._text else []

    def targets(self) -> Targets | None:
        window, marks = self._window, tuple(self.grid.marks)
        if self._all and window.where is not None:
            return Targets(what=f"all jobs that match {self._text}", where=window.where)
        if marks:
            return Targets(what=f"{len(marks)} marked job{'s' if len(marks) > 1 else ''}", ids=marks)
        row = self.grid.current
        if row is None:
            return None
        return Targets(what=f"job {short(row.id)}", ids=(row.id,), states=frozenset({row.state}))

    # --- the window ----------------------------------------------------------------------------------

    def seen(self) -> None:
        window, grid = self._window, self.grid
        if self.store.frozen and window.loaded:
            return
        sight = grid.in_sight
        if not window.rows or self._following:
            self._look("view", window.first(PAGE if not window.loaded else len(sight) + 2))
            return
        self._look("view", window.again(sight.start, len(sight) + 2))
        if sight.start < len(sight):
            self._beyond(-1)

    @property
    def _following(self) -> bool:
        grid = self.grid
        return self._follow and grid.place == 0 and grid.scroll_offset.y == 0

    def _look(self, key: str, stretch: Stretch, *, to: Goal | None = None) -> None:
        """Ask for a stretch. ``to``: where to go in it, whatever was shown before."""
        window = self._window

        def then(answer: Answer) -> None:
            self._pending.discard(_SIDES.get(key, 0))
            self._take(answer)

        self.ask(key, lambda adapter: _see(adapter, window, stretch, to), then)

    def _take(self, answer: Answer) -> None:
        self._wrong = str(answer.error) if answer.error is not None else None
        if answer.error is None and answer.value.window is self._window:
            self._fold(answer.value)
        self._tell()

    def _fold(self, seen: Seen) -> None:
        window, grid, stretch, to = self._window, self.grid, seen.stretch, seen.to
        follows = self._following
        if seen.total is not None:
            self._total = seen.total
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

    def _beyond(self, side: int) -> None:
        window = self._window
        if side in self._pending or not window.rows:
            return
        self._pending.add(side)
        self._look(*(("above", window.above()) if side < 0 else ("below", window.below())))

    def on_grid_edge(self, event: Grid.Edge) -> None:
        window = self._window
        whole = window.whole_top if event.side < 0 else window.whole_end
        if event.far and not (whole and event.side > 0):
            if event.side < 0:
                self._look("jump", window.first(), to="first")
            else:
                self._look("jump", window.last(), to="last")
        elif window.loaded and not whole:
            self._beyond(event.side)

    def on_grid_moved(self, event: Grid.Moved) -> None:
        self._follow = event.grid.place == 0 and self._window.whole_top
        self._tell()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        row: Any = event.row
        self.top.show_job(row.id)

    def on_grid_marked(self) -> None:
        self._all = False
        self._tell()

    # --- the filter ----------------------------------------------------------------------------------

    def filter(self, text: str) -> None:
        """List the jobs that match from now on; all of them for an empty text. Raises BadFilter."""
        self._begin(parse(text) if text else None, text, oldest_first=self._window.oldest_first)

    def _begin(self, where: Filter | None, text: str, *, oldest_first: bool) -> None:
        self._window = Window(where, oldest_first=oldest_first)
        self._text, self._total, self._all, self._follow = text, None, False, True
        self._pending.clear()
        self.grid.unmark_all()
        self.grid.empty = "Looking…"
        self.grid.show((), cursor=0)
        self._look("jump", self._window.first(), to="first")
        if not _cheap(where):
            self._count()
        self._tell()
        self.tell()

    def _count(self) -> None:
        window = self._window

        def then(answer: Answer) -> None:
            if window is self._window and answer.error is None:
                self._total = answer.value
                self._tell()

        self.ask("count", lambda adapter: adapter.inspector.count(window.where), then, line="count")

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        if event.text != self._text:
            self.filter(event.text)

    def on_filter_line_closed(self) -> None:
        self.grid.focus()
        self._tell()

    def _tell(self) -> None:
        """Bring the line above the table up to date, and the keys that act."""
        self.weigh()
        window, grid = self._window, self.grid
        left: list[tuple[str, str]] = [(" ", "")]
        if self._wrong is not None:
            left += [(f"✗ {self._wrong}  ", "bad")]
        left += [(f"/{self._text}", "value")] if self._text else [("all jobs", "label")]
        if window.oldest_first:
            left += [("  oldest first", "label")]
        if self._all:
            left += [("  ", ""), (" ✓ ALL THAT MATCH ", "chosen")]
        elif grid.marks:
            left += [("  ", ""), (f" ✓ {len(grid.marks)} marked ", "chosen")]
        if window.whole_top and window.whole_end:
            self._total = len(window.rows)
        count = "…" if self._total is None else f"{self._total:,}"
        more = "" if window.whole_top or not window.loaded else "↑ more above  "
        jobs = "job" if self._total == 1 else "jobs"
        self.query_one("#filter", FilterLine).tell(self._text, left, f"{more}{count} {jobs} ")

    # --- keys ----------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # These come before all else, so that a burst of keys after them is typed where it is meant to be; but who
        # types writes these characters too.
        if action in ("filter", "find") and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self.query_one("#filter", FilterLine).edit()

    def action_find(self) -> None:
        self.query_one("#find", FindLine).edit()

    def on_find_line_closed(self) -> None:
        self.grid.focus()

    def on_find_line_wanted(self, event: FindLine.Wanted) -> None:
        self._found = event.text
        self.action_again(1)

    def action_again(self, step: int) -> None:
        """Go to the next row below (1) or above (-1) that holds the word, however far away it is."""
        word, window, key = self._found, self._window, self._window.key(self.grid.place)
        if not word:
            self.notify("f looks for a word first.", markup=False)
            return

        def then(answer: Answer) -> None:
            if answer.error is None and answer.value is None:
                self.notify(f"No {'further' if step > 0 else 'earlier'} row holds {clean(word)!r}.", markup=False)
            else:
                self._take(answer)

        self.ask("find", lambda adapter: _search(adapter, window, word, key, backwards=step < 0), then, line="find")

    def action_turn(self) -> None:
        window = self._window
        self._begin(window.where, self._text, oldest_first=not window.oldest_first)

    def orders(self) -> Sequence[str]:
        return (NEWEST, OLDEST)

    def order(self) -> tuple[str | None, str]:
        return OLDEST if self._window.oldest_first else NEWEST, ""

    def sort_by(self, name: str) -> None:
        if name != self.order()[0]:
            self.action_turn()

    def action_all(self) -> None:
        if self._window.where is None:
            self.notify("Filter first: / says which jobs are meant.", markup=False)
            return
        self._all = not self._all
        self.grid.unmark_all()
        self._tell()

    def action_open(self, pane: str = "") -> None:
        row = self.grid.current
        if row is not None:
            self.top.show_job(row.id, pane)

    def action_copy(self) -> None:
        row = self.grid.current
        ids = tuple(self.grid.marks) or ((row.id,) if row is not None else ())
        if ids:
            self.app.copy_to_clipboard("\n".join(ids))
            self.notify(f"Copied {short(ids[0]) if len(ids) == 1 else f'{len(ids)} ids'}.", markup=False)

    def action_back(self) -> None:
        if self._all or self.grid.marks:
            self._all = False
            self.grid.unmark_all()
            self._tell()
        elif self._text:
            self.filter("")
        else:
            self.top.action_leave(False)


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


def known_words(rows: Iterable[JobRow], store: Store) -> Known:
    """The words that a filter may be completed with: those that are on the screens."""
    tags: dict[str, dict[str, None]] = {}
    tasks = {job.task for job in store.sight.running} if store.sight is not None else set()
    for row in rows:
        tasks.add(row.task)
        for name, value in row.tags.items():
            tags.setdefault(name, {})[str(value)] = None
    return Known(
        queues=tuple(line.row.queue for line in store.queues),
        tasks=tuple(sorted(tasks)),
        workers=tuple(line.row.id for line in store.workers),
        tags={name: tuple(sorted(values)) for name, values in sorted(tags.items())},
    )
