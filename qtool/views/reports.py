"""What acting did: to jobs, to queues."""

from __future__ import annotations

from dataclasses import dataclass

from qtool.engine.broker import Change
from qtool.engine.freight import Moved
from qtool.engine.states import State
from qtool.tables import Column, Table
from qtool.views.text import STYLES, always, number


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What became of one job."""

    id: str
    before: State | None
    """None: no such job."""
    after: State | None
    """None: there is none any more."""
    changed: bool
    """Whether something happened, or was asked for; in a dry run, whether it would."""
    note: str | None
    """Why nothing happened, or what was asked for."""

    @classmethod
    def of(cls, change: Change) -> ReportRow:
        """The row of a change."""
        return cls(id=change.id, before=change.before, after=change.after, changed=change.changed, note=change.note)


REPORTS = Table(
    ReportRow,
    (
        Column("ID", lambda r: r.id),
        Column("WAS", lambda r: str(r.before or "unknown"), style=lambda r: STYLES.get(r.before or "", "red")),
        Column(
            "IS",
            lambda r: str(r.after or ("gone" if r.before else "")),
            style=lambda r: STYLES.get(r.after or "", "dim"),
        ),
        Column("NOTE", lambda r: r.note or ("" if r.changed else "nothing changed"), least=10, style=always("dim")),
    ),
    id="id",
    empty="No job was touched.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRow:
    """What became of one job that was to be moved."""

    id: str
    state: State | None
    """None: no such job."""
    queue: str | None
    """Where it was."""
    to: str | None
    """The broker it was to go to; None for the same one."""
    into: str | None
    """The queue where it is now."""
    moved: bool
    """In a dry run, whether it would be."""
    note: str | None
    """Why it stays."""

    @classmethod
    def of(cls, moved: Moved, to: str | None) -> MoveRow:
        """The row of what became of a job on its way to the broker ``to``."""
        return cls(
            id=moved.id,
            state=moved.state,
            queue=moved.queue,
            to=to,
            into=moved.into,
            moved=moved.moved,
            note=moved.note,
        )


MOVES = Table(
    MoveRow,
    (
        Column("ID", lambda r: r.id),
        Column("STATE", lambda r: str(r.state or "unknown"), style=lambda r: STYLES.get(r.state or "", "red")),
        Column("QUEUE", lambda r: r.queue or "", style=always("bold")),
        Column("INTO", lambda r: (r.into or "") if r.moved else "", style=always("bold")),
        Column("NOTE", lambda r: r.note or ("" if r.moved else "not moved"), least=10, style=always("dim")),
    ),
    id="id",
    empty="No job was touched.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRow:
    """What a purge did to one queue."""

    queue: str
    deleted: int
    remaining: int
    """Jobs that are still in it."""
    running: int
    """Those of them that are running, which a purge leaves alone."""


PURGED = Table(
    PurgeRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=always("bold")),
        Column("DELETED", lambda r: number(r.deleted), right=True, style=always("red")),
        Column("REMAINING", lambda r: number(r.remaining), right=True),
        Column("RUNNING", lambda r: number(r.running), right=True, style=always("cyan")),
    ),
    id="queue",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRow:
    """Whether a queue is paused, and whether that is new."""

    queue: str
    paused: bool
    changed: bool
    """It was not so before."""


PAUSES = Table(
    PauseRow,
    (
        Column("QUEUE", lambda r: r.queue, least=10, style=always("bold")),
        Column("IS", lambda r: "paused" if r.paused else "running", style=lambda r: "yellow" if r.paused else "green"),
        Column("", lambda r: "" if r.changed else "as it was", style=always("dim")),
    ),
    id="queue",
)
