"""Writing a note, over the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from qtool.engine.notes import LONGEST, check_note
from qtool.errors import BadName
from qtool.output import clean

if TYPE_CHECKING:
    from textual.app import ComposeResult


class WriteNote(ModalScreen[str]):
    """Gives the text; None when nothing is to be written down."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="note.cancel")]

    def __init__(self, moment: str, *, production: str | None) -> None:
        """``moment``: what it is about, for people. ``production``: the name of what has to be guarded."""
        super().__init__(classes="-guarded" if production is not None else "")
        self._moment = moment
        self._production = production

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            if self._production is not None:
                dialog.border_title = Text(f"PRODUCTION {clean(self._production)}")
            yield Label(Text(f"A note for {self._moment}"), classes="dialog--title")
            yield Input(placeholder="deploy 1.4", max_length=LONGEST, compact=True, id="note-text")
            yield Label(Text("⏎ writes it down for everybody, esc does not", "dim"), classes="dialog--keys")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(check_note(event.value))
        except BadName as error:
            self.query_one(".dialog--keys", Label).update(Text(str(error), "bold"))
