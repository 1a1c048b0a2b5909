"""A dialog that writes text to a file whose name somebody chooses."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from qtool.tui.widgets.filterline import Said

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Save(ModalScreen[None]):
    """Writes to a new file only: what is there already is never overwritten."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="save.cancel"),
    ]

    def __init__(self, title: str, name: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._name = name
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "enter writes it, esc cancels"
            yield Input(self._name, compact=True, select_on_focus=False, id="save-name")
            yield Said(id="save-wrong")

    def on_mount(self) -> None:
        self.query_one("#save-wrong", Said).tell([(f" {len(self._text):,} characters, to a new file", "label")])

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        path = os.path.expanduser(event.value.strip())
        if not path:
            return
        wrong = await asyncio.to_thread(write_new, path, self._text)
        if wrong is not None:
            self.query_one("#save-wrong", Said).tell([(f" ✗ {wrong}", "bad")])
            return
        self.dismiss(None)
        self.app.notify(f"Written to {path}.", markup=False)


def write_new(path: str, text: str) -> str | None:
    """Write ``text`` to a file that is not there yet, readable by its owner only; what is wrong if it cannot be."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return f"{path} is there already: choose another name"
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None
