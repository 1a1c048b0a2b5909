"""The rows of a list, the one where the cursor is, and those that are marked: kept by key while rows come and go.

No Textual here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = TypeVar("Row")


class Rows(Generic[Row]):
    """What a list holds, in the order it is shown."""

    def __init__(self, key: Callable[[Row], str]) -> None:
        self.key = key
        self.all: Sequence[Row] = ()
        self.at = 0
        """The number of the row under the cursor."""
        self.marks: dict[str, None] = {}
        """Keys, in the order they were marked; also of rows that are not here now."""

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.all[self.at] if self.at < len(self.all) else None

    @property
    def current_key(self) -> str | None:
        """Its key."""
        row = self.current
        return None if row is None else self.key(row)

    def find(self, key: str | None) -> int | None:
        """The number of the row with this key."""
        if key is None:
            return None
        return next((number for number, row in enumerate(self.all) if self.key(row) == key), None)

    def take(self, rows: Sequence[Row], cursor: int | None = None) -> int | None:
        """Hold these from now on, with the cursor on its row; or on the one of the number ``cursor``.

        Returns the number that its row has now; None where that is gone and the cursor is beside where it was.
        """
        before = self.current_key
        self.all = rows
        found = cursor if cursor is not None else self.find(before)
        self.at = found if found is not None else self._within(self.at)
        return found

    def go(self, number: int) -> bool:
        """Put the cursor on this row, or on the last one before that; whether that is another than now."""
        before, self.at = self.at, self._within(number)
        return self.at != before

    def _within(self, number: int) -> int:
        return max(0, min(number, len(self.all) - 1))

    # --- marks ---------------------------------------------------------------------------------------

    def is_marked(self, row: Row) -> bool:
        """Whether it is marked."""
        return self.key(row) in self.marks

    def mark(self) -> None:
        """Mark the row under the cursor; take the mark back where it has one."""
        key = self.current_key
        if key in self.marks:
            del self.marks[key]
        elif key is not None:
            self.marks[key] = None

    def mark_range(self) -> None:
        """Mark all rows from the last mark to the cursor."""
        last = self.find(next(reversed(self.marks), None))
        low, high = sorted((self.at if last is None else last, self.at))
        for row in self.all[low : high + 1]:
            self.marks[self.key(row)] = None
