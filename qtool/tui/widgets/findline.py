"""The line where a word to look for is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FindLine(Input):
    """Hidden until somebody looks for something."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Find", id="find.apply"),
        Binding("escape", "give_up", "Give up", id="find.give_up"),
    ]

    class Wanted(Message):
        """A word to look for."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Nothing is typed any more."""

    def __init__(self, *, id: str) -> None:
        super().__init__(compact=True, id=id, placeholder="find…", select_on_focus=True)

    def on_mount(self) -> None:
        self.display = False

    def edit(self) -> None:
        """Let somebody type."""
        self.display = True
        # At once: what somebody goes on typing is meant for it.
        self.screen.set_focus(self)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = self.value.strip()
        self._close()
        if text:
            self.post_message(self.Wanted(text))

    def action_give_up(self) -> None:
        self._close()

    def _close(self) -> None:
        self.display = False
        self.post_message(self.Closed())
