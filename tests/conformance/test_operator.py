"""An operator's verbs: retry, cancel, kill, delete, pause, resume, scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import ASKED_TO_STOP, TO_BE_KILLED, Adapter
from qtool.engine.states import FINAL, PENDING, State
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from qtool.engine.clock import ManualClock

HERE = [state for state in State if state is not State.WAITING]
FINALS = [state for state in HERE if state in FINAL]
CANCELLABLE = [state for state in HERE if state in PENDING]


@pytest.mark.parametrize("verb", ["retry", "cancel", "kill", "delete"])
def test_every_id_is_reported_on_in_order(drive: Drive, adapter: Adapter, verb: str) -> None:
    ready = drive.put_one()
    changes = getattr(adapter.operator, verb)(["no-such", ready, "neither"])
    assert [change.id for change in changes] == ["no-such", ready, "neither"]
    assert [change.before for change in changes] == [None, State.READY, None]
    assert [(change.after, change.changed) for change in changes[::2]] == [(None, False)] * 2


@pytest.mark.parametrize("verb", ["retry", "cancel", "kill", "delete"])
def test_no_ids_are_nothing(adapter: Adapter, verb: str) -> None:
    assert getattr(adapter.operator, verb)([]) == []


@pytest.mark.parametrize("verb", ["cancel", "kill", "delete"])
def test_an_id_given_twice_is_done_once(drive: Drive, adapter: Adapter, verb: str) -> None:
    id = drive.put_one()
    first, second = getattr(adapter.operator, verb)([id, id])
    assert first.changed
    assert not second.changed
    assert adapter.inspector.check() == []


# --- retry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", FINALS)
def test_a_finished_job_is_ready_again(drive: Drive, adapter: Adapter, clock: ManualClock, state: State) -> None:
    id = drive.reach(state)
    before = drive.info(id)
    history = adapter.inspector.attempts(id)
    clock.advance(5)
    (change,) = adapter.operator.retry([id])
    assert (change.before, change.after, change.changed) == (state, State.READY, True)
    info = drive.info(id)
    assert (info.state, info.ready_at, info.finished_at, info.due_at) == (State.READY, clock.now(), None, None)
    assert (info.attempt, info.failures, info.crashes) == (before.attempt, 0, 0)
    assert (info.reason, info.error) == (None, None)
    result = adapter.results.results([id])[0]
    assert result is not None
    assert (result.state, result.value, result.error) == (State.READY, None, None)
    assert adapter.inspector.attempts(id) == history
    lease = drive.claim_one()
    assert (lease.id, lease.attempt, lease.failures, lease.crashes) == (id, before.attempt + 1, 0, 0)


@pytest.mark.parametrize("state", [state for state in HERE if state not in FINAL])
def test_an_unfinished_job_is_not_retried(drive: Drive, adapter: Adapter, state: State) -> None:
    id = drive.reach(state)
    before = drive.info(id)
    (change,) = adapter.operator.retry([id])
    assert (change.before, change.after, change.changed) == (state, state, False)
    assert change.note
    assert drive.info(id) == before


def test_an_expired_job_that_is_retried_does_not_expire_at_once(drive: Drive, adapter: Adapter) -> None:
    id = drive.reach(State.EXPIRED)
    adapter.operator.retry([id])
    adapter.broker.maintain()
    assert drive.claim_one().id == id


def test_a_retried_job_goes_behind_what_is_ready(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    first, second = drive.put(2)
    adapter.operator.cancel([first])
    clock.advance(1)
    adapter.operator.retry([first])
    assert [drive.claim_one().id, drive.claim_one().id] == [second, first]


def test_a_job_cancelled_and_retried_at_once_is_claimed_once(drive: Drive, adapter: Adapter) -> None:
    id = drive.put_one()
    adapter.operator.cancel([id])
    adapter.operator.retry([id])
    assert [lease.id for lease in drive.claim(2)] == [id]


def test_a_retried_job_keeps_its_output(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.fail(lease, output=(chunk("first"),))
    adapter.operator.retry([lease.id])
    drive.succeed(drive.claim_one(), output=(chunk("second"),))
    assert adapter.results.output(lease.id, attempt=1) == [chunk("first")]
    assert adapter.results.output(lease.id) == [chunk("second")]


def test_a_retried_job_takes_its_unique_key_again(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start(unique="k")
    drive.fail(lease)
    adapter.operator.retry([lease.id])
    assert adapter.broker.enqueue([drive.job(unique="k")]).existing == {lease.id}


def test_a_unique_key_that_another_holds_forbids_the_retry(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start(unique="k")
    drive.fail(lease)
    before = drive.info(lease.id)
    drive.put(unique="k")
    (change,) = adapter.operator.retry([lease.id])
    assert (change.before, change.after, change.changed) == (State.DEAD, State.DEAD, False)
    assert change.note
    assert drive.info(lease.id) == before
    assert adapter.inspector.check() == []


def test_of_two_with_one_unique_key_the_first_is_retried(drive: Drive, adapter: Adapter) -> None:
    ids = []
    for _ in range(2):
        lease = drive.start(unique="k")
        drive.fail(lease)
        ids.append(lease.id)
    assert [change.changed for change in adapter.operator.retry(ids)] == [True, False]
    assert [drive.state(id) for id in ids] == [State.READY, State.DEAD]
    assert adapter.inspector.check() == []


# --- cancel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", CANCELLABLE)
def test_a_pending_job_is_cancelled(drive: Drive, adapter: Adapter, clock: ManualClock, state: State) -> None:
    id = drive.reach(state)
    (change,) = adapter.operator.cancel([id])
    assert (change.before, change.after, change.changed) == (state, State.CANCELLED, True)
    info = drive.info(id)
    assert (info.state, info.finished_at, info.due_at) == (State.CANCELLED, clock.now(), None)
    clock.advance(LATER)
    assert drive.claim() == []


def test_a_running_job_is_asked_to_stop(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    (change,) = adapter.operator.cancel([lease.id])
    assert (change.before, change.after, change.note) == (State.RUNNING, State.RUNNING, ASKED_TO_STOP)
    assert change.changed
    assert drive.state(lease.id) is State.RUNNING
    for _ in range(2):
        assert adapter.broker.extend(drive.worker(), [lease]).cancelled == {lease.id}


@pytest.mark.parametrize("state", FINALS)
def test_a_finished_job_is_not_cancelled(drive: Drive, adapter: Adapter, state: State) -> None:
    id = drive.reach(state)
    before = drive.info(id)
    (change,) = adapter.operator.cancel([id])
    assert (change.before, change.after, change.changed) == (state, state, False)
    assert change.note
    assert drive.info(id) == before


def test_a_request_to_stop_is_for_one_run(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    drive.fail(lease)
    adapter.operator.retry([lease.id])
    again = drive.claim_one()
    assert adapter.broker.extend(drive.worker(), [again]).cancelled == frozenset()
    assert drive.retry(again)
    assert drive.state(lease.id) is State.RETRY


# --- delete ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in HERE if state is not State.RUNNING])
def test_a_job_that_does_not_run_vanishes(drive: Drive, adapter: Adapter, clock: ManualClock, state: State) -> None:
    id = drive.reach(state)
    (change,) = adapter.operator.delete([id])
    assert (change.before, change.after, change.changed) == (state, None, True)
    assert adapter.inspector.get([id]) == [None]
    assert adapter.results.results([id]) == [None]
    assert adapter.inspector.attempts(id) == []
    assert adapter.inspector.count() == 0
    clock.advance(3 * LATER)
    adapter.broker.maintain()
    assert drive.claim() == []
    assert adapter.inspector.check() == []


def test_a_running_job_does_not_vanish(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    (change,) = adapter.operator.delete([lease.id])
    assert (change.before, change.after, change.changed) == (State.RUNNING, State.RUNNING, False)
    assert change.note
    assert drive.succeed(lease)


def test_output_goes_with_its_job_and_is_not_the_next_ones(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start(id="a")
    drive.fail(lease, output=(chunk("old"),))
    adapter.operator.delete(["a"])
    assert adapter.results.output("a") == []
    drive.start(id="a")
    assert adapter.results.output("a") == adapter.inspector.attempts("a") == []


# --- pause -------------------------------------------------------------------------------------------


def test_pausing_and_resuming_say_whether_they_did_something(adapter: Adapter, drive: Drive) -> None:
    drive.put(queue="q")
    assert [adapter.operator.pause("q"), adapter.operator.pause("q")] == [True, False]
    assert [adapter.operator.resume("q"), adapter.operator.resume("q")] == [True, False]


def test_running_jobs_of_a_paused_queue_go_on(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.pause("default")
    drive.beat(lease)
    assert drive.retry(lease)


def test_a_queue_may_be_paused_before_its_first_job(drive: Drive, adapter: Adapter) -> None:
    assert adapter.operator.pause("new")
    (stats,) = adapter.inspector.snapshot().queues
    assert (stats.name, stats.paused, sum(stats.counts.values())) == ("new", True, 0)
    drive.put(queue="new")
    assert drive.claim() == []
    adapter.operator.resume("new")
    assert len(drive.claim()) == 1


# --- kill --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", CANCELLABLE)
def test_a_pending_job_that_is_killed_is_cancelled(drive: Drive, adapter: Adapter, state: State) -> None:
    id = drive.reach(state)
    (change,) = adapter.operator.kill([id])
    assert (change.before, change.after, change.changed) == (state, State.CANCELLED, True)
    assert adapter.inspector.check() == []


def test_a_running_job_is_to_be_killed_and_its_worker_is_told(drive: Drive, adapter: Adapter) -> None:
    asked, killed = drive.start(), drive.start()
    adapter.operator.cancel([asked.id])
    (change,) = adapter.operator.kill([killed.id])
    assert (change.after, change.note, change.changed) == (State.RUNNING, TO_BE_KILLED, True)
    renewal = adapter.broker.extend(drive.worker(), [asked, killed])
    assert renewal.cancelled == {asked.id}
    assert renewal.killed == {killed.id}


def test_asking_does_not_take_a_kill_back(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.kill([lease.id])
    adapter.operator.cancel([lease.id])
    renewal = adapter.broker.extend(drive.worker(), [lease])
    assert not renewal.cancelled
    assert renewal.killed == {lease.id}


# --- scale -------------------------------------------------------------------------------------------


def test_a_worker_learns_how_many_slots_are_wanted(drive: Drive, adapter: Adapter) -> None:
    worker = drive.worker()
    assert adapter.broker.extend(worker, []).slots is None
    assert adapter.operator.scale(worker.id, 2, 8)
    assert adapter.broker.extend(worker, []).slots == (2, 8)
    assert adapter.broker.extend(worker, []).slots == (2, 8)


def test_nobody_can_scale_a_worker_that_is_not_there(adapter: Adapter) -> None:
    assert not adapter.operator.scale("nobody", 1, 1)
