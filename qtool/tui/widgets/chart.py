"""Shows a picture of lines with named styles, and tells what the mouse does on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from qtool.tui.charting import Line


class Chart(Widget):
    """Draws the lines it is given; of the styles' names in them it makes component classes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{name}"
        for name in (
            "title dim live head value axis note cursor here in out dead drift p50 p95 error".split()  # noqa: SIM905  as they are read
        )
    }

    class Resized(Message):
        """There is another number of cells to draw in."""

    class Pointed(Message):
        """Somebody clicked on this cell of a line."""

        def __init__(self, x: int) -> None:
            super().__init__()
            self.x = x

    class Turned(Message):
        """The wheel was turned over this cell: up (1) or down (-1); ``across`` to the side, or with shift."""

        def __init__(self, by: int, x: int, *, across: bool) -> None:
            super().__init__()
            self.by = by
            self.x = x
            self.across = across

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._styles: dict[str, Style] = {}

    def show(self, lines: Sequence[Line]) -> None:
        """Show these from now on."""
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        line = self._lines[y] if y < len(self._lines) else ()
        segments = [Segment(text, base + self._style(name)) for text, name in line]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"chart--{name}", partial=True) if name else Style.null()
        return self._styles[name]

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Pointed(event.x))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._turned(event, 1, across=event.shift)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._turned(event, -1, across=event.shift)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        self._turned(event, -1, across=True)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self._turned(event, 1, across=True)

    def _turned(self, event: events.MouseEvent, by: int, *, across: bool) -> None:
        event.stop()
        self.post_message(self.Turned(by, event.x, across=across))
