"""What the supervisor knows of a run beyond its lease, and how it stops one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from qtool.engine.codec import decode_options
from qtool.engine.job import UNSAID, Cancel, Fail, Failure, Lease, Outcome, Policy, Report, Snooze
from qtool.engine.states import Reason
from qtool.engine.worker.outbox import Fate
from qtool.engine.worker.output import Output

if TYPE_CHECKING:
    from qtool.engine.worker.process import Child


class Why(StrEnum):
    """Why a run is being stopped."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    UNRENEWED = "unrenewed"
    """Its lease is about to run out: it must not overlap with the next attempt, and goes back if it is still ours."""
    LOST = "lost"
    """Its lease is no longer held: whatever it ends as is not ours to say."""


GIVEN_BACK = frozenset({Why.SHUTDOWN, Why.UNRENEWED})
"""Stopped through no fault of the job, which goes back to its queue."""


class Run:
    """A run that needs attention: it writes, reports progress, has a time limit, or is being stopped.

    The many short runs that need none never get one.
    """

    __slots__ = (
        "forced",
        "lease",
        "limit",
        "message",
        "output",
        "over",
        "policy",
        "progress",
        "started_at",
        "unreported",
        "why",
    )

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.output = Output()
        self.progress: float | None = None
        self.message: str | None = None
        self.unreported = False
        self.started_at: float | None = None
        self.limit: float | None = None
        """The time limit, in seconds."""
        self.policy: Policy = UNSAID
        """The task's."""
        self.why: Why | None = None
        self.forced = False
        """It is being killed."""
        self.over = False
        """Its outcome is on its way, with what was left of its output."""

    def report(self) -> Report:
        """What is new."""
        report = Report(self.lease, self.progress, self.message, self.output.take())
        self.progress = self.message = None
        self.unreported = False
        return report

    def grace(self, usual: float) -> float:
        """Seconds from being asked to stop to being killed; over its time limit, as the job or its task says."""
        if self.why is not Why.TIMEOUT:
            return usual
        policy = self.policy
        if self.lease.options is not None:
            policy = decode_options(self.lease.options)[0].over(policy)
        return usual if policy.grace is None else policy.grace

    def fate(self, outcome: Outcome) -> Fate | None:
        """What its outcome counts as for the worker, where that is another thing than for the job."""
        if self.why is Why.CANCEL:
            return Fate.CANCELLED
        if self.why in GIVEN_BACK and isinstance(outcome, Snooze):
            return Fate.KILLED if self.forced and self.why is Why.SHUTDOWN else Fate.STOPPED
        return None

    def killed(self, *, grace: float) -> Outcome | None:
        """The outcome of a run that had to be killed, ``grace`` being the worker's; None if it is not ours to end."""
        if self.why is Why.TIMEOUT:
            after = self.grace(grace)
            said = f"the attempt ran longer than {self.limit or 0:g} s and was killed {after:g} s later"
            return Fail(Failure(type="JobTimeout", message=said), Reason.TIMEOUT)
        if self.why is Why.CANCEL:
            return Cancel()
        if self.why in GIVEN_BACK:
            return Snooze()
        return None


class Runs(dict[int, Run]):
    """The runs in the pool that need attention, by serial number."""

    def of(self, child: Child, serial: int) -> Run:
        """The run of a job in this process, made if there is none yet."""
        run = self.get(serial)
        if run is None:
            run = self[serial] = Run(child.jobs[serial])
        return run
