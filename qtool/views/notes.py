"""Notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qtool.engine.journal import Note
from qtool.tables import Column, Table
from qtool.views.text import ago, always, sure_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRow:
    """What somebody wrote down about a moment."""

    id: int
    """What ``--remove`` takes."""
    at: datetime
    """The moment it is about."""
    text: str

    @classmethod
    def of(cls, note: Note) -> NoteRow:
        """The row of a note."""
        return cls(id=note.id, at=sure_moment(note.at), text=note.text)


NOTES = Table(
    NoteRow,
    (
        Column("ID", lambda r: str(r.id), right=True, style=always("dim")),
        Column("TIME", lambda r: f"{r.at.astimezone():%Y-%m-%d %H:%M:%S}"),
        Column("AGO", lambda r: ago(r.at), right=True, rank=1, style=always("dim")),
        Column("NOTE", lambda r: r.text, least=10, wrap=True, style=always("bold")),
    ),
    id="id",
    empty="No notes in that time. 'qtool note TEXT' writes one.",
)
