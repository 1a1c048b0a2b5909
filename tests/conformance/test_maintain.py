"""Upkeep: promotion, expiry, retention, and what is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import Adapter, Maintenance
from qtool.engine.policy import DAY, Retention
from qtool.engine.states import State
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock
    from tests.conformance.conftest import MakeAdapter

FINALS = [State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED]


def test_nothing_to_do(adapter: Adapter) -> None:
    assert adapter.broker.maintain() == Maintenance()


def test_due_jobs_are_promoted_and_the_next_is_told(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    soon, later = drive.put_one(run_at=start + 10), drive.put_one(run_at=start + 20)
    assert adapter.broker.maintain().next_due == start + 10
    clock.advance(10)
    done = adapter.broker.maintain()
    assert (done.promoted, done.expired, done.next_due) == (1, 0, start + 20)
    assert (drive.state(soon), drive.state(later)) == (State.READY, State.SCHEDULED)
    assert (drive.info(soon).ready_at, drive.info(soon).due_at) == (start + 10, None)
    clock.advance(100)
    assert adapter.broker.maintain() == Maintenance(promoted=1)
    assert drive.info(later).ready_at == start + 20


def test_retried_jobs_are_promoted(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    id = drive.reach(State.RETRY)
    due = clock.now() + LATER
    assert adapter.broker.maintain().next_due == due
    clock.advance(LATER)
    assert adapter.broker.maintain().promoted == 1
    assert (drive.state(id), drive.info(id).ready_at) == (State.READY, due)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.RETRY])
def test_overdue_jobs_expire(drive: Drive, adapter: Adapter, clock: ManualClock, state: State) -> None:
    start = clock.now()
    said = {"expires_at": start + 10} | ({"run_at": start + LATER} if state is State.SCHEDULED else {})
    id = drive.put_one(**said)
    if state is State.RETRY:
        drive.retry(drive.claim_one())
    clock.advance(9)
    assert adapter.broker.maintain().expired == 0
    clock.advance(1)
    assert adapter.broker.maintain().expired == 1
    info = drive.info(id)
    assert (info.state, info.finished_at, info.due_at) == (State.EXPIRED, clock.now(), None)
    result = adapter.results.results([id])[0]
    assert result is not None
    assert result.state is State.EXPIRED


def test_a_job_that_outlived_its_deadline_while_running_expires_in_retry(
    drive: Drive, adapter: Adapter, clock: ManualClock
) -> None:
    lease = drive.start(expires_at=clock.now() + 10)
    clock.advance(20)
    drive.retry(lease)
    adapter.broker.maintain()
    assert drive.state(lease.id) is State.EXPIRED


def test_cancelled_jobs_have_no_next(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    id = drive.put_one(run_at=clock.now() + 10)
    adapter.operator.cancel([id])
    assert adapter.broker.maintain().next_due is None
    clock.advance(20)
    assert adapter.broker.maintain() == Maintenance()
    assert drive.state(id) is State.CANCELLED


def test_many_are_promoted_and_expired_at_once(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    drive.put(2_500, run_at=start + 10)
    drive.put(2_500, expires_at=start + 10)
    clock.advance(10)
    done = adapter.broker.maintain()
    assert (done.promoted, done.expired) == (2_500, 2_500)
    assert adapter.inspector.check() == []


@pytest.mark.parametrize("state", FINALS)
def test_finished_jobs_are_kept_as_long_as_the_policy_says(
    make_adapter: MakeAdapter, clock: ManualClock, state: State
) -> None:
    keep = {each.value: 50 * DAY for each in FINALS} | {state.value: 5 * DAY}
    adapter = make_adapter(retention=Retention(**keep))
    drive = Drive(adapter, clock)
    old = drive.reach(state)
    clock.advance(4.9 * DAY)
    assert adapter.broker.maintain().pruned == 0
    clock.advance(0.2 * DAY)
    young = drive.reach(state)
    adapter.broker.maintain()
    assert adapter.inspector.get([old]) == [None]
    assert adapter.results.results([old]) == [None]
    assert adapter.inspector.attempts(old) == []
    assert drive.state(young) is state
    assert adapter.inspector.check() == []


@pytest.mark.parametrize("state", FINALS)
def test_no_limit_keeps_for_ever(make_adapter: MakeAdapter, clock: ManualClock, state: State) -> None:
    limits: dict[str, float | None] = {each.value: 1.0 for each in FINALS}
    adapter = make_adapter(retention=Retention(**(limits | {state.value: None})))
    drive = Drive(adapter, clock)
    id = drive.reach(state)
    clock.advance(10_000 * DAY)
    assert adapter.broker.maintain().pruned == 0
    assert drive.state(id) is state


def test_by_default_failures_are_kept_longer_than_successes(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    ids = {state: drive.reach(state) for state in FINALS}
    clock.advance(8 * DAY)
    assert adapter.broker.maintain().pruned == 3
    assert drive.state(ids[State.DEAD]) is State.DEAD
    clock.advance(83 * DAY)
    assert adapter.broker.maintain().pruned == 1
    assert adapter.inspector.count() == 0


def test_a_job_that_was_retried_is_not_pruned_for_its_first_end(
    drive: Drive, adapter: Adapter, clock: ManualClock
) -> None:
    id = drive.reach(State.DEAD)
    clock.advance(89 * DAY)
    adapter.operator.retry([id])
    drive.fail(drive.claim_one(), output=(chunk("x"),))
    clock.advance(2 * DAY)
    assert adapter.broker.maintain().pruned == 0
    assert drive.state(id) is State.DEAD
    clock.advance(89 * DAY)
    assert adapter.broker.maintain().pruned == 1


def test_unfinished_jobs_are_never_pruned(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    ready = drive.put_one()
    drive.put_one(run_at=clock.now() + 10_000 * DAY)
    clock.advance(1_000 * DAY)
    assert adapter.broker.maintain().pruned == 0
    assert drive.state(ready) is State.READY
    assert adapter.inspector.count() == 2
