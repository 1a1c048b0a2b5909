"""What a key that acts would act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from qtool.engine.filter import Filter
from qtool.engine.job import JobInfo
from qtool.engine.journal import Note
from qtool.engine.states import State
from qtool.engine.value import Value
from qtool.views.text import short

if TYPE_CHECKING:
    from qtool.views.jobs import JobRow


class Targets(Value, kw_only=True):
    """Jobs by id, or all that match a filter; or a queue; or a worker: one of the four. And maybe a note beside."""

    what: str
    """For people: ``job 019ab3c2-7f10-7000``, ``3 marked jobs``, ``all jobs that match state:dead``."""
    ids: tuple[str, ...] = ()
    where: Filter | None = None
    only: Callable[[JobInfo], bool] | None = None
    """Of those that match ``where``, which are meant, where a filter cannot say it: asked of every job while paging."""
    queue: str | None = None
    worker: str | None = None
    note: Note | None = None
    """What a key that deletes would take back."""
    states: frozenset[State] | None = None
    """The states that these jobs are in, where the screen knows them: what applies to none of them is not offered."""


def one_job(id: str, state: State | None) -> Targets:
    """A job, in this state as far as the screen knows."""
    return Targets(what=f"job {short(id)}", ids=(id,), states=None if state is None else frozenset({state}))


def marked_or(marks: Iterable[str], rows: Iterable[JobRow], current: JobRow | None) -> Targets | None:
    """The jobs that are marked among these rows and beyond them; where none is, the one under the cursor."""
    ids = tuple(marks)
    if not ids:
        return one_job(current.id, current.state) if current is not None else None
    wanted = set(ids)
    known = {row.id: row.state for row in rows if row.id in wanted}
    return Targets(
        what=f"{len(ids)} marked job{'s' if len(ids) > 1 else ''}",
        ids=ids,
        # Of a mark that is out of sight nothing is known by now.
        states=frozenset(known.values()) if len(known) == len(wanted) else None,
    )
