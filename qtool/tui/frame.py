"""What is on the screen, as text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App


def text_of(app: App[Any]) -> str:
    """The screen as lines of text, without trailing blanks."""
    from rich.console import Console

    width, height = app.size
    console = Console(width=width, height=height, file=io.StringIO(), record=True, legacy_windows=False)
    screens = app._background_screens
    console.print(app.screen._compositor.render_update(full=True, screen_stack=screens))
    lines = console.export_text().split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"
