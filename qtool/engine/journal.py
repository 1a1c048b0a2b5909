"""The seam for what people write down about a moment; :mod:`qtool.engine.notes` says what a note may be."""

from __future__ import annotations

from typing import Protocol

from qtool.engine.value import Value

NOTES = 1000
"""How many notes are listed unless somebody asks for more."""


class Note(Value):
    """What somebody wrote down about a moment."""

    id: int
    """Never given twice."""
    at: float
    text: str
    """One line; as it was written, so that whoever shows it makes it harmless."""


class Journal(Protocol):
    """Keeps what people write down about a moment, as long as the history is kept."""

    def note(self, text: str, at: float | None = None) -> Note:
        """Write it down for this time, or for now. Raises BadName (:func:`qtool.engine.notes.check_note`)."""
        ...

    def notes(self, since: float, until: float, *, limit: int = NOTES) -> list[Note]:
        """The newest ``limit`` of those from ``since`` until before ``until``; oldest first."""
        ...

    def forget(self, id: int) -> Note | None:
        """Take a note back: what it was, None if there is no such note."""
        ...
