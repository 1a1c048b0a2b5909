"""What people do to jobs: each verb once, for the commands and the screen; which jobs it reaches, and in what pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from qtool.engine.broker import Change
from qtool.engine.states import FINAL, PENDING, UNFINISHED, State
from qtool.engine.value import Value
from qtool.options import any_of, parse_where

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector, Operator
    from qtool.engine.filter import Filter
    from qtool.engine.job import JobInfo

PAGE = 500
"""Jobs changed in one transaction: long enough to be fast, short enough to let workers in between."""

Do = Callable[[Sequence[str]], list[Change]]
"""A verb bound to a broker: applied to ids, it reports on each."""


class Verb(Value, kw_only=True):
    """Something that is done to jobs: one of the Operator's methods, and what one has to know of it."""

    name: str
    """The method's, the command's and the button's."""
    question: str
    """With ``{count}`` for how many."""
    applies: frozenset[State]
    """The states it changes."""
    after: State | None
    """What the jobs become; None: they are gone."""
    default_states: tuple[State, ...]
    """What a filter means that names no state."""
    reaches: str
    """Which jobs those are, in a sentence: why others are left alone."""
    happens: str
    """What becomes of the jobs, in a sentence."""
    undo: str
    """How to take it back."""

    def of(self, operator: Operator) -> Do:
        """The verb on this broker."""
        do: Do = getattr(operator, self.name)
        return do

    def narrow(self, where: str) -> Filter:
        """The jobs that a filter means where this verb is asked for. Raises BadFilter."""
        filter = parse_where(where)
        assert filter is not None
        if filter.states() is not None:
            return filter
        return parse_where(where, any_of("state", self.default_states)) or filter

    def reach(self, where: str) -> Filter:
        """Those of :meth:`narrow` that it would change now. Raises BadFilter."""
        reached = parse_where(self.narrow(where).text, any_of("state", tuple(filter(self.applies.__contains__, State))))
        assert reached is not None
        return reached

    def pretend(self, inspector: Inspector, ids: Sequence[str]) -> list[Change]:
        """What it would report, without doing it."""
        changes = []
        for id, job in zip(ids, inspector.get(ids), strict=True):
            if job is None:
                changes.append(Change(id, None, None, "no such job"))
            elif job.state in self.applies:
                changes.append(Change(id, job.state, self.after, "dry run"))
            else:
                changes.append(Change(id, job.state, job.state, f"it is {job.state}"))
        return changes


RETRY = Verb(
    name="retry",
    question="Run {count} again",
    applies=FINAL,
    after=State.READY,
    default_states=(State.DEAD,),
    reaches="Only what has ended can be run again.",
    happens="What has ended becomes ready again, with a fresh budget of retries; its history stays.",
    undo="cancel what has not started yet.",
)
CANCEL = Verb(
    name="cancel",
    question="Cancel {count}",
    applies=UNFINISHED,
    after=State.CANCELLED,
    default_states=tuple(state for state in State if state in UNFINISHED),
    reaches="Only what has not ended can be cancelled.",
    happens="What waits is cancelled at once; what runs is asked to stop, and killed 5 s later where it can be.",
    undo="retry what was cancelled; it starts from its beginning.",
)
KILL = Verb(
    name="kill",
    question="Kill {count}",
    applies=UNFINISHED,
    after=State.CANCELLED,
    default_states=(State.RUNNING,),
    reaches="Only what has not ended can be killed.",
    happens="What runs is killed without being asked to stop; what waits is cancelled.",
    undo="retry what was killed; it starts from its beginning.",
)
DELETE = Verb(
    name="delete",
    question="Delete {count}",
    applies=frozenset(State) - {State.RUNNING},
    after=None,
    default_states=tuple(state for state in State if state is not State.RUNNING),
    reaches="What runs cannot be deleted: cancel it first.",
    happens="The jobs, their output and their history are gone. What runs stays.",
    undo="It cannot be undone.",
)

MOVE = Verb(
    name="move",
    question="Move {count}",
    applies=frozenset(State) - {State.RUNNING},
    after=None,
    default_states=tuple(state for state in State if state in PENDING),
    reaches="What runs stays where it is: move it later.",
    happens="They leave this broker, a batch at a time, and stand there as they are. What runs stays.",
    undo="move them back from there.",
)
"""None of the Operator's: :mod:`qtool.engine.moving` does it."""


def jobs(count: int) -> str:
    """``1 job``, ``1,204 jobs``."""
    return f"{count:,} {'job' if count == 1 else 'jobs'}"


def matching(inspector: Inspector, where: Filter | None, *, oldest_first: bool = False) -> Iterator[list[JobInfo]]:
    """Every job that matches, a page at a time; each is met once, whatever becomes of it."""
    after = None
    while True:
        page = inspector.browse(where, after=after, limit=PAGE, oldest_first=oldest_first)
        if page.jobs:
            yield list(page.jobs)
        after = page.next
        if after is None:
            return


def by_filter(
    inspector: Inspector, where: Filter, do: Do, only: Callable[[JobInfo], bool] | None = None
) -> Iterator[list[Change]]:
    """Apply a verb to every job that matches, and of which ``only`` is true, a page at a time."""
    for page in matching(inspector, where):
        if ids := [job.id for job in page if only is None or only(job)]:
            yield do(ids)
