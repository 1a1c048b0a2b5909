"""Leases: heartbeats, reports, workers that end and workers that vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import LEASE_SECONDS, Adapter
from qtool.engine.job import Report
from qtool.engine.states import Event, Reason, State
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock


def test_a_heartbeat_introduces_the_worker(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    assert adapter.inspector.snapshot().workers == ()
    worker = drive.worker("w1", queues=("a", "b"), busy=3, succeeded=7, failed=2, stopping=True, host="höst")
    adapter.broker.extend(worker, [])
    assert adapter.inspector.snapshot().workers == (worker,)


def test_a_later_heartbeat_replaces_what_the_worker_said(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    drive.beat()
    clock.advance(10)
    worker = drive.worker("w1", busy=2)
    adapter.broker.extend(worker, [])
    drive.beat(worker="w2")
    assert [each.id for each in adapter.inspector.snapshot().workers] == ["w1", "w2"]
    assert adapter.inspector.snapshot().workers[0] == worker


def test_a_heartbeat_tells_what_is_lost_and_what_shall_stop(drive: Drive, adapter: Adapter) -> None:
    _, lost, stopped = drive.put(3)
    leases = drive.claim(3)
    drive.succeed(leases[1])
    adapter.operator.cancel([stopped])
    renewal = adapter.broker.extend(drive.worker(), leases)
    assert renewal.lost == {lost}
    assert renewal.cancelled == {stopped}


def test_a_heartbeat_without_leases_is_one_too(drive: Drive, adapter: Adapter) -> None:
    renewal = adapter.broker.extend(drive.worker(), [])
    assert (renewal.lost, renewal.cancelled) == (frozenset(), frozenset())


def test_heartbeats_keep_the_leases(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    for _ in range(10):
        clock.advance(LEASE_SECONDS - 1)
        drive.beat(lease)
        assert adapter.broker.maintain().rescued == 0
    assert drive.succeed(lease)


def test_a_lease_holds_for_its_time(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    drive.beat(lease)
    adapter.broker.maintain()
    clock.advance(LEASE_SECONDS - 1)
    assert adapter.broker.maintain().rescued == 0
    assert drive.state(lease.id) is State.RUNNING


def test_a_worker_chooses_how_long_its_leases_hold(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    adapter.broker.extend(drive.worker(), [lease], 100.0)
    adapter.broker.maintain()
    clock.advance(99)
    assert adapter.broker.maintain().rescued == 0
    clock.advance(2)
    assert adapter.broker.maintain().rescued == 1


def test_what_a_vanished_worker_held_is_retried_at_once(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    began = clock.now()
    drive.beat(lease)
    drive.lose_worker()
    info = drive.info(lease.id)
    assert (info.attempt, info.failures, info.crashes, info.reason) == (1, 0, 1, None)
    assert info.error is not None
    assert "w1" in info.error.message
    (attempt,) = adapter.inspector.attempts(lease.id)
    assert (attempt.attempt, attempt.worker, attempt.event) == (1, "w1", Event.LEASE_LOST)
    assert (attempt.started_at, attempt.finished_at, attempt.state) == (began, clock.now(), State.RETRY)
    assert attempt.error == info.error
    assert adapter.inspector.snapshot().workers == ()
    again = drive.claim_one(worker="w2")
    assert (again.id, again.attempt, again.crashes) == (lease.id, 2, 1)
    assert not drive.succeed(lease)
    assert drive.succeed(again)


def test_a_worker_that_never_gave_a_heartbeat_is_noticed_too(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.lose_worker()
    assert drive.info(lease.id).crashes == 1


def test_a_worker_is_told_of_the_leases_it_lost(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.lose_worker()
    assert adapter.broker.extend(drive.worker(), [lease]).lost == {lease.id}
    assert [worker.id for worker in adapter.inspector.snapshot().workers] == ["w1"]


def test_only_the_vanished_workers_jobs_are_taken_back(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    drive.put(2)
    mine, theirs = drive.claim_one(worker="w1"), drive.claim_one(worker="w2")
    drive.beat(mine, worker="w1")
    drive.beat(theirs, worker="w2")
    adapter.broker.maintain()
    clock.advance(LEASE_SECONDS - 5)
    drive.beat(mine, worker="w1")
    adapter.broker.maintain()
    clock.advance(10)
    assert adapter.broker.maintain().rescued == 1
    assert drive.state(mine.id) is State.RUNNING
    assert drive.info(theirs.id).crashes == 1
    assert [worker.id for worker in adapter.inspector.snapshot().workers] == ["w1"]


def test_the_third_crash_is_the_last(drive: Drive, adapter: Adapter) -> None:
    id = drive.put_one(unique="k")
    for crashes in (1, 2, 3):
        drive.claim_one()
        drive.lose_worker()
        assert drive.info(id).crashes == crashes
    info = drive.info(id)
    assert (info.state, info.reason, info.attempt) == (State.DEAD, Reason.CRASHED, 3)
    assert info.finished_at is not None
    assert [attempt.state for attempt in adapter.inspector.attempts(id)] == [State.RETRY, State.RETRY, State.DEAD]
    assert adapter.broker.enqueue([drive.job(unique="k")]).existing == frozenset()


def test_a_vanished_workers_job_that_was_asked_to_stop_is_cancelled(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    drive.lose_worker()
    info = drive.info(lease.id)
    assert (info.state, info.crashes, info.due_at) == (State.CANCELLED, 1, None)
    assert adapter.inspector.attempts(lease.id)[0].state is State.CANCELLED
    assert adapter.inspector.check() == []


# --- reports -----------------------------------------------------------------------------------------


def test_progress_and_output_are_seen_while_the_job_runs(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.broker.report([Report(lease, 0.25, "reading", (chunk("one\n"),))])
    assert (drive.info(lease.id).progress, drive.info(lease.id).message) == (0.25, "reading")
    adapter.broker.report(
        [Report(lease, 0.5), Report(lease, None, "writing"), Report(lease, output=(chunk("two\n", 4),))]
    )
    assert (drive.info(lease.id).progress, drive.info(lease.id).message) == (0.5, "writing")
    assert b"".join(each.data for each in adapter.results.output(lease.id)) == b"one\ntwo\n"


def test_news_without_a_lease_is_dropped(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    other = drive.start()
    drive.retry(lease)
    before = drive.info(lease.id)
    adapter.broker.report([Report(lease, 0.5, "late", (chunk("late"),)), Report(other, 0.5)])
    assert drive.info(lease.id) == before
    assert adapter.results.output(lease.id) == []
    assert drive.info(other.id).progress == 0.5


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DEAD, State.CANCELLED])
def test_a_finished_job_has_no_progress(drive: Drive, adapter: Adapter, state: State) -> None:
    lease = drive.start()
    adapter.broker.report([Report(lease, 0.5, "half")])
    event = {State.SUCCEEDED: Event.SUCCESS, State.DEAD: Event.ERROR, State.CANCELLED: Event.CANCEL}[state]
    assert drive.settle(lease, event, state)
    assert drive.info(lease.id).progress is None


def test_progress_starts_anew_with_each_attempt(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    adapter.broker.report([Report(lease, 0.5, "half")])
    drive.retry(lease)
    assert drive.info(lease.id).progress is None
    clock.advance(LATER)
    drive.claim_one()
    assert (drive.info(lease.id).progress, drive.info(lease.id).message) == (None, None)


# --- leaving -----------------------------------------------------------------------------------------


def test_what_a_leaving_worker_held_was_not_started(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    first, second, third = drive.put(3)
    leases = drive.claim(2)
    drive.beat(*leases)
    clock.advance(5)
    drive.succeed(leases[0])
    adapter.broker.leave("w1")
    info = drive.info(second)
    assert (info.state, info.attempt, info.crashes, info.failures) == (State.READY, 0, 0, 0)
    assert drive.state(first) is State.SUCCEEDED
    assert adapter.inspector.attempts(second) == []
    assert adapter.inspector.snapshot().workers == ()
    assert not drive.succeed(leases[1])
    assert drive.state(third) is State.READY


def test_what_a_leaving_worker_held_keeps_its_place(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    clock.advance(5)
    drive.put()
    clock.advance(5)
    adapter.broker.leave("w1")
    assert drive.claim_one(worker="w2").id == lease.id


def test_a_leaving_workers_job_that_was_asked_to_stop_is_cancelled(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    adapter.broker.leave("w1")
    assert drive.state(lease.id) is State.CANCELLED
    assert drive.info(lease.id).finished_at is not None
    assert adapter.inspector.check() == []


def test_other_workers_stay(drive: Drive, adapter: Adapter) -> None:
    drive.put(2)
    drive.claim_one(worker="w1")
    theirs = drive.claim_one(worker="w2")
    drive.beat(theirs, worker="w2")
    adapter.broker.leave("w1")
    assert [worker.id for worker in adapter.inspector.snapshot().workers] == ["w2"]
    assert drive.succeed(theirs)


def test_a_worker_that_nobody_knows_may_leave(adapter: Adapter) -> None:
    adapter.broker.leave("nobody")


def test_a_worker_that_left_may_come_again(drive: Drive, adapter: Adapter) -> None:
    drive.start()
    adapter.broker.leave("w1")
    lease = drive.claim_one()
    drive.lose_worker()
    assert drive.info(lease.id).crashes == 1


def test_a_slate_where_the_dead_are_noticed_at_once(drive: Drive, adapter: Adapter) -> None:
    slate = adapter.broker.slate("w9", 2)
    assert (slate is not None) is adapter.capabilities.local_rescue
    if slate is not None:
        slate.close()


def test_the_living_worker_behind_a_locked_slate_keeps_its_jobs(drive: Drive, adapter: Adapter) -> None:
    slate = adapter.broker.slate("w1", 1)
    lease = drive.start()
    drive.beat(lease)
    assert adapter.broker.maintain().rescued == 0
    assert drive.succeed(lease)
    if slate is not None:
        slate.close()
