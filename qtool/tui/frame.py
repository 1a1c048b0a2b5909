"""What is on the screen, as text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from textual.app import App


def text_of(app: App[Any]) -> str:
    """The screen as lines of text, without trailing blanks."""
    console = _console(app, None)
    screens = app._background_screens
    console.print(app.screen._compositor.render_update(full=True, screen_stack=screens))
    lines = console.export_text().split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"


def ansi_of(app: App[Any], colors: str) -> str:
    """The screen as lines for a terminal with so many colours: ``truecolor``, ``256``, ``standard``."""
    from rich.segment import Segment, Segments

    console = _console(app, colors)
    for strip in app.screen._compositor.render_strips():
        console.print(Segments([*strip, Segment("\n")]), end="")
    return console.export_text(styles=True)


def _console(app: App[Any], colors: Any) -> Console:
    from rich.console import Console

    width, height = app.size
    return Console(
        width=width,
        height=height,
        file=io.StringIO(),
        record=True,
        legacy_windows=False,
        force_terminal=colors is not None,
        color_system=colors,
    )
