"""Settling: each kind of end, and late ones refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Failure, Lease, Settlement
from qtool.engine.states import Event, Reason, State
from tests.conformance.drive import BOOM, Drive, chunk

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock

E, S = Event, State

ENDS: list[tuple[Event, State]] = [
    (E.SUCCESS, S.SUCCEEDED),
    (E.ERROR, S.RETRY),
    (E.ERROR, S.DEAD),
    (E.SNOOZE, S.SCHEDULED),
    (E.SNOOZE, S.READY),
    (E.LEASE_LOST, S.RETRY),
    (E.LEASE_LOST, S.DEAD),
    (E.CANCEL, S.CANCELLED),
]


def test_no_settlements_are_nothing(adapter: Adapter) -> None:
    assert adapter.broker.settle([]) == []


def test_success(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    began = clock.now() + 0.25
    clock.advance(2)
    assert drive.succeed(lease, '{"a":1}', started_at=began)
    info = drive.info(lease.id)
    assert (info.state, info.started_at, info.finished_at) == (S.SUCCEEDED, began, clock.now())
    assert (info.attempt, info.failures, info.crashes) == (1, 0, 0)
    assert (info.error, info.reason, info.progress) == (None, None, None)
    assert info.worker == "w1"
    result = adapter.results.results([lease.id])[0]
    assert result is not None
    assert (result.state, result.value, result.error, result.reason) == (S.SUCCEEDED, '{"a":1}', None, None)
    assert adapter.inspector.attempts(lease.id) == []


def test_an_error_to_be_retried(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    began = clock.now()
    clock.advance(2)
    assert drive.retry(lease, 10.0, started_at=began)
    info = drive.info(lease.id)
    assert (info.state, info.due_at, info.finished_at) == (S.RETRY, clock.now() + 10, None)
    assert (info.attempt, info.failures, info.crashes) == (1, 1, 0)
    assert (info.error, info.reason) == (BOOM, None)
    (attempt,) = adapter.inspector.attempts(lease.id)
    assert (attempt.attempt, attempt.worker, attempt.event, attempt.state) == (1, "w1", E.ERROR, S.RETRY)
    assert (attempt.started_at, attempt.finished_at, attempt.error) == (began, clock.now(), BOOM)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.CRASHED])
def test_an_error_for_good(drive: Drive, adapter: Adapter, clock: ManualClock, reason: Reason) -> None:
    lease = drive.start()
    assert drive.fail(lease, reason=reason)
    info = drive.info(lease.id)
    assert (info.state, info.reason, info.error) == (S.DEAD, reason, BOOM)
    assert (info.failures, info.crashes, info.finished_at, info.due_at) == (1, 0, clock.now(), None)
    assert [attempt.state for attempt in adapter.inspector.attempts(lease.id)] == [S.DEAD]
    result = adapter.results.results([lease.id])[0]
    assert result is not None
    assert (result.state, result.value, result.error, result.reason) == (S.DEAD, None, BOOM, reason)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(type="ExitCode", message="exited with 3", exit_code=3),
        Failure(type="Signal", message="killed by SIGKILL", signal=9),
        Failure(type="E", message="zwölf\n\x1b[31m", traceback="one\ntwo"),
        Failure(type="E", message=""),
    ],
    ids=["exit code", "signal", "odd text", "no message"],
)
def test_every_part_of_a_failure_is_kept(drive: Drive, adapter: Adapter, failure: Failure) -> None:
    lease = drive.start()
    drive.fail(lease, failure=failure)
    assert drive.info(lease.id).error == failure
    assert adapter.inspector.attempts(lease.id)[0].error == failure


def test_a_crash_counts_apart_from_errors(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    assert drive.settle(lease, E.LEASE_LOST, S.RETRY, due_at=clock.now())
    info = drive.info(lease.id)
    assert (info.attempt, info.failures, info.crashes, info.error) == (1, 0, 1, BOOM)
    assert [(a.event, a.state) for a in adapter.inspector.attempts(lease.id)] == [(E.LEASE_LOST, S.RETRY)]
    again = drive.claim_one()
    assert (again.attempt, again.failures, again.crashes) == (2, 0, 1)


def test_a_snooze_gives_the_attempt_back(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    assert drive.snooze(lease, 10.0)
    info = drive.info(lease.id)
    assert (info.state, info.attempt, info.due_at) == (S.SCHEDULED, 0, clock.now() + 10)
    assert drive.claim() == []
    clock.advance(10)
    again = drive.claim_one()
    assert again.attempt == 1
    assert again.token != lease.token
    assert adapter.inspector.attempts(lease.id) == []


def test_a_snooze_for_no_time_goes_behind_what_is_ready(drive: Drive, clock: ManualClock) -> None:
    lease = drive.start()
    other = drive.put_one()
    clock.advance(1)
    assert drive.snooze(lease)
    assert (drive.state(lease.id), drive.info(lease.id).attempt) == (S.READY, 0)
    assert [each.id for each in drive.claim(2)] == [other, lease.id]


def test_a_cancel_honoured(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    assert drive.settle(lease, E.CANCEL, S.CANCELLED)
    info = drive.info(lease.id)
    assert (info.state, info.finished_at, info.attempt, info.failures) == (S.CANCELLED, clock.now(), 1, 0)


def test_a_job_that_was_done_before_it_was_asked_to_stop_has_succeeded(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    assert drive.succeed(lease, "1")
    assert drive.state(lease.id) is S.SUCCEEDED


@pytest.mark.parametrize(("event", "state"), [end for end in ENDS if end[1] in (S.RETRY, S.SCHEDULED, S.READY)])
def test_a_job_that_was_asked_to_stop_does_not_run_again(
    drive: Drive, adapter: Adapter, event: Event, state: State
) -> None:
    lease = drive.start(unique="k")
    adapter.operator.cancel([lease.id])
    assert drive.settle(lease, event, state)
    info = drive.info(lease.id)
    assert (info.state, info.due_at, info.reason) == (S.CANCELLED, None, None)
    assert info.finished_at is not None
    assert adapter.broker.enqueue([drive.job(unique="k")]).existing == frozenset()
    assert adapter.inspector.check() == []


def test_output_comes_with_the_end(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.succeed(lease, output=(chunk("one\n"), chunk("two\n", 4, "stderr")))
    assert adapter.results.output(lease.id) == [chunk("one\n"), chunk("two\n", 4, "stderr")]


@pytest.mark.parametrize(("event", "state"), ENDS)
def test_only_the_first_outcome_counts(drive: Drive, event: Event, state: State) -> None:
    lease = drive.start()
    assert drive.succeed(lease, "1")
    before = drive.info(lease.id)
    assert not drive.settle(lease, event, state, output=(chunk("late"),))
    assert drive.info(lease.id) == before
    assert drive.adapter.results.output(lease.id) == []


@pytest.mark.parametrize(("event", "state"), ENDS)
def test_an_old_token_is_refused_while_a_new_one_runs(
    drive: Drive, clock: ManualClock, event: Event, state: State
) -> None:
    old = drive.start()
    drive.retry(old, 1.0)
    clock.advance(1)
    new = drive.claim_one()
    before = drive.info(old.id)
    assert not drive.settle(old, event, state, output=(chunk("late"),))
    assert drive.info(old.id) == before
    assert drive.succeed(new)


def test_an_outcome_for_a_job_that_is_gone_is_refused(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.succeed(lease)
    adapter.operator.delete([lease.id])
    assert not drive.succeed(lease)


@pytest.mark.parametrize(("event", "state"), ENDS)
def test_a_batch_holds_good_and_late_ones(drive: Drive, adapter: Adapter, event: Event, state: State) -> None:
    drive.put(5)
    leases = drive.claim(5)
    late = leases[2]
    assert drive.succeed(late)
    settled = adapter.broker.settle([drive.settlement(lease, event, state) for lease in leases])
    assert settled == [state, state, None, state, state]
    assert [drive.state(lease.id) for lease in leases if lease is not late] == [state] * 4
    assert drive.state(late.id) is S.SUCCEEDED
    assert adapter.inspector.check() == []


def test_one_lease_twice_in_a_batch_counts_once(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    twice = [drive.settlement(lease, E.SUCCESS, S.SUCCEEDED, result=text) for text in ("1", "2")]
    assert adapter.broker.settle(twice) == [S.SUCCEEDED, None]
    result = adapter.results.results([lease.id])[0]
    assert result is not None
    assert result.value == "1"
    assert adapter.inspector.check() == []


def test_a_mixed_batch_settles_each_by_itself(drive: Drive, adapter: Adapter) -> None:
    drive.put(len(ENDS))
    leases = drive.claim(len(ENDS))
    batch: list[Settlement] = [
        drive.settlement(lease, event, state) for lease, (event, state) in zip(leases, ENDS, strict=True)
    ]
    assert adapter.broker.settle(batch) == [state for _, state in ENDS]
    assert [drive.state(lease.id) for lease in leases] == [state for _, state in ENDS]


def test_a_made_up_lease_is_refused(drive: Drive) -> None:
    lease = drive.start()
    forged = Lease._make(lease._replace(token=lease.token + 1))
    assert not drive.succeed(forged)
    assert drive.state(lease.id) is S.RUNNING
