"""The hand: carries plans out on lines of its own, a page at a time, and keeps what came of each. No Textual here.

What runs and was asked to stop is waited for on a second line, so that acting waits for nothing but acting.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.tui.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qtool.engine.broker import Adapter, Change
    from qtool.engine.clock import Clock
    from qtool.errors import QtoolError
    from qtool.tui.deeds import Plan, Step
    from qtool.tui.poller import Answer

KEEP = 5_000
"""Reports that are kept of each kind, what changed and what did not; beyond it they are only counted."""

PATIENCE = 10.0
"""Seconds that jobs which were asked to stop are waited for."""

_TELLING = 0.1
"""Seconds between two pieces of news."""


class Report:
    """What came of a plan so far. It belongs to the screen's thread, but for ``stop``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = 0
        """Jobs that were reported on."""
        self.moves: Counter[tuple[State | None, State | None]] = Counter()
        """From which state to which; the same twice: unchanged, or asked to stop."""
        self.said: list[str] = []
        self.error: QtoolError | None = None
        self.waits = False
        """Everything has been done but for what was asked to stop."""
        self.done = False
        self.stop = threading.Event()
        self._changed: dict[str, Change] = {}
        self._unchanged: dict[str, Change] = {}
        self.asked: dict[str, Change] = {}
        """Running jobs that were asked to stop, and of which nothing is known yet."""

    def add(self, steps: Sequence[Step]) -> None:
        """Take in what was told."""
        for step in steps:
            if isinstance(step, str):
                self.said.append(step)
                continue
            for change in step:
                self._take(change)

    def _take(self, change: Change) -> None:
        if (before := self.asked.pop(change.id, None)) is not None:
            self.moves[(before.before, before.after)] -= 1
            self._changed.pop(change.id, None)
        else:
            self.seen += 1
        self.moves[(change.before, change.after)] += 1
        if change.changed and change.after is State.RUNNING:
            self.asked[change.id] = change
        kept = self._changed if change.changed else self._unchanged
        if len(kept) < KEEP:
            kept[change.id] = change

    @property
    def changes(self) -> list[Change]:
        """Those that are kept; what did not change first, for somebody has to look at it."""
        return [*self._unchanged.values(), *self._changed.values()]

    @property
    def dropped(self) -> int:
        """How many are not kept."""
        return self.seen - len(self._unchanged) - len(self._changed)

    def totals(self) -> str:
        """``1,200 dead → ready, 4 ready unchanged``."""
        told = [f"{number:,} {_move(*move)}" for move, number in self.moves.most_common() if number > 0]
        return ", ".join(told) or "no job was touched"

    def state(self) -> str:
        """How far it is."""
        if self.error is not None:
            return f"failed: {self.error}"
        if self.done:
            return "stopped" if self.stop.is_set() else "done"
        if self.waits:
            return f"waiting for {len(self.asked):,} to stop"
        return f"{self.seen:,} of {self.plan.count:,}" if self.plan.count > 1 else "…"


def _move(before: State | None, after: State | None) -> str:
    if before is None:
        return "not found"
    if before is after:
        return "running, asked to stop" if before is State.RUNNING else f"{before}, unchanged"
    return f"{before} → {after or 'gone'}"


def line_of(change: Change) -> str:
    """One report as a line: ``019ab3c2-…  dead → ready``."""
    before, after = change.before or "unknown", change.after or ("gone" if change.before else "unknown")
    moved = f"{before} → {after}" if before != after else str(before)
    note = change.note or ("" if change.changed else "nothing changed")
    return f"{change.id}  {moved}" + (f": {note}" if note else "")


class Hand:
    """Does one thing after the other, each in pages of a transaction, to be stopped between two of them."""

    def __init__(
        self,
        opener: Callable[[], Adapter],
        post: Callable[..., object],
        told: Callable[[Report], object],
        clock: Clock,
        *,
        patience: float = PATIENCE,
    ) -> None:
        """``post`` calls a function in the screen's thread; ``told`` hears there of every news of a report."""
        self._post = post
        self._told = told
        self._patience = patience
        self._lines = Lines(opener, lambda _lines, answer: post(self._answered, answer), clock)
        self._numbers = count()
        self._under_way: dict[str, Report] = {}
        self.last: Report | None = None

    @property
    def busy(self) -> Report | None:
        """What is being done now; waiting for jobs to stop is not."""
        return next((report for report in self._under_way.values() if not report.waits), None)

    def carry_out(self, plan: Plan) -> Report:
        """Do it, after all that was asked for before."""
        report = self.last = Report(plan)
        key = str(next(self._numbers))
        self._under_way[key] = report
        self._lines.ask("act", key, lambda adapter: self._tell(report, plan.steps(adapter)))
        return report

    def close(self, timeout: float = 0.0) -> None:
        """Stop what is under way after its page, and do nothing more.

        A change is let finish for ``timeout`` seconds at most; where jobs are only waited for, nothing is.
        """
        changing = self.busy is not None
        for report in self._under_way.values():
            report.stop.set()
        self._lines.close(timeout if changing else 0.0)

    def _tell(self, report: Report, steps: Iterator[Step]) -> None:
        """In a line's thread: go through the steps and tell of them now and then, also where one of them fails."""
        news: list[Step] = []
        told_at = time.monotonic()
        try:
            for step in steps:
                news.append(step)
                if time.monotonic() - told_at >= _TELLING:
                    self._post(self._hear, report, news)
                    news, told_at = [], time.monotonic()
                if report.stop.is_set():
                    return
        finally:
            self._post(self._hear, report, news)

    def _hear(self, report: Report, news: Sequence[Step]) -> None:
        report.add(news)
        self._told(report)

    def _answered(self, answer: Answer) -> None:
        report = self._under_way[answer.key]
        report.error = answer.error
        if report.asked and not report.waits and report.error is None and not report.stop.is_set():
            report.waits = True
            ids = list(report.asked)
            self._lines.ask("stop", answer.key, lambda adapter: self._tell(report, self._outcomes(adapter, ids)))
        else:
            del self._under_way[answer.key]
            report.done = True
        self._told(report)

    def _outcomes(self, adapter: Adapter, ids: Sequence[str]) -> Iterator[Step]:
        from qtool.engine.waiting import as_they_stop

        return ([change] for change in as_they_stop(adapter, ids, timeout=self._patience))
