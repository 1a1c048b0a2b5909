"""Choosing queues, over the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label

from qtool.tables import Column
from qtool.tui.store import QueueLine
from qtool.tui.widgets.grid import Grid
from qtool.views.text import number, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

_COLUMNS: tuple[Column[QueueLine], ...] = (
    Column("QUEUE", lambda line: line.row.queue, least=12),
    Column("READY", lambda line: number(line.row.ready), right=True),
    Column("IN/s", lambda line: rate(line.row.in_rate), right=True),
    Column("OUT/s", lambda line: rate(line.row.out_rate), right=True),
)


class ChooseQueues(ModalScreen[tuple[str, ...]]):
    """Gives the names of the queues, none for all of them; None when nothing was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="queues.close"),
        Binding("a", "all", "All queues", id="queues.all"),
    ]

    def __init__(self, lines: Sequence[QueueLine], chosen: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(Text("The history of"), classes="dialog--title")
            yield Grid[QueueLine](
                _COLUMNS, lambda line: line.row.queue, empty="No queues yet.", markable=True, id="choose-queues"
            )
            yield Label(Text("space marks several, ⏎ chooses, a all, esc closes", "dim"), classes="dialog--keys")

    def on_mount(self) -> None:
        grid = self.query_one("#choose-queues", Grid)
        names = [line.row.queue for line in self._lines]
        if len(self._chosen) > 1:
            grid.marks.update(dict.fromkeys(name for name in self._chosen if name in names))
        grid.styles.height = min(len(self._lines) + 1, max(3, self.size.height - 8)) if self._lines else 3
        grid.show(self._lines)
        if self._chosen:
            grid.go_to(self._chosen[0])
        grid.focus()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        marked = tuple(event.grid.marks)
        self.dismiss(marked or (event.row.row.queue,))

    def action_all(self) -> None:
        self.dismiss(())
