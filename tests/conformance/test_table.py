"""Every cell of the table of states: the legal moves reach their ends, the others change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.states import TABLE, Event, State, allowed
from tests.conformance.drive import DEADLINE, LATER, Drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter

E, S = Event, State


def _settle(event: Event, state: State) -> Callable[[Drive, str], None]:
    def act(drive: Drive, id: str) -> None:
        was_running = drive.state(id) is S.RUNNING
        assert drive.settle(drive.stale(id), event, state) is was_running

    return act


def _claim(drive: Drive, id: str) -> None:
    claimed = [lease.id for lease in drive.claim(10)]
    assert claimed == ([id] if drive.state(id) is S.RUNNING and claimed else [])


def _wait(seconds: float) -> Callable[[Drive, str], None]:
    def act(drive: Drive, id: str) -> None:
        drive.clock.advance(seconds)
        drive.beat()
        drive.adapter.broker.maintain()

    return act


def _lose(drive: Drive, id: str) -> None:
    drive.lose_worker()


def _lose_thrice(drive: Drive, id: str) -> None:
    was_running = drive.state(id) is S.RUNNING
    for _ in range(3 if was_running else 1):
        if drive.state(id) is not S.RUNNING and was_running:
            drive.claim_one()
        drive.lose_worker()


def _cancel(drive: Drive, id: str) -> None:
    if drive.state(id) is S.RUNNING:
        assert drive.settle(drive.leases[id], E.CANCEL, S.CANCELLED)
    else:
        drive.adapter.operator.cancel([id])


def _operator_retry(drive: Drive, id: str) -> None:
    drive.adapter.operator.retry([id])


ACTIONS: list[tuple[str, Event, State, Callable[[Drive, str], None]]] = [
    ("due", E.DUE, S.READY, _wait(LATER)),
    ("claim", E.CLAIM, S.RUNNING, _claim),
    ("success", E.SUCCESS, S.SUCCEEDED, _settle(E.SUCCESS, S.SUCCEEDED)),
    ("error, attempts left", E.ERROR, S.RETRY, _settle(E.ERROR, S.RETRY)),
    ("error, none left", E.ERROR, S.DEAD, _settle(E.ERROR, S.DEAD)),
    ("snooze for a while", E.SNOOZE, S.SCHEDULED, _settle(E.SNOOZE, S.SCHEDULED)),
    ("snooze", E.SNOOZE, S.READY, _settle(E.SNOOZE, S.READY)),
    ("process crashed", E.LEASE_LOST, S.RETRY, _settle(E.LEASE_LOST, S.RETRY)),
    ("process crashed again", E.LEASE_LOST, S.DEAD, _settle(E.LEASE_LOST, S.DEAD)),
    ("worker lost", E.LEASE_LOST, S.RETRY, _lose),
    ("worker lost thrice", E.LEASE_LOST, S.DEAD, _lose_thrice),
    ("cancel", E.CANCEL, S.CANCELLED, _cancel),
    ("cancel honoured", E.CANCEL, S.CANCELLED, _settle(E.CANCEL, S.CANCELLED)),
    ("deadline", E.DEADLINE, S.EXPIRED, _wait(DEADLINE + 1)),
    ("operator's retry", E.OPERATOR_RETRY, S.READY, _operator_retry),
]

A_WORKERS = "cancel honoured"
"""The event has two forms; this one is a worker's and means nothing where none is."""

DEPENDENCIES = {E.DEPENDENCIES_MET, E.DEPENDENCY_FAILED}


def test_the_actions_cover_the_table() -> None:
    covered = {(event, end) for _, event, end, _ in ACTIONS}
    wanted = {(event, end) for (_, event), ends in TABLE.items() for end in ends if event not in DEPENDENCIES}
    assert covered == wanted


@pytest.mark.parametrize("before", [state for state in State if state is not S.WAITING], ids=str)
@pytest.mark.parametrize(("name", "event", "end", "act"), ACTIONS, ids=[action[0] for action in ACTIONS])
def test_cell(
    drive: Drive, before: State, name: str, event: Event, end: State, act: Callable[[Drive, str], None]
) -> None:
    id = drive.reach(before)
    untouched = drive.info(id)
    means_nothing = name == A_WORKERS and before is not S.RUNNING
    act(drive, id)
    if end in allowed(before, event) and not means_nothing:
        # A job taken back is due at once, so that upkeep may have made it ready already.
        ends = {end, S.READY} if act is _lose else {end}
        assert drive.state(id) in ends
    else:
        assert drive.info(id) == untouched
    assert drive.adapter.inspector.check() == []


@pytest.mark.parametrize(("name", "event", "end", "act"), ACTIONS, ids=[action[0] for action in ACTIONS])
def test_a_job_that_a_limit_holds_is_ready_for_all_but_a_claim(
    drive: Drive, name: str, event: Event, end: State, act: Callable[[Drive, str], None]
) -> None:
    drive.put(key="k")
    drive.claim_one()
    id = drive.put_one(key="k", expires_at=drive.clock.now() + DEADLINE)
    assert drive.claim(10) == []
    assert drive.info(id).held == "key:k"
    act(drive, id)
    moves = end in allowed(S.READY, event) and event is not E.CLAIM and name != A_WORKERS
    assert drive.state(id) is (end if moves else S.READY)
    assert drive.info(id).held in ({None} if moves else {None, "key:k"})
    assert drive.info(id).attempt == 0
    assert drive.adapter.inspector.check() == []


def test_jobs_do_not_wait_for_others_yet(adapter: Adapter, drive: Drive) -> None:
    """The row of the table for waiting jobs joins this suite with the first adapter that has dependencies."""
    assert not adapter.capabilities.dependencies
    parent = drive.put_one()
    assert drive.state(drive.put_one(parents=(parent,))) is S.READY
