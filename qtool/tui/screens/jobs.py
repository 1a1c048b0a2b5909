"""The jobs: a window on as many as there are, filtered, marked, found."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from qtool.engine.filter import parse, quote
from qtool.output import clean
from qtool.tui.columns import JOBS_HERE
from qtool.tui.completing import Known
from qtool.tui.lists import keep
from qtool.tui.paging import Paging
from qtool.tui.targets import Targets, marked_or
from qtool.tui.view import View
from qtool.tui.widgets.filterline import FilterLine
from qtool.tui.widgets.findline import FindLine
from qtool.tui.widgets.grid import Grid
from qtool.views.jobs import JobRow
from qtool.views.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from qtool.engine.filter import Filter
    from qtool.tui.listing import Window
    from qtool.tui.store import Store


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
        self._text = ""
        self._all = False
        """All that match are meant, not the marked ones."""
        self._found = ""

    # --- around it -----------------------------------------------------------------------------------

    def body(self) -> Sequence[Widget]:
        grid = Grid[JobRow](JOBS_HERE, lambda row: row.id, empty="Looking…", markable=True, id="jobs")
        return [FilterLine(lambda: known_words(self._window.rows, self.store), id="filter"), FindLine(id="find"), grid]

    @property
    def grid(self) -> Grid[JobRow]:
        """The table."""
        return self.query_one("#jobs", Grid)

    @cached_property
    def _pages(self) -> Paging:
        return Paging(self, self.grid, self._tell)

    @property
    def _window(self) -> Window:
        """The rows that are held."""
        return self._pages.window

    def crumbs(self) -> Sequence[str]:
        return [self._text] if self._text else []

    def targets(self) -> Targets | None:
        window = self._window
        if self._all and window.where is not None:
            return Targets(what=f"all jobs that match {self._text}", where=window.where)
        return marked_or(self.grid.marks, window.rows, self.grid.current)

    # --- the list ------------------------------------------------------------------------------------

    def seen(self) -> None:
        if not (self.store.frozen and self._window.loaded):
            self._pages.refresh()

    def on_grid_edge(self, event: Grid.Edge) -> None:
        if event.far:
            self._pages.jump(event.side)
        else:
            self._pages.near(event.side)

    def on_grid_moved(self) -> None:
        self._pages.moved()
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
        self._text, self._all = text, False
        self.grid.unmark_all()
        self._pages.begin(where, oldest_first=oldest_first)
        self._tell()
        self.tell()

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        if event.text != self._text:
            self.filter(event.text)

    def on_filter_line_closed(self) -> None:
        self.grid.focus()
        self._tell()

    def _tell(self) -> None:
        """Bring the line above the table up to date, and the keys that act."""
        self.weigh()
        pages, window, marks = self._pages, self._window, self.grid.marks
        left: list[tuple[str, str]] = [(" ", "")]
        if pages.wrong is not None:
            left += [(f"✗ {pages.wrong}  ", "bad")]
        left += [(f"/{self._text}", "value")] if self._text else [("all jobs", "label")]
        if window.oldest_first:
            left += [("  oldest first", "label")]
        if self._all:
            left += [("  ", ""), (" ✓ ALL THAT MATCH ", "chosen")]
        elif marks:
            left += [("  ", ""), (f" ✓ {len(marks)} marked ", "chosen")]
        count = "…" if pages.total is None else f"{pages.total:,}"
        more = "" if window.whole_top or not window.loaded else "↑ more above  "
        jobs = "job" if pages.total == 1 else "jobs"
        self.query_one("#filter", FilterLine).tell(self._text, left, f"{more}{count} {jobs} ")

    # --- keys ----------------------------------------------------------------------------------------

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
        if word := self._found:
            none = f"No {'further' if step > 0 else 'earlier'} row holds {clean(word)!r}."
            self._pages.search(word, backwards=step < 0, nothing=lambda: self.notify(none, markup=False))
        else:
            self.notify("f looks for a word first.", markup=False)

    def action_turn(self) -> None:
        window = self._window
        self._begin(window.where, self._text, oldest_first=not window.oldest_first)
        keep(self, self.grid, replace(self.grid.headings.shape, sort=OLDEST if self._window.oldest_first else None))

    def orders(self) -> Sequence[str]:
        return (NEWEST, OLDEST)

    def order(self) -> tuple[str | None, str]:
        return OLDEST if self._window.oldest_first else NEWEST, ""

    def sort_by(self, name: str) -> None:
        if name != self.order()[0]:
            self.action_turn()

    def on_grid_ready(self, event: Grid.Ready) -> None:
        super().on_grid_ready(event)
        if event.grid.headings.shape.sort == OLDEST:
            self._begin(None, "", oldest_first=True)

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
