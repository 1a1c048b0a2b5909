"""How jobs ended, and what they wrote."""

from __future__ import annotations

from dataclasses import dataclass

from qtool.engine.states import Reason, State
from qtool.tables import NONE, Column, Table
from qtool.views.jobs import Error
from qtool.views.text import state_style


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRow:
    """A job that was waited for."""

    id: str
    state: State
    reason: Reason | None
    """Why it is dead."""
    error: Error | None
    """What went wrong."""
    exit_code: int | None
    """0 if it succeeded; a command's own; 128 and the signal's number if one ended it; None if it has none."""


ENDS = Table(
    EndRow,
    (
        Column("ID", lambda r: r.id, wide=36),
        Column("STATE", lambda r: str(r.state), wide=9, style=state_style),
        Column("EXIT", lambda r: NONE if r.exit_code is None else str(r.exit_code), right=True),
        Column("ERROR", lambda r: str(r.error or ""), least=10, wide=1_000, style=state_style),
    ),
    id="id",
    live=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """A piece of a job's output."""

    attempt: int | None
    """None: the last one."""
    stream: str
    """``stdout``, ``stderr`` or ``log``."""
    offset: int
    """Where in the attempt's whole output it starts, in bytes; a gap says what was dropped."""
    text: str
    """UTF-8; bytes that are not are lone surrogates."""


CHUNKS = Table(
    ChunkRow,
    (
        Column("STREAM", lambda r: r.stream),
        Column("OFFSET", lambda r: str(r.offset), right=True),
        Column("TEXT", lambda r: r.text, least=20),
    ),
)
