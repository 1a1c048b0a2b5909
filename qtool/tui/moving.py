"""Moving jobs to another place: what the dialog says of it, and how it is done. As ``qtool move`` does. No Textual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Change
from qtool.engine.value import Value
from qtool.tui.deeds import Plan, Step, of_jobs, text_of
from qtool.verbs import MOVE, jobs, matching

if TYPE_CHECKING:
    from qtool.engine.freight import Moved
    from qtool.engine.states import State
    from qtool.tui.targets import Targets


class Destination(Value, kw_only=True):
    """Where jobs are to go."""

    where: str
    """How people call it."""
    open: Callable[[], Adapter]
    """To change something there. Raises QtoolError."""
    production: bool


def survey(to: Destination, targets: Targets, production: bool, adapter: Adapter) -> Plan:
    """What moving these jobs would do now; the other place is not asked before it is done. Raises QtoolError."""
    plan = of_jobs(MOVE, targets, production or to.production, adapter)
    return replace(plan, title=f"Move {jobs(plan.count)} to {to.where}", steps=partial(_steps, to, targets))


def _steps(to: Destination, targets: Targets, adapter: Adapter) -> Iterator[Step]:
    from qtool.engine.moving import Mover

    with to.open() as there:
        mover = Mover(adapter, there)
        mover.begin()
        for batch in mover.finish():
            yield [_told(each, to) for each in batch]
        for ids in _pages(targets, adapter):
            for batch in mover.move(ids, _states(targets)):
                yield [_told(each, to) for each in batch]


def _pages(targets: Targets, adapter: Adapter) -> Iterator[list[str]]:
    """The ids of those that are meant, the oldest first, so that they stand there in the same order."""
    if targets.ids:
        yield sorted(targets.ids)
        return
    for page in matching(adapter.inspector, MOVE.reach(text_of(targets)), oldest_first=True):
        yield [job.id for job in page if targets.only is None or targets.only(job)]


def _states(targets: Targets) -> frozenset[State]:
    """Of ids whatever does not run, for they were pointed at; of a filter what it says, or else what has not ended."""
    named = targets.where.states() if targets.where is not None else None
    if targets.ids:
        return MOVE.applies
    return MOVE.applies & (frozenset(MOVE.default_states) if named is None else named)


def _told(moved: Moved, to: Destination) -> Change:
    if moved.moved:
        return Change(moved.id, moved.state, None, moved.note or f"moved to {to.where}")
    return Change(moved.id, moved.state, moved.state, moved.note)
