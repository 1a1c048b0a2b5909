"""Workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from qtool.engine.broker import LEASE_SECONDS, WorkerInfo
from qtool.tables import Column, Table
from qtool.views.text import age, ago, always, number, short, sure_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it last described itself."""

    id: str
    state: Literal["idle", "busy", "stopping", "silent", "dead"]
    """``silent``: no heartbeat for longer than a lease; ``dead``: killed, and its jobs are yet to be taken back."""
    host: str
    pid: int
    queues: list[str]
    """Empty: all of them."""
    pool: str
    """``process``, ``thread`` or ``async``."""
    slots: int
    """How many jobs it runs at once now."""
    most: int | None
    """To how many it grows by itself while jobs wait; null if their number is fixed."""
    busy: int
    """How many of them are taken."""
    started_at: datetime
    seen_at: datetime
    """Its last heartbeat."""
    succeeded: int
    """Jobs, since it started."""
    failed: int
    """Attempts, since it started."""

    @classmethod
    def of(cls, info: WorkerInfo, now: float) -> WorkerRow:
        """The row of a worker, seen from ``now``."""
        silent = now - info.seen_at > LEASE_SECONDS
        state: Any = "stopping" if info.stopping else "busy" if info.busy else "idle"
        if silent or info.gone:
            state = "dead" if info.gone else "silent"
        return cls(
            id=info.id,
            state=state,
            host=info.host,
            pid=info.pid,
            queues=list(info.queues),
            pool=info.pool,
            slots=info.slots,
            most=info.most,
            busy=info.busy,
            started_at=sure_moment(info.started_at),
            seen_at=sure_moment(info.seen_at),
            succeeded=info.succeeded,
            failed=info.failed,
        )


WORKER_STYLES = {"idle": "green", "busy": "cyan", "stopping": "yellow", "silent": "red", "dead": "red"}

WORKERS = Table(
    WorkerRow,
    (
        Column("WORKER", lambda r: short(r.id), style=always("dim")),
        Column("STATE", lambda r: r.state, style=lambda r: WORKER_STYLES[r.state]),
        Column("HOST", lambda r: r.host, least=6, rank=3),
        Column("PID", lambda r: str(r.pid), right=True, rank=2),
        Column("POOL", lambda r: r.pool, rank=4),
        Column("BUSY", lambda r: str(r.busy), right=True),
        Column("SLOTS", lambda r: f"{r.slots}/{r.most}" if r.most else str(r.slots), right=True),
        Column("OK", lambda r: number(r.succeeded), right=True, style=always("green")),
        Column("FAILED", lambda r: number(r.failed), right=True, style=lambda r: "red" if r.failed else ""),
        Column("UP", lambda r: age(r.started_at), right=True),
        Column("SEEN", lambda r: ago(r.seen_at), right=True, rank=1),
        Column("QUEUES", lambda r: ", ".join(r.queues) or "all", least=8),
    ),
    id="id",
    empty="No workers. 'qtool worker' starts one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRow:
    """What a worker was asked for."""

    id: str
    before: int
    """How many jobs it ran at once."""
    least: int
    """How many it is to run at once, at least."""
    most: int
    """And at most."""
    note: str | None
    """Why it may not do so."""

    @classmethod
    def of(cls, info: WorkerInfo, least: int, most: int) -> ScaleRow:
        """The row of a worker that was asked for so many slots."""
        return cls(
            id=info.id, before=info.slots, least=least, most=most, note="it is stopping" if info.stopping else None
        )


SCALED = Table(
    ScaleRow,
    (
        Column("WORKER", lambda r: short(r.id), style=always("dim")),
        Column("SLOTS WERE", lambda r: str(r.before), right=True),
        Column("ARE", lambda r: str(r.most) if r.least == r.most else f"{r.least}:{r.most}", right=True),
        Column("NOTE", lambda r: r.note or "", least=10, style=always("dim")),
    ),
    id="id",
)
