"""Pictures of numbers in braille cells: two columns and four levels in each. No Textual, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from qtool.engine.value import Value

LEVELS = 4
"""Levels of a cell."""
ACROSS = 2
"""Columns of a cell."""

_DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""The dots of a cell's left and right column, from the lowest up."""

_BELOW = tuple(tuple(sum(dots[:count]) for count in range(LEVELS + 1)) for dots in _DOTS)
"""The lowest dots of each column, by how many of them."""


class Trace(Value):
    """One line of numbers of a chart."""

    numbers: Sequence[float | None]
    """One for each column, none below zero; None leaves a gap."""
    style: str
    """How whoever draws it calls its style."""
    filled: bool = True
    """Down to the base; otherwise it is a line."""


class Raster:
    """So many cells, and which trace owns each."""

    def __init__(self, cells: int, rows: int) -> None:
        self.cells = cells
        self.rows = rows
        self._bits = [bytearray(cells) for _ in range(rows)]
        """By row, from the base on."""
        self._owner = [bytearray(cells) for _ in range(rows)]
        """The number of the trace that was drawn there first, from 1 on."""
        self._styles = [""]

    def draw(self, trace: Trace, top: float) -> None:
        """Add a trace; ``top`` reaches the last level, and what is more ends there."""
        self._styles.append(trace.style)
        owner, before = len(self._styles) - 1, 0
        for column, number in enumerate(trace.numbers[: self.cells * ACROSS]):
            level = height(number, top, self.rows * LEVELS)
            if trace.filled:
                self._fill(column, 0, level, owner)
            elif level:
                # The line goes up in the column that is higher, so that the highest dot of each is its own number.
                self._fill(column, min(level - 1, before or level - 1), level, owner)
                if before > level:
                    self._fill(column - 1, level - 1, before, owner)
            before = level

    def _fill(self, column: int, first: int, last: int, owner: int) -> None:
        """Set the dots from ``first`` until before ``last``, counted from the base."""
        cell, side = divmod(column, ACROSS)
        below = _BELOW[side]
        for row in range(first // LEVELS, -(-last // LEVELS)):
            base = row * LEVELS
            upper = below[min(LEVELS, last - base)]
            self._bits[row][cell] |= upper & ~below[first - base] if first > base else upper
            if not self._owner[row][cell]:
                self._owner[row][cell] = owner

    def lines(self, *, hanging: bool = False) -> list[tuple[str, list[str]]]:
        """The rows from the top down: their characters, and the style of each; ``hanging`` grows down from its base."""
        order = range(self.rows) if hanging else range(self.rows - 1, -1, -1)
        flip = _FLIPPED if hanging else _PLAIN
        return [
            (
                "".join([flip[bits] for bits in self._bits[row]]),
                [self._styles[number] for number in self._owner[row]],
            )
            for row in order
        ]


def height(number: float | None, top: float, levels: int) -> int:
    """How many levels a number is high: at least one where there is something, and all of them from ``top`` on."""
    if number is None or not number > 0:
        return 0
    return max(1, min(levels, round(number / top * levels)))


def _flip(bits: int) -> int:
    flipped = 0
    for dots in _DOTS:
        for dot, opposite in zip(dots, reversed(dots), strict=True):
            flipped |= opposite if bits & dot else 0
    return flipped


_PLAIN = [chr(0x2800 + bits) if bits else " " for bits in range(256)]
_FLIPPED = [_PLAIN[_flip(bits)] for bits in range(256)]
