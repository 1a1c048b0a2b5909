"""What happens, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from qtool.engine.events import Events as Looking
from qtool.engine.events import News, Occurrence
from qtool.engine.filter import parse
from qtool.tui.happened import EVENTS, MOST, Log, sampling
from qtool.tui.screens.jobs import known_words
from qtool.tui.targets import Targets, one_job
from qtool.tui.view import View
from qtool.tui.widgets.filterline import FilterLine
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget

    from qtool.engine.broker import Adapter
    from qtool.tui.poller import Answer


class Events(View):
    """A list that grows at its end; it stays there unless somebody goes up."""

    MODE = "events"
    AUTO_FOCUS = "#events"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="events.filter", priority=True),
        Binding("d", "describe", "Describe", show=False, id="events.describe"),
        Binding("escape", "back", "Back", show=False, id="events.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._looking = Looking()
        self._log = Log()
        self._news: News | None = None
        self._text = ""
        self._wrong: str | None = None
        self._follow = True

    def body(self) -> Sequence[Widget]:
        grid = Grid[Occurrence](EVENTS, lambda event: event.key, empty="Looking…", id="events")
        return [FilterLine(lambda: known_words((), self.store), id="filter"), grid]

    @property
    def grid(self) -> Grid[Occurrence]:
        """The table."""
        return self.query_one("#events", Grid)

    def orders(self) -> Sequence[str]:
        # What happened stays in the order in which it did.
        return ()

    # --- looking -------------------------------------------------------------------------------------

    def seen(self) -> None:
        sight = self.store.sight
        if sight is None or (self.store.frozen and self._news is not None):
            return
        looking = self._looking

        def look(adapter: Adapter) -> News:
            return looking.look(adapter.inspector, sight)

        self.ask("news", look, self._take)

    def _take(self, answer: Answer) -> None:
        self._wrong = str(answer.error) if answer.error is not None else None
        if answer.error is None:
            first, self._news = self._news is None, answer.value
            if self._log.add(answer.value) or first:
                self._show()
        self._tell()

    def _show(self) -> None:
        grid, rows = self.grid, self._log.rows
        grid.empty = (
            "Nothing has happened that matches." if self._text else self.store.nothing("Nothing has happened yet.")
        )
        follow = self._follow and not self.store.frozen
        grid.show(rows, cursor=max(0, len(rows) - 1) if follow else None)

    def _tell(self) -> None:
        """Bring the line above the table up to date."""
        news, log = self._news, self._log
        left: list[tuple[str, str]] = [(" ", "")]
        if self._wrong is not None:
            left += [(f"✗ {self._wrong}  ", "bad")]
        left += [(f"/{self._text}  ", "value")] if self._text else []
        said = sampling(news) if news is not None else ""
        left += [(f" {said} ", "chosen")] if said else [("all that happens", "label")]
        place = "" if self._follow else "G follows  "
        most = f", the last {MOST:,} are kept" if log.count >= MOST else ""
        shown = f"{len(log.rows):,} of {log.count:,}" if self._text else f"{log.count:,}"
        self.query_one("#filter", FilterLine).tell(self._text, left, f"{place}{shown} events{most} ")

    # --- keys ----------------------------------------------------------------------------------------

    def targets(self) -> Targets | None:
        event = self.grid.current
        if event is None:
            return None
        if event.job is not None:
            # How it stands by now is not known here.
            return one_job(event.job.id, None)
        if event.worker is not None:
            return Targets(what=f"worker {event.worker.host} {event.worker.pid}", worker=event.worker.id)
        return Targets(what=f"queue {event.queue}", queue=event.queue) if event.queue is not None else None

    def on_grid_moved(self) -> None:
        grid = self.grid
        self._follow = grid.place >= len(grid.rows) - 1
        self._tell()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        row: Occurrence = event.row
        if row.job is not None:
            self.top.show_job(row.job.id)
        elif row.worker is not None:
            self.top.show_worker(row.worker.id)
        elif row.queue is not None:
            self.top.show_jobs(queue=row.queue)

    def action_describe(self) -> None:
        self.grid.action_open()

    def action_filter(self) -> None:
        self.query_one("#filter", FilterLine).edit()

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        self._choose(event.text)

    def on_filter_line_closed(self) -> None:
        self.grid.focus()

    def _choose(self, text: str) -> None:
        """Show only what matches this filter."""
        self._text = text
        self._log.want(parse(text) if text else None)
        self._follow = True
        self._show()
        self._tell()

    def action_back(self) -> None:
        if self._text:
            self._choose("")
        else:
            self.top.action_leave(False)
