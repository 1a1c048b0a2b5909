"""``qtool jobs``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.options import Common, Queues, States, Where, any_of, parse_where, split_names, split_states
from qtool.output import Format, Output
from qtool.views.jobs import JOBS, JobRow

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector
    from qtool.engine.filter import Filter

ROW = JobRow
EXAMPLES = """
qtool jobs
qtool jobs -s dead -Q email
qtool jobs -w 'error~timeout age<1h' -o ids | qtool retry -
qtool jobs --limit 0 -o jsonl | jq -r 'select(.attempt > 2) | .id'
"""
PAGE = 200


def command(
    common: Common,
    where: Where = None,
    queue: Queues = None,
    state: States = None,
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="So many at most; 0 for all.")] = 100,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
) -> None:
    """List jobs, newest first.

    Filters compare fields of a job: state, queue, task, error, args, worker, priority, attempt, age, wait, runtime,
    created, due, started, finished, tag.NAME … with : (a pattern), = != ~ !~ < <= > >=, joined by and, or, not and
    parentheses. A bare word is looked for in id, task and arguments.
    """
    filter = parse_where(where, any_of("queue", split_names(queue)), any_of("state", split_states(state)))
    out = common.out()
    with common.adapter() as adapter:
        shown = out.rows(JOBS, _rows(adapter.inspector, filter, limit, oldest, out))
        if limit and shown == limit and out.format is Format.TABLE:
            with out.busy("counting"):
                total = adapter.inspector.count(filter)
            if total > shown:
                out.note(f"{shown:,} of {total:,} jobs; --limit 0 shows all")


def _rows(inspector: Inspector, where: Filter | None, limit: int, oldest: bool, out: Output) -> Iterator[JobRow]:
    """Rows a page at a time: memory stays small, and a reader that leaves early costs little."""
    after = None
    left = limit or None
    while True:
        size = PAGE if left is None else min(PAGE, left)
        page = inspector.browse(where, after=after, limit=size, oldest_first=oldest)
        yield from map(JobRow.of, page.jobs)
        out.flush()
        after = page.next
        if left is not None:
            left -= len(page.jobs)
        if after is None or left == 0:
            return
