"""Dead jobs in groups, one for each thing that they died of.

::

    letters = DeadLetters(clock)
    while not letters.complete:
        letters.read(adapter.inspector)        # raises BrokerError; the next one goes on where it stood
    for group in letters.found().groups:
        ...

However many are dead, a reading takes a bounded number of them by key, newest first, and then goes through all of
them again, so that what was retried or deleted leaves its group. No ids are kept: a group is met again by its filter
and the fingerprint of each job that the filter lets through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtool.engine.filter import Filter, parse, quote
from qtool.engine.fingerprint import Fingerprint, fingerprint
from qtool.engine.states import State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.broker import Inspector, Page
    from qtool.engine.clock import Clock
    from qtool.engine.job import JobInfo

PAGE = 250
"""Jobs read in one question."""
FIRST = 3_000
"""Jobs read at once while not all have been read."""
AGAIN = 400
"""Jobs read at once after that."""
SECONDS = 0.15
"""For how long a reading goes on at most, but for the page it is at."""
GROUPS = 1_000
"""Groups that are told apart; what comes after them is counted together."""
NAMES = 20
"""Queues, and tasks, of a group that are told apart."""
LONGEST = 500
"""Characters of the example's message."""

OTHERS = Fingerprint("other errors", "", "")
"""Of the group of all that came after the first thousand."""


class Window(Value):
    """A stretch of time up to now, and the steps it is counted in."""

    name: str
    step: int
    """Seconds."""
    steps: int

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.step * self.steps


WINDOWS = (Window("hour", 60, 60), Window("day", 3600, 24), Window("month", 86_400, 30))


class Group(Value, kw_only=True):
    """Jobs that died of the same."""

    fingerprint: Fingerprint
    count: int
    queues: Mapping[str, int]
    """How many by queue; the first twenty that were met, as in the next two."""
    tasks: Mapping[str, int]
    reasons: Mapping[str, int]
    first_at: float
    """When the first of them died, as far as they are still there."""
    last_at: float
    times: tuple[Mapping[int, int], ...]
    """How many died by step, for each of :data:`WINDOWS`."""
    example: str
    """The id of the one that died last."""
    message: str
    """What that one said, the beginning of it."""

    @property
    def together(self) -> bool:
        """Its jobs are of one kind: it is not the group of all others."""
        return self.fingerprint != OTHERS

    def series(self, window: int, now: float) -> tuple[float, ...]:
        """How many died in each step of that one of the :data:`WINDOWS` that ends now."""
        last = int(now // WINDOWS[window].step)
        return tuple(float(self.times[window].get(at, 0)) for at in range(last - WINDOWS[window].steps + 1, last + 1))

    def where(self) -> Filter:
        """A filter that lets all of its jobs through, and as few others as it can say; :meth:`holds` tells them."""
        said = ["state:dead", f"reason:{','.join(sorted(self.reasons))}"]
        for field, names in (("queue", self.queues), ("task", self.tasks)):
            if len(names) < NAMES:
                said.append(f"({' or '.join(f'{field}={quote(name)}' for name in sorted(names))})")
        return parse(" ".join(said))

    def holds(self, job: JobInfo) -> bool:
        """Whether the job belongs to it. Nothing is known to belong to all others."""
        return job.state is State.DEAD and fingerprint(job) == self.fingerprint


class Found(Value):
    """What has been read so far."""

    groups: tuple[Group, ...]
    """The largest first."""
    read: int
    """How many jobs they hold."""
    total: int | None
    """How many are dead; None where a filter chooses among them."""
    complete: bool
    """All have been read at least once."""
    read_at: float
    """Wall time from which on what leaves its group may still be counted in it."""
    again: int | None
    """How many have been read once more since then; None when that does not go on."""


class DeadLetters:
    """Reads dead jobs, a bounded number at a time; used by one thread at a time."""

    def __init__(self, clock: Clock, where: Filter | None = None) -> None:
        """``where``: which of the dead jobs; all, if None."""
        self._clock = clock
        self._where = parse("state:dead" if where is None else f"state:dead ({where.text})")
        self._shown = _Pass(clock.now(), None)
        self._going: _Pass | None = None
        self._newest: int | None = None
        self._total: int | None = None
        self._changed = False

    @property
    def complete(self) -> bool:
        """Whether all have been read at least once."""
        return self._shown.complete

    def read(
        self,
        inspector: Inspector,
        *,
        first: int = FIRST,
        again: int = AGAIN,
        seconds: float = SECONDS,
        changed: bool = True,
    ) -> None:
        """Read those that are new, and go on through the others.

        While not all have been read, ``first`` of them, for so many ``seconds`` at most; then ``again``, and none where
        nothing has ``changed`` since the last of them was read. Raises BrokerError.
        """
        until = self._clock.monotonic() + seconds
        if self._where.only_queues_and_states:
            self._total = inspector.count(self._where)
        self._changed |= changed
        if self._going is None and self._shown.complete and not self._changed:
            return
        left = again if self._shown.complete else first
        if self._newest is not None:
            left -= self._read_new(inspector, left, until)
        if self._going is None:
            self._going = _Pass(self._clock.now(), self._newest) if self._shown.complete else self._shown
            self._changed = False
        going = self._going
        while left > 0 and not going.complete:
            page = inspector.browse(self._where, after=going.after, limit=min(PAGE, left))
            going.add(page, self._clock.now())
            if self._newest is None and page.keys:
                self._newest = page.keys[0]
            left -= PAGE
            if self._clock.monotonic() > until:
                break
        if going.complete:
            self._shown, self._going = going, None

    def _read_new(self, inspector: Inspector, most: int, until: float) -> int:
        """Read those that were enqueued after the newest one so far: how many. They belong to every pass."""
        read = 0
        while read < most:
            page = inspector.browse(self._where, after=self._newest, limit=min(PAGE, most - read), oldest_first=True)
            for each in {self._shown, self._going} - {None}:
                assert each is not None
                each.tally(page.jobs, self._clock.now())
            self._newest = page.keys[-1] if page.keys else self._newest
            read += len(page.jobs)
            if page.next is None or self._clock.monotonic() > until:
                break
        return read

    def found(self) -> Found:
        """What has been read, by group."""
        shown, going = self._shown, self._going
        groups = sorted((each.group() for each in shown.tallies.values()), key=lambda g: (-g.count, g.fingerprint))
        again = going.read if going is not None and going is not shown else None
        return Found(tuple(groups), shown.read, self._total, shown.complete, shown.began_at, again)


class _Pass:
    """Once through all of them."""

    def __init__(self, now: float, newest: int | None) -> None:
        """``newest``: the key of the first one to be read; None for whichever is the newest."""
        self.began_at = now
        self.tallies: dict[Fingerprint, _Tally] = {}
        self.read = 0
        self.after = None if newest is None else newest + 1
        self.complete = False

    def add(self, page: Page, now: float) -> None:
        """The next page of it."""
        self.tally(page.jobs, now)
        self.after = page.next
        self.complete = page.next is None

    def tally(self, jobs: Sequence[JobInfo], now: float) -> None:
        """Count these in."""
        for job in jobs:
            mark = fingerprint(job)
            if mark not in self.tallies:
                if len(self.tallies) >= GROUPS:
                    mark = OTHERS
                self.tallies.setdefault(mark, _Tally(mark))
            self.tallies[mark].add(job, now)
        self.read += len(jobs)


class _Tally:
    """A group that grows."""

    def __init__(self, mark: Fingerprint) -> None:
        self._mark = mark
        self._count = 0
        self._names: tuple[dict[str, int], ...] = ({}, {}, {})
        self._times: tuple[dict[int, int], ...] = tuple({} for _ in WINDOWS)
        self._first = float("inf")
        self._last = float("-inf")
        self._example = self._message = ""
        self._made: Group | None = None

    def add(self, job: JobInfo, now: float) -> None:
        """Count one in."""
        at = job.finished_at if job.finished_at is not None else job.created_at
        if at is None:
            # A message that nobody can read: it has been so since somebody looked.
            at = now
        self._made = None
        self._count += 1
        for names, name in zip(self._names, (job.queue, job.task, str(job.reason or "")), strict=True):
            if name in names or len(names) < NAMES:
                names[name] = names.get(name, 0) + 1
        for window, times in zip(WINDOWS, self._times, strict=True):
            if at > now - window.seconds:
                step = int(at // window.step)
                times[step] = times.get(step, 0) + 1
        self._first = min(self._first, at)
        if at > self._last:
            self._last, self._example = at, job.id
            self._message = job.error.message[:LONGEST] if job.error is not None else ""

    def group(self) -> Group:
        """As it is now."""
        if self._made is None:
            queues, tasks, reasons = (dict(names) for names in self._names)
            self._made = Group(
                fingerprint=self._mark,
                count=self._count,
                queues=queues,
                tasks=tasks,
                reasons=reasons,
                first_at=self._first,
                last_at=self._last,
                times=tuple(dict(times) for times in self._times),
                example=self._example,
                message=self._message,
            )
        return self._made
