"""What a table tells the screen it is on. A screen hears of it by ``on_grid_moved`` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.message import Message

if TYPE_CHECKING:
    from qtool.tui.widgets.grid import Grid


class About(Message):
    """Something about a row of a grid."""

    def __init__(self, grid: Grid[Any], row: Any) -> None:
        super().__init__()
        self.grid = grid
        self.row = row


class Ready(About, namespace="grid"):
    """It is there: who remembers how it is wanted can say so."""


class Moved(About, namespace="grid"):
    """The cursor is on another row, or on none."""


class Opened(About, namespace="grid"):
    """Somebody wants to see more of a row."""


class Marked(About, namespace="grid"):
    """Other rows are marked than before."""


class Edge(Message, namespace="grid"):
    """What is in sight comes near the first row (-1) or the last (1): there may be more beyond."""

    def __init__(self, grid: Grid[Any], side: int, *, far: bool = False) -> None:
        """``far``: somebody wants the very first or last row there is."""
        super().__init__()
        self.grid = grid
        self.side = side
        self.far = far


class Headed(Message, namespace="grid"):
    """Somebody clicked on a heading."""

    def __init__(self, grid: Grid[Any], head: str) -> None:
        super().__init__()
        self.grid = grid
        self.head = head
