"""What becomes of a run: pure functions of (lease, outcome, policy, now)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.job import (
    Cancel,
    Chunk,
    Done,
    Fail,
    Failure,
    Lease,
    OnCrash,
    Outcome,
    Policy,
    Retry,
    Settlement,
    Snooze,
    Told,
)
from qtool.engine.states import Event, Reason, State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULTS = Policy(retries=0, backoff=2.0, backoff_cap=3600.0)
"""For what neither the job nor its task says: errors are not retried, attempts may run for ever."""

MAX_CRASHES = 3

DAY = 86400.0

LONGEST_DELAY = 36525 * DAY
"""Seconds that a job may be put off: a hundred years. What is longer is a mistake, and no calendar shows it."""


def refuse_delay(seconds: float | None) -> None:
    """Raises ValueError if no job can be put off for so long: only numbers from 0 on will do, or None."""
    if seconds is None or (isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_DELAY):
        return
    raise ValueError(f"a job is put off for a number of seconds, from 0 to a hundred years, not for {seconds!r}")


class Retention(Value, kw_only=True):
    """How long, in seconds, finished jobs are kept; None is for ever."""

    succeeded: float | None = 7 * DAY
    dead: float | None = 90 * DAY
    cancelled: float | None = 7 * DAY
    expired: float | None = 7 * DAY

    def seconds(self, state: State) -> float | None:
        """How long a job in the final ``state`` is kept; None for ever, also for states that are not final."""
        if state is State.SUCCEEDED:
            return self.succeeded
        if state is State.DEAD:
            return self.dead
        if state is State.CANCELLED:
            return self.cancelled
        return self.expired if state is State.EXPIRED else None


KEEP = Retention()
"""The default: failures are kept longer than successes."""


def backoff_delay(failures: int, policy: Policy, random: Callable[[], float]) -> float:
    """Seconds to wait after the ``failures``-th error: exponential with full jitter.

    Uniform between 0 and ``min(cap, backoff * 2 ** (failures - 1))``, or just that where the policy wants no jitter;
    ``random`` gives numbers in [0, 1).
    """
    base = _or(policy.backoff, DEFAULTS.backoff)
    cap = _or(policy.backoff_cap, DEFAULTS.backoff_cap)
    ceiling = min(cap, base * 2.0 ** min(failures - 1, 60))
    return ceiling if policy.jitter is False else ceiling * random()


def decide(
    lease: Lease,
    outcome: Outcome,
    policy: Policy,
    *,
    started_at: float,
    now: float,
    random: Callable[[], float],
    output: tuple[Chunk, ...] = (),
) -> Settlement:
    """The change that ``outcome`` makes; ``policy`` is the job's own over its task's."""
    if type(outcome) is Done:
        return Settlement(
            lease, Event.SUCCESS, State.SUCCEEDED, now, started_at, outcome.result, output=output, kept=outcome.kept
        )
    if isinstance(outcome, Told):
        return _told(lease, outcome, started_at=started_at, now=now, output=output)
    if isinstance(outcome, Snooze | Retry):
        try:
            refuse_delay(outcome.in_)
        except ValueError as error:
            # Stored, it would be no time at all, and would take the outcomes that are stored with it down.
            outcome = Fail(Failure(type="ValueError", message=str(error)))
    if isinstance(outcome, Snooze):
        state, due = (State.SCHEDULED, now + outcome.in_) if outcome.in_ > 0 else (State.READY, None)
        return Settlement(lease, Event.SNOOZE, state, now, started_at, due_at=due, output=output)
    if isinstance(outcome, Cancel):
        return Settlement(lease, Event.CANCEL, State.CANCELLED, now, started_at, output=output)
    assert isinstance(outcome, Retry | Fail)
    crashed = isinstance(outcome, Fail) and outcome.crashed
    due = _due(lease, outcome, policy, now, random)
    reason = None if due is not None else _reason(outcome)
    return Settlement(
        lease,
        Event.LEASE_LOST if crashed else Event.ERROR,
        State.DEAD if due is None else State.RETRY,
        now,
        started_at,
        due_at=due,
        reason=reason,
        failure=outcome.failure,
        crash=crashed,
        output=output,
    )


_EVENTS = {State.SUCCEEDED: Event.SUCCESS, State.RETRY: Event.ERROR, State.DEAD: Event.ERROR, State.READY: Event.SNOOZE}
"""What has happened to a job that another framework left in a state."""


def _told(lease: Lease, outcome: Told, *, started_at: float, now: float, output: tuple[Chunk, ...]) -> Settlement:
    return Settlement(
        lease,
        _EVENTS[outcome.state],
        outcome.state,
        now,
        started_at,
        outcome.result,
        due_at=outcome.due_at,
        reason=outcome.reason,
        failure=outcome.failure,
        output=output,
        told=True,
    )


def _due(lease: Lease, outcome: Retry | Fail, policy: Policy, now: float, random: Callable[[], float]) -> float | None:
    """When to try again; None for never."""
    if isinstance(outcome, Fail):
        if outcome.final:
            return None
        if outcome.crashed:
            return now if tries_again(lease.crashes, policy) else None
    if lease.failures >= _or(policy.retries, DEFAULTS.retries):
        return None
    if isinstance(outcome, Retry) and outcome.in_ is not None:
        return now + outcome.in_
    return now + backoff_delay(lease.failures + 1, policy, random)


def tries_again(crashes: int, policy: Policy) -> bool:
    """Whether a job that has just taken its process down, after ``crashes`` such attempts before, gets another."""
    return policy.on_crash != "dead" and crashes + 1 < MAX_CRASHES


def not_again(lease: Lease, on_crash: OnCrash | None) -> Fail | None:
    """The end of a job that has taken its process down and must not be tried again; None for any other.

    Whoever took it back from a lost worker knows what the job says, and may not know what its task says: it is asked
    before a start.
    """
    if lease.crashes and on_crash == "dead":
        said = "an earlier attempt took its process down, and on_crash says that there is no other"
        return Fail(Failure(type="Crashed", message=said), Reason.CRASHED, final=True)
    return None


def _reason(outcome: Retry | Fail) -> Reason:
    """Why the job is dead. A crash that gives no reason of its own is one."""
    crashed = isinstance(outcome, Fail) and outcome.crashed
    return Reason.CRASHED if crashed and outcome.reason is Reason.FAILED else outcome.reason


def _or(said: float | None, default: float | None) -> float:
    value = said if said is not None else default
    assert value is not None
    return value
