"""Which columns a list has, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from qtool.engine.value import Value
from qtool.tables import Column
from qtool.tui.explain import HEADS
from qtool.tui.memory import Shape
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qtool.tui.headings import Headings


class _Box(Value):
    head: str
    on: bool


class ChooseColumns(ModalScreen[Shape]):
    """Gives what was chosen; None when nothing was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "Show or hide", id="columns.turn", priority=True),
        Binding("J,shift+down", "shift(1)", "Further right", id="columns.right"),
        Binding("K,shift+up", "shift(-1)", "Further left", id="columns.left"),
        Binding("r", "reset", "As it comes", id="columns.reset"),
        Binding("enter", "done", "Keep", id="columns.keep", priority=True),
        Binding("escape,q", "dismiss(None)", "Cancel", id="columns.cancel"),
    ]

    def __init__(self, headings: Headings[Any]) -> None:
        super().__init__()
        shown = [column.head for column in headings.columns]
        rest = [column.head for column in headings.offered if column.head not in shown]
        self._offered = [column.head for column in headings.offered]
        self._boxes = [*(_Box(head, True) for head in shown), *(_Box(head, False) for head in rest)]

    def compose(self) -> ComposeResult:
        columns: tuple[Column[_Box], ...] = (
            Column("", lambda box: "[x]" if box.on else "[ ]"),
            Column("COLUMN", lambda box: box.head, style=lambda box: "bold" if box.on else "dim"),
            Column("WHAT IT SAYS", lambda box: HEADS.get(box.head, ""), least=10),
        )
        with Vertical(classes="dialog", id="choose-columns") as dialog:
            dialog.border_title = "Columns"
            dialog.border_subtitle = "space shows or hides, J K moves, r resets, ⏎ keeps, esc cancels"
            yield Grid[_Box](columns, lambda box: box.head)

    def on_mount(self) -> None:
        grid = self.query_one(Grid)
        grid.styles.height = len(self._boxes) + 1
        grid.show(tuple(self._boxes))
        grid.focus()

    def _at(self) -> int:
        key = self.query_one(Grid).current_key
        return next(number for number, box in enumerate(self._boxes) if box.head == key)

    def action_turn(self) -> None:
        at = self._at()
        box = self._boxes[at]
        if not box.on or sum(each.on for each in self._boxes) > 1:
            self._boxes[at] = _Box(box.head, not box.on)
            self.query_one(Grid).show(tuple(self._boxes))

    def action_shift(self, by: int) -> None:
        at = self._at()
        if 0 <= at + by < len(self._boxes):
            self._boxes[at], self._boxes[at + by] = self._boxes[at + by], self._boxes[at]
            self.query_one(Grid).show(tuple(self._boxes))

    def action_reset(self) -> None:
        self._boxes = [_Box(head, True) for head in self._offered]
        self.query_one(Grid).show(tuple(self._boxes))

    def action_done(self) -> None:
        shown = tuple(box.head for box in self._boxes if box.on)
        # As it comes: no choice, so that the list keeps its own way of giving up columns where there is no room.
        self.dismiss(Shape() if list(shown) == self._offered else Shape(shown, tuple({*self._offered} - {*shown})))
