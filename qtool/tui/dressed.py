"""How the program looks: its theme, its mouse, and what it remembers of both and of its lists."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual.app import App
from textual.filter import LineFilter, Monochrome

from qtool.tui.mouse import Mouse
from qtool.tui.sheet import Sheet
from qtool.tui.themes import DARK, MONOCHROME, OWN, Colourless

if TYPE_CHECKING:
    from qtool.tui.memory import Memory


class Dressed(App[None]):
    """A program with our themes."""

    def __init__(self, memory: Memory, *, theme: str | None, mouse: bool) -> None:
        """``theme``: none named is the one that the environment wants, or that is remembered."""
        super().__init__()
        self.memory = memory
        self.mouse = Mouse(self, on=mouse)
        for own in OWN:
            self.register_theme(own)
        kept = memory.theme if memory.theme in self.available_themes else None
        # Textual makes grey of colours where NO_COLOR is set; here colours are left out, and that is a theme.
        self._filters: list[LineFilter] = [each for each in self._filters if not isinstance(each, Monochrome)]
        self._colourless = Colourless(enabled=False)
        self._filters.append(self._colourless)
        self.theme = theme or (MONOCHROME.name if os.environ.get("NO_COLOR") else kept or DARK.name)
        self.stylesheet = Sheet(self.get_css_variables())

    def watch_theme(self, theme: str) -> None:
        self.no_color = self._colourless.enabled = theme == MONOCHROME.name

    def wear(self, theme: str) -> None:
        """Change the theme, and remember it."""
        self.theme = theme
        self.memory.keep_theme(theme)

    def action_mouse(self) -> None:
        """Leave the mouse to the terminal, or take it back."""
        self.mouse.switch(not self.mouse.on)

    def say_trouble(self) -> None:
        """Say, once, what is wrong with the memory."""
        if (trouble := self.memory.trouble()) is not None:
            self.notify(trouble, severity="warning", markup=False)
