"""The states of a job and the one table of legal moves (docs/reference/states.md draws it).

Every adapter is tested against :data:`TABLE` exhaustively. Celery's names map onto it at the edge.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is. The last four are final."""

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    RETRY = "retry"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Reason(StrEnum):
    """Why a job is dead; or has expired, without having had a deadline (:attr:`LOST`)."""

    FAILED = "failed"
    DISCARDED = "discarded"
    """Its own code said that it should not run again."""
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    UNKNOWN_TASK = "unknown-task"
    UNDECODABLE = "undecodable"
    LOST = "lost"
    """Somebody else's worker took it, and there is no result: how it ended nobody knows. Dead where there should be
    one, expired where such a worker keeps none of its task."""


class Event(StrEnum):
    """What moves a job from one state to another."""

    DEPENDENCIES_MET = "dependencies met"
    DEPENDENCY_FAILED = "dependency failed"
    DUE = "due"
    CLAIM = "claim"
    SUCCESS = "success"
    ERROR = "error"
    SNOOZE = "snooze"
    LEASE_LOST = "lease lost"
    CANCEL = "cancel"
    DEADLINE = "deadline"
    OPERATOR_RETRY = "operator's retry"


S, E = State, Event

FINAL: frozenset[State] = frozenset({S.SUCCEEDED, S.DEAD, S.CANCELLED, S.EXPIRED})
UNFINISHED: frozenset[State] = frozenset(State) - FINAL
PENDING: frozenset[State] = UNFINISHED - {S.RUNNING}
"""Not started, or between two attempts: what an operator can cancel and a deadline can expire."""

TABLE: dict[tuple[State, Event], frozenset[State]] = {
    (S.WAITING, E.DEPENDENCIES_MET): frozenset({S.SCHEDULED, S.READY}),
    (S.WAITING, E.DEPENDENCY_FAILED): frozenset({S.CANCELLED}),
    (S.SCHEDULED, E.DUE): frozenset({S.READY}),
    (S.RETRY, E.DUE): frozenset({S.READY}),
    (S.READY, E.CLAIM): frozenset({S.RUNNING}),
    (S.RUNNING, E.SUCCESS): frozenset({S.SUCCEEDED}),
    (S.RUNNING, E.ERROR): frozenset({S.RETRY, S.DEAD}),
    (S.RUNNING, E.SNOOZE): frozenset({S.SCHEDULED, S.READY}),
    (S.RUNNING, E.LEASE_LOST): frozenset({S.RETRY, S.DEAD}),
    (S.RUNNING, E.CANCEL): frozenset({S.CANCELLED}),
    **{(state, E.CANCEL): frozenset({S.CANCELLED}) for state in PENDING},
    **{(state, E.DEADLINE): frozenset({S.EXPIRED}) for state in PENDING},
    **{(state, E.OPERATOR_RETRY): frozenset({S.READY}) for state in FINAL},
}


def allowed(before: State, event: Event) -> frozenset[State]:
    """The states that ``event`` may lead to from ``before``; empty when it means nothing there."""
    return TABLE.get((before, event), frozenset())


def reachable(before: State, after: State) -> bool:
    """Whether any event leads from ``before`` to ``after``."""
    return any(after in ends for (start, _), ends in TABLE.items() if start is before)
