"""A list to choose one thing from, over the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from qtool.engine.value import Value
from qtool.output import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.events import Key

    from qtool.tui.app import Top


class Choice(Value):
    """One line of a menu."""

    name: str
    hint: str = ""
    """What stands behind it, dimmed."""
    here: bool = False
    """It is what holds now: the cursor begins there."""


class Menu(ModalScreen[int]):
    """Gives the number of what was chosen; None when nothing was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="menu.close"),
        Binding("down,j", "list('cursor_down')", "Down", show=False, id="menu.down"),
        Binding("up,k", "list('cursor_up')", "Up", show=False, id="menu.up"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], more: str = "") -> None:
        """``more`` is said below, beside what the keys do."""
        super().__init__()
        self._more = f", {more}" if more else ""
        self._title = title
        self._choices = choices
        self._keys = list(letters(choice.name for choice in choices))

    def compose(self) -> ComposeResult:
        wide = max((len(choice.name) for choice in self._choices), default=0)
        lines = []
        for letter, choice in zip(self._keys, self._choices, strict=True):
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(f"{letter or ' '} ", "bold underline" if letter else "").append("▸ " if choice.here else "  ")
            line.append(f"{clean(choice.name):<{wide}}").append(f"  {clean(choice.hint)}" if choice.hint else "", "dim")
            lines.append(Option(line))
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = f"a letter or ⏎ chooses{self._more}, esc closes"
            yield OptionList(*lines, compact=True)

    def on_mount(self) -> None:
        options = self.query_one(OptionList)
        options.highlighted = next((n for n, choice in enumerate(self._choices) if choice.here), 0)
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)

    def on_key(self, event: Key) -> None:
        if event.character and event.character in self._keys:
            event.stop()
            self.dismiss(self._keys.index(event.character))

    def action_list(self, action: str) -> None:
        getattr(self.query_one(OptionList), f"action_{action}")()


def letters(names: Iterator[str]) -> Iterator[str]:
    """A letter for each, the first of its own that is free and moves no cursor; empty where none is left."""
    taken = set("jkq")
    for name in names:
        letter = next((char for char in name.lower() if char.isascii() and char.isalnum() and char not in taken), "")
        taken.add(letter)
        yield letter


def choose_place(top: Top) -> None:
    """Choose another broker to look at."""

    def chosen(number: int | None) -> None:
        if number is not None and (place := top.places[number]) is not top.place:
            top.go_to(place)

    if not top.places:
        top.notify("'qtool context add NAME URL' names one.", title="No contexts")
        return
    lines = [Choice(place.where, place.hint, place is top.place) for place in top.places]
    top.push_screen(Menu("Look at", lines), chosen)
