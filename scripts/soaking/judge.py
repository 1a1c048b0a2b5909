"""The rules: what the jobs wrote down, what the file says and what was done to the workers have to fit together.

Asked when everything has ended. For every job: it is there; it ended as its kind may, or as it was asked to; it ran to
its end in the attempt that is recorded; it did not start more often than that, but where an attempt was given back; no
two runs of it overlapped, but where a worker was frozen for longer than its lease; and whatever crash is held against
it, its process was killed. For all together: the history counts every end once, and the file is sound.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qtool.engine.policy import MAX_CRASHES
from qtool.engine.states import UNFINISHED, Event, Reason, State

from .kinds import BIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Attempt

    from .crew import Crew, Member
    from .setting import Setting
    from .tracker import Ended, Tracker

FAR = 4e9
"""A time after all others, wherever somebody set the clock."""


@dataclass(frozen=True)
class Line:
    """One line of the effect log."""

    order: int
    """Its place in the log."""
    mark: str
    attempt: int
    member: str
    pid: int


@dataclass
class Run:
    """One start of a job."""

    start: Line
    end: str | None = None
    """The mark of its end; None when it did not come to one."""
    ended: int | None = None
    """The place of that in the log."""

    def went_on(self, order: int) -> bool:
        """Whether, by the log, it ran at this place of it."""
        return self.start.order < order and (self.ended is None or self.ended > order)


@dataclass
class Trace:
    """All that a job wrote down."""

    runs: list[Run] = field(default_factory=list)
    overlaps: list[Line] = field(default_factory=list)
    crowds: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        if line.mark == "!":
            self.overlaps.append(line)
        elif line.mark == "k":
            self.crowds.append(line)
        elif line.mark == "+":
            self.runs.append(Run(line))
        else:
            # Its own start: there may be others of the same attempt elsewhere.
            for run in reversed(self.runs):
                if run.end is None and (run.start.pid, run.start.attempt) == (line.pid, line.attempt):
                    run.end, run.ended = line.mark, line.order
                    break


class Judge:
    """Holds a run against the rules."""

    def __init__(
        self, setting: Setting, adapter: Adapter, tracker: Tracker, crew: Crew, violation: Callable[[str], None]
    ) -> None:
        self._setting = setting
        self._adapter = adapter
        self._tracker = tracker
        self._crew = crew
        self._violation = violation
        self.runs = 0
        """Starts, by the effect log."""
        self.judged = 0

    def judge(self) -> None:
        """Everything has ended: look at it, and forget it."""
        traces = self._read()
        ended = self._tracker.ended
        for id in traces.keys() - ended.keys():
            self._violation(f"something ran as job {id}, which nobody had enqueued")
        seated: dict[str, list[Run]] = defaultdict(list)
        for id, job in ended.items():
            if job.kind.limited and job.info.key is not None and id in traces:
                seated[job.info.key] += traces[id].runs
        for id, job in ended.items():
            self._judge_one(id, job, traces.get(id) or Trace(), seated[job.info.key or ""])
        self._count()
        for problem in self._adapter.inspector.check():
            self._violation(f"the file: {problem}")
        self.judged += len(ended)
        self._tracker.clear()
        self._crew.forget()

    def _read(self) -> dict[str, Trace]:
        """The effect log, which is emptied: nothing runs."""
        traces: dict[str, Trace] = defaultdict(Trace)
        path = self._setting.directory / "effects"
        if path.exists():
            for order, text in enumerate(path.read_text().splitlines()):
                mark, id, attempt, member, pid = text.split()
                traces[id].add(Line(order, mark, int(attempt), member, int(pid)))
            with path.open("r+b") as file:
                file.truncate()
        self.runs += sum(len(trace.runs) for trace in traces.values())
        return dict(traces)

    # --- one job -------------------------------------------------------------------------------------

    def _judge_one(self, id: str, job: Ended, trace: Trace, seated: list[Run]) -> None:
        """``seated``: all runs of jobs with the same key."""

        def wrong(what: str) -> None:
            info = job.info
            starts = ", ".join(
                f"{run.start.attempt} on {run.start.member} ({run.start.pid}) {run.end or 'cut'}" for run in trace.runs
            )
            past = "; ".join(
                f"{each.attempt} {each.event} on {self._name(each.worker)} ({each.error})" for each in job.attempts
            )
            self._violation(
                f"job {id} ({job.kind.name}) {what}: {info.state} {info.reason or ''} attempt {info.attempt},"
                f" {info.failures} failures, {info.crashes} crashes; runs: {starts}; attempts: {past}"
            )

        self._ended_well(job, trace, wrong)
        self._started_rightly(job, trace, wrong)
        for line in trace.overlaps:
            others = [self._member(run.start.member) for run in trace.runs if run.start.pid != line.pid]
            if not any(member is None or member.frozen for member in others):
                wrong(f"overlapped with another run of itself (on {line.member})")
        for line in trace.crowds:
            holders = [self._member(run.start.member) for run in seated if run.went_on(line.order)]
            if not any(member is None or member.frozen for member in holders):
                wrong("ran beside more jobs of its key than the limit allows")
        for attempt in job.attempts:
            if attempt.event is Event.LEASE_LOST and not self._blamed_rightly(job, attempt, trace):
                wrong(f"is blamed for a crash in attempt {attempt.attempt} that it had no part in")

    def _ended_well(self, job: Ended, trace: Trace, wrong: Callable[[str], None]) -> None:
        info = job.info
        end = (info.state, info.reason)
        crashed_out = end == (State.DEAD, Reason.CRASHED) and info.crashes == MAX_CRASHES
        if not (end in job.kind.ends or crashed_out or (job.asked and info.state is State.CANCELLED)):
            wrong("ended as it must not")
        if info.state is State.SUCCEEDED and not any(
            run.start.attempt == info.attempt and run.end == "-" for run in trace.runs
        ):
            wrong("succeeded without having run to its end")

    def _started_rightly(self, job: Ended, trace: Trace, wrong: Callable[[str], None]) -> None:
        by_attempt: dict[int, list[Run]] = defaultdict(list)
        for run in trace.runs:
            by_attempt[run.start.attempt].append(run)
        for attempt, runs in by_attempt.items():
            kept = sum(not self._given_back(run) for run in runs)
            if kept > (1 if attempt <= job.info.attempt else 0):
                wrong(f"started too often as attempt {attempt}")

    def _given_back(self, run: Run) -> bool:
        """Whether this start may have cost no attempt: it was put off or stopped, or its worker stopped everything.

        Or its worker was killed between its end and the storing of its outcome, and had started another since.
        """
        member = self._member(run.start.member)
        if run.end in ("z", "~") or member is None or (run.end is not None and member.gone):
            return True
        return member.frozen or member.told_at is not None or self._crew.troubled(member)

    def _blamed_rightly(self, job: Ended, attempt: Attempt, trace: Trace) -> bool:
        member = self._crew.by_id(attempt.worker)
        if job.kind.suicidal or member is None:
            return True
        if member.gone or member.frozen or self._crew.troubled(member):
            return True
        if job.kind.command:
            return member.launcher_killed
        pids = {
            run.start.pid
            for run in trace.runs
            if (run.start.attempt, run.start.member) == (attempt.attempt, member.name)
        }
        # Without a start of its own it was killed between being marked as started and its first line.
        return bool(pids & member.killed) if pids else bool(member.killed)

    def _member(self, name: str) -> Member | None:
        return self._crew.all.get(name)

    def _name(self, worker: str) -> str:
        member = self._crew.by_id(worker)
        return member.name if member is not None else worker

    # --- all of them ---------------------------------------------------------------------------------

    def _count(self) -> None:
        history = self._adapter.inspector.history(0, FAR, seconds=3600)
        for state in (State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED):
            recorded = sum(getattr(bucket, str(state)) for bucket in history if bucket.queue != BIN)
            if recorded != self._tracker.states[state]:
                self._violation(f"the history counts {recorded} {state}, and {self._tracker.states[state]} jobs are")
        for queue in self._adapter.inspector.snapshot().queues:
            left = {str(state): queue.counts[state] for state in UNFINISHED if queue.counts[state]}
            if left and queue.name != BIN:
                self._violation(f"everything has ended, and the counters of {queue.name} say {left}")
