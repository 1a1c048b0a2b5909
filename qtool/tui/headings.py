"""The columns of a list: which are shown, how wide, and by which the rows are sorted. No Textual here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.cells import cell_len

from qtool.tables import Column, layout
from qtool.tui.memory import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = TypeVar("Row")

GAP = 1
"""Cells between two columns."""
MARGIN = 2
"""Cells before the first column: what is marked, and where one stands."""


class Headings(Generic[Row]):
    """The columns that a list has, those that somebody wants of them, and their places for the rows in sight."""

    def __init__(self, offered: Sequence[Column[Row]]) -> None:
        self.offered = tuple(offered)
        """All of them, in the order they come with."""
        self.shape = Shape()
        """How somebody wants them."""
        self.columns = self.offered
        """Those that are wanted; shown where there is room."""
        self.laid: list[tuple[Column[Row], int]] = []
        """Those that are shown, with their widths."""
        self._widths: list[int] = []
        """As wide as each column has ever had to be: columns that jump are hard to read."""
        self.wear(self.shape)

    def wear(self, shape: Shape, offered: Sequence[Column[Row]] | None = None) -> None:
        """Have these columns, in that shape. What it names and they have not is passed over."""
        self.offered = self.offered if offered is None else tuple(offered)
        self.shape = shape
        self.columns = _chosen(self.offered, shape)
        self._widths = [0] * len(self.columns)

    def sorted(self, rows: Sequence[Row]) -> Sequence[Row]:
        """In the order that is wanted; as they come where none is."""
        by = next((each.order for each in self.offered if each.head == self.shape.sort), None)
        return sorted(rows, key=by, reverse=self.shape.descending) if by is not None else rows

    def arrange(self, seen: Sequence[Row], room: int) -> None:
        """Lay them out in so many cells for the rows in sight."""
        natural, filled = [0] * len(self.columns), [not seen] * len(self.columns)
        for index, column in enumerate(self.columns):
            width = max(self._widths[index], len(self.head(column)), column.wide)
            for row in seen:
                text = column.cell(row)
                filled[index] |= bool(text)
                width = max(width, cell_len(text) if not text.isascii() else len(text))
            # A text that somebody wrote may be of any length: no reason to remember it.
            self._widths[index] = 0 if column.least else width
            natural[index] = width
        self.laid = [(self.columns[at], width) for at, width in layout(self.columns, natural, filled, room, GAP)]
        spare = room - sum(width + GAP for _, width in self.laid) + GAP
        if spare > 0 and self.laid and not self.laid[-1][0].right:
            column, width = self.laid[-1]
            self.laid[-1] = (column, width + spare)

    def head(self, column: Column[Row]) -> str:
        """What stands over it: its heading, with an arrow where the rows are sorted by it."""
        if column.head != self.shape.sort or column.order is None:
            return column.head
        return column.head + ("↓" if self.shape.descending else "↑")

    def at(self, x: int) -> Column[Row] | None:
        """The column at this cell of a line."""
        end = MARGIN
        for column, width in self.laid:
            end += width + GAP
            if x < end:
                return column
        return None


def turned(shape: Shape, column: Column[Row]) -> Shape:
    """Sorted by this column; by its other end where it already is. Numbers begin with the largest."""
    again = shape.sort == column.head
    return replace(shape, sort=column.head, descending=not shape.descending if again else column.right)


def _chosen(offered: Sequence[Column[Row]], shape: Shape) -> tuple[Column[Row], ...]:
    if not shape.columns:
        return tuple(offered)
    by_head = {column.head: column for column in offered}
    heads = [head for head in shape.columns if head in by_head]
    heads += [head for head in by_head if head not in shape.columns and head not in shape.hidden]
    # Whoever chose an order chose what matters most: where there is no room the last goes first.
    return tuple(replace(by_head[head], rank=place) for place, head in enumerate(heads)) or tuple(offered)
