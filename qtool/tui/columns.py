"""The columns of the screens' tables: those of the commands where they fit, and what only a live view shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtool.engine.sizes import format_size
from qtool.tables import NONE, Column
from qtool.tui.store import QueueLine, WorkerLine, spark
from qtool.views.jobs import JOBS, JobRow, what
from qtool.views.text import age, ago, always, limit_text, moment, number, rate, short, span
from qtool.views.workers import WORKER_STYLES

if TYPE_CHECKING:
    from qtool.engine.job import JobInfo

SPARK = 15
"""Cells of a sparkline: four seconds each of the last minute."""


def _failures(line: QueueLine) -> str:
    return number(sum(flow.dead for flow in line.flows))


def _drain(line: QueueLine) -> str:
    return "∞" if line.row.drain_seconds is None else span(line.row.drain_seconds)


def _drain_order(line: QueueLine) -> float:
    return float("inf") if line.row.drain_seconds is None else line.row.drain_seconds


QUEUES: tuple[Column[QueueLine], ...] = (
    Column(
        "QUEUE",
        lambda q: f"‖ {q.row.queue}" if q.row.paused else q.row.queue,
        least=8,
        style=lambda q: "yellow" if q.row.paused else "bold",
        order=lambda q: q.row.queue,
    ),
    Column("READY", lambda q: number(q.row.ready), right=True, order=lambda q: q.row.ready),
    Column("HELD", lambda q: number(q.row.held) if q.row.held else "", right=True, rank=6, style=always("yellow")),
    Column("RUN", lambda q: number(q.row.running), right=True, style=always("cyan"), order=lambda q: q.row.running),
    Column("SCHED", lambda q: number(q.row.scheduled), right=True, rank=4, order=lambda q: q.row.scheduled),
    Column(
        "RETRY", lambda q: number(q.row.retry), right=True, rank=2, style=always("yellow"), order=lambda q: q.row.retry
    ),
    Column(
        "DEAD",
        lambda q: number(q.row.dead),
        right=True,
        style=lambda q: "red" if q.row.dead else "",
        order=lambda q: q.row.dead,
    ),
    Column(
        "OK",
        lambda q: number(q.row.succeeded),
        right=True,
        rank=7,
        style=always("green"),
        order=lambda q: q.row.succeeded,
    ),
    Column(
        "OLDEST",
        lambda q: age(q.row.oldest_ready_at),
        right=True,
        order=lambda q: -(q.row.oldest_ready_at.timestamp() if q.row.oldest_ready_at else float("inf")),
    ),
    Column("IN/s", lambda q: rate(q.row.in_rate), right=True, order=lambda q: q.row.in_rate),
    Column("OUT/s", lambda q: rate(q.row.out_rate), right=True, order=lambda q: q.row.out_rate),
    Column("WAIT50", lambda q: span(q.row.wait_p50), right=True, rank=5, order=lambda q: q.row.wait_p50 or 0.0),
    Column("WAIT95", lambda q: span(q.row.wait_p95), right=True, rank=3, order=lambda q: q.row.wait_p95 or 0.0),
    Column("RUN50", lambda q: span(q.row.run_p50), right=True, rank=5, order=lambda q: q.row.run_p50 or 0.0),
    Column("RUN95", lambda q: span(q.row.run_p95), right=True, rank=3, order=lambda q: q.row.run_p95 or 0.0),
    Column("DRAIN", _drain, right=True, rank=1, order=_drain_order),
    Column(
        "FAIL/m",
        _failures,
        right=True,
        rank=3,
        style=lambda q: "red" if any(flow.dead for flow in q.flows) else "",
        order=lambda q: sum(flow.dead for flow in q.flows),
    ),
    Column("LIMIT", lambda q: limit_text(q.row.concurrency, q.row.rate), right=True, rank=8),
    Column("WRK", lambda q: number(q.row.workers), right=True, rank=4, order=lambda q: q.row.workers),
    Column(
        "LAST MINUTE",
        lambda q: "paused" if q.row.paused else spark(tuple(float(flow.ended) for flow in q.flows), SPARK),
        rank=2,
        style=lambda q: "yellow" if q.row.paused else "green",
    ),
)


def _runs(line: WorkerLine) -> str:
    if not line.running:
        return "nothing" if line.row.state == "idle" else ""
    first = line.running[0]
    more = f"  and {len(line.running) - 1} more" if len(line.running) > 1 else ""
    return f"{age(moment(first.started_at))} {what(first)}{more}"


NO_WORKERS = "No workers. 'qtool worker' starts one."
"""What their list says when it is empty."""

WORKERS: tuple[Column[WorkerLine], ...] = (
    Column("WORKER", lambda w: short(w.row.id), rank=4, style=always("dim")),
    Column("STATE", lambda w: w.row.state, style=lambda w: WORKER_STYLES[w.row.state], order=lambda w: w.row.state),
    Column("HOST", lambda w: w.row.host, least=6, rank=5, order=lambda w: w.row.host),
    Column("PID", lambda w: str(w.row.pid), right=True, order=lambda w: w.row.pid),
    Column("POOL", lambda w: w.row.pool, rank=6, order=lambda w: w.row.pool),
    Column(
        "SLOTS",
        lambda w: f"{w.row.busy}/{w.row.slots}" + (f"…{w.row.most}" if w.row.most else ""),
        right=True,
        order=lambda w: w.row.busy,
    ),
    Column(
        "OK",
        lambda w: number(w.row.succeeded),
        right=True,
        rank=1,
        style=always("green"),
        order=lambda w: w.row.succeeded,
    ),
    Column(
        "FAILED",
        lambda w: number(w.row.failed),
        right=True,
        rank=2,
        style=lambda w: "red" if w.row.failed else "",
        order=lambda w: w.row.failed,
    ),
    Column(
        "MEM",
        lambda w: format_size(w.usage.memory) if w.usage else NONE,
        right=True,
        rank=1,
        order=lambda w: w.usage.memory if w.usage else 0,
    ),
    Column(
        "CPU",
        lambda w: f"{100 * w.usage.cpu:.0f} %" if w.usage else NONE,
        right=True,
        rank=1,
        order=lambda w: w.usage.cpu if w.usage else 0.0,
    ),
    Column("UP", lambda w: age(w.row.started_at), right=True, rank=3, order=lambda w: w.row.started_at),
    Column("SEEN", lambda w: ago(w.row.seen_at), right=True, rank=5, order=lambda w: w.row.seen_at),
    Column("QUEUES", lambda w: ", ".join(w.row.queues) or "all", least=6, rank=3),
    Column("RUNS", _runs, least=12, style=always("cyan")),
)

SLOTS: tuple[Column[JobInfo], ...] = (
    Column("ID", lambda j: short(j.id), style=always("dim")),
    Column("QUEUE", lambda j: j.queue, least=6, rank=1),
    Column("SINCE", lambda j: age(moment(j.started_at)), right=True),
    Column("TRY", lambda j: number(j.attempt), right=True, rank=2),
    Column("DONE", lambda j: f"{100 * j.progress:.0f} %" if j.progress is not None else "", right=True, rank=3),
    Column("JOB", what, least=16),
    Column("SAYS", lambda j: j.message or "", least=8, rank=4, style=always("dim")),
)

_JOBS_LEAST = {"JOB": 28, "WHY": 18}
"""Cells below which the id gives way first: what a job does and why it stands there tell more, and ``y`` copies ids."""

JOBS_HERE: tuple[Column[JobRow], ...] = tuple(
    replace(column, rank=9)
    if column.head == "ID"
    else replace(column, least=_JOBS_LEAST.get(column.head, column.least))
    for column in JOBS.columns
)
"""The columns of ``qtool jobs``, for a list where every cell counts."""
