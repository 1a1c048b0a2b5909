"""``qtool purge``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.engine.states import State
from qtool.engine.times import parse_duration
from qtool.errors import ExitCode, UnknownQueue
from qtool.options import Common, DryRun, QueueNames, States, Where, Yes, any_of, parse_where, split_states
from qtool.output import Output
from qtool.views.reports import PURGED, PurgeRow

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter, QueueStats
    from qtool.engine.filter import Filter

ROW = PurgeRow
EXAMPLES = """
qtool purge demo --dry-run
qtool purge demo -y
qtool purge email bulk -s succeeded --older-than 7d
qtool purge email -w 'task:report.* tag.team=billing'
"""


def command(
    common: Common,
    queues: QueueNames,
    where: Where = None,
    state: States = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="DURATION", help="Only jobs enqueued longer ago than 90s, 2d …"),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Delete jobs from queues.

    Running jobs stay; everything else in the queue goes, unless --where, --state or --older-than say less. It cannot be
    undone: the jobs, their output and their history are gone.
    """
    from qtool.acting import danger
    from qtool.config import open_adapter
    from qtool.verbs import DELETE, jobs

    narrowed = _narrowed(where, state, older_than)
    settings = common.settings()
    out = common.out(keep_going=True)
    with open_adapter(settings, write=not dry_run) as adapter:
        known = {stats.name: stats for stats in adapter.inspector.snapshot().queues}
        for queue in queues:
            if queue not in known:
                raise UnknownQueue(queue=queue)
        filters = {queue: _filter(queue, narrowed) for queue in dict.fromkeys(queues)}
        with out.busy("counting"):
            counts = {queue: adapter.inspector.count(filter) for queue, filter in filters.items()}
        for queue, count in counts.items():
            out.note(f"{'would delete' if dry_run else 'to delete'}: {_told(known[queue], count, bool(narrowed))}")
        total = sum(counts.values())
        if total and not dry_run:
            question = f"{danger(settings)}{DELETE.question.format(count=jobs(total))}? {DELETE.undo}"
            if not out.confirm(question, yes=yes):
                out.note("Nothing was deleted.")
                return ExitCode.FAILED
        out.rows(PURGED, _purge(adapter, filters, total, out, dry_run))
    return ExitCode.OK


def _narrowed(where: str | None, state: list[str] | None, older_than: str | None) -> list[str]:
    """What the options ask for, as filters."""
    age = f"age>{parse_duration(older_than):.3f}s" if older_than else None
    return [part for part in (where, any_of("state", split_states(state)), age) if part]


def _filter(queue: str, narrowed: list[str]) -> Filter:
    from qtool.verbs import DELETE

    filter = parse_where(any_of("queue", (queue,)), any_of("state", DELETE.default_states), *narrowed)
    assert filter is not None
    return filter


def _told(stats: QueueStats, count: int, narrowed: bool) -> str:
    """``1,204 jobs of email (1,000 ready, 204 dead)``."""
    from qtool.verbs import jobs

    told = f"{jobs(count)} of {stats.name}"
    if narrowed or not count:
        return told
    states = (f"{n:,} {state}" for state, n in stats.counts.items() if n and state is not State.RUNNING)
    return f"{told} ({', '.join(states)})"


def _purge(adapter: Adapter, filters: dict[str, Filter], total: int, out: Output, dry_run: bool) -> Iterator[PurgeRow]:
    from qtool.verbs import DELETE, by_filter

    with out.progress("deleting", total) as progress:
        deleted = dict.fromkeys(filters, 0)
        for queue, filter in filters.items():
            if dry_run:
                continue
            for changes in by_filter(adapter.inspector, filter, DELETE.of(adapter.operator)):
                deleted[queue] += sum(change.changed for change in changes)
                progress.advance(len(changes))
    left = {stats.name: stats for stats in adapter.inspector.snapshot().queues}
    for queue in filters:
        stats = left.get(queue)
        yield PurgeRow(
            queue=queue,
            deleted=deleted[queue],
            remaining=sum(stats.counts.values()) if stats else 0,
            running=stats.counts.get(State.RUNNING, 0) if stats else 0,
        )
