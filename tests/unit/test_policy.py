"""What becomes of a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.job import (
    UNSAID,
    Cancel,
    Chunk,
    Done,
    Fail,
    Failure,
    Lease,
    Outcome,
    Policy,
    Retry,
    Settlement,
    Snooze,
)
from qtool.engine.policy import DEFAULTS, KEEP, MAX_CRASHES, Retention, backoff_delay, decide, not_again
from qtool.engine.states import FINAL, UNFINISHED, Event, Reason, State, allowed

BOOM = Failure(type="ValueError", message="boom")
NOW = 1_000.0


def lease(**said: Any) -> Lease:
    values: dict[str, Any] = {"id": "j", "task": "t", "queue": "q", "token": 7, "attempt": 1, "failures": 0}
    values |= {"crashes": 0, "body": "[[],{}]", "options": None, "key": 1, "ready_at": NOW - 9}
    return Lease(**(values | said))


def settled(outcome: Outcome, policy: Policy = UNSAID, *, random: float = 0.5, **said: Any) -> Settlement:
    return decide(lease(**said), outcome, policy, started_at=NOW - 1, now=NOW, random=lambda: random)


def test_done() -> None:
    end = settled(Done("[1]"))
    assert (end.event, end.state, end.result) == (Event.SUCCESS, State.SUCCEEDED, "[1]")
    assert (end.at, end.started_at, end.due_at, end.reason, end.failure) == (NOW, NOW - 1, None, None, None)


def test_an_error_is_not_retried_unless_somebody_says_so() -> None:
    end = settled(Fail(BOOM))
    assert (end.event, end.state, end.reason) == (Event.ERROR, State.DEAD, Reason.FAILED)
    assert (end.failure, end.due_at, end.crash) == (BOOM, None, False)


@pytest.mark.parametrize(("failures", "state"), [(0, State.RETRY), (1, State.RETRY), (2, State.DEAD), (9, State.DEAD)])
def test_two_retries_forgive_two_errors(failures: int, state: State) -> None:
    end = settled(Fail(BOOM), Policy(retries=2), failures=failures)
    assert end.state is state
    assert (end.due_at is not None) is (state is State.RETRY)
    assert end.reason is (None if state is State.RETRY else Reason.FAILED)


def test_crashes_and_snoozes_use_up_no_retries() -> None:
    assert settled(Fail(BOOM), Policy(retries=1), failures=0, attempt=9, crashes=2).state is State.RETRY


def test_a_final_error_is_not_retried() -> None:
    end = settled(Fail(BOOM, reason=Reason.UNKNOWN_TASK, final=True), Policy(retries=5))
    assert (end.state, end.reason) == (State.DEAD, Reason.UNKNOWN_TASK)


def test_a_timeout_is_an_error_with_its_own_reason() -> None:
    assert settled(Fail(BOOM, reason=Reason.TIMEOUT), Policy(retries=1)).state is State.RETRY
    assert settled(Fail(BOOM, reason=Reason.TIMEOUT)).reason is Reason.TIMEOUT


def test_a_task_may_ask_to_be_run_again_at_its_own_time() -> None:
    assert settled(Retry(BOOM, 90.0), Policy(retries=1)).due_at == NOW + 90
    assert settled(Retry(BOOM, 0.0), Policy(retries=1)).due_at == NOW
    assert settled(Retry(BOOM), Policy(retries=1, backoff=8.0)).due_at == NOW + 4
    assert settled(Retry(BOOM, 90.0)).state is State.DEAD
    assert settled(Retry(BOOM, 90.0)).reason is Reason.FAILED


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.1, 1e300])
def test_a_wait_that_is_none_is_an_error_of_the_task(seconds: float) -> None:
    for outcome in (Retry(Failure(type="E", message=""), seconds), Snooze(seconds)):
        end = settled(outcome)
        assert (end.event, end.state, end.due_at) == (Event.ERROR, State.DEAD, None)
        assert end.failure is not None
        assert end.failure.type == "ValueError"
        assert settled(outcome, Policy(retries=1)).state is State.RETRY


def test_snoozing() -> None:
    later = settled(Snooze(30.0))
    assert (later.event, later.state, later.due_at) == (Event.SNOOZE, State.SCHEDULED, NOW + 30)
    at_once = settled(Snooze())
    assert (at_once.event, at_once.state, at_once.due_at) == (Event.SNOOZE, State.READY, None)


def test_cancelling() -> None:
    end = settled(Cancel())
    assert (end.event, end.state, end.due_at, end.reason) == (Event.CANCEL, State.CANCELLED, None, None)


def test_a_crash_is_retried_at_once_and_apart_from_errors() -> None:
    end = settled(Fail(BOOM, crashed=True), failures=5)
    assert (end.event, end.state, end.due_at, end.crash) == (Event.LEASE_LOST, State.RETRY, NOW, True)
    assert end.reason is None


def test_the_third_crash_is_the_last() -> None:
    states = [settled(Fail(BOOM, crashed=True), Policy(retries=99), crashes=n).state for n in range(MAX_CRASHES)]
    assert states == [State.RETRY, State.RETRY, State.DEAD]
    end = settled(Fail(BOOM, crashed=True), crashes=MAX_CRASHES - 1)
    assert end.reason is Reason.CRASHED
    assert settled(Fail(BOOM, crashed=True, reason=Reason.TIMEOUT), crashes=9).reason is Reason.TIMEOUT


def test_output_goes_along() -> None:
    output = (Chunk("stdout", 0, b"x"),)
    for outcome in (Done(), Snooze(), Cancel(), Fail(BOOM), Retry(BOOM)):
        end = decide(lease(), outcome, UNSAID, started_at=NOW, now=NOW, random=lambda: 0.0, output=output)
        assert end.output == output


failures_ = st.builds(Failure, type=st.text(), message=st.text())
outcomes = st.one_of(
    st.builds(Done, st.none() | st.text()),
    st.builds(Snooze, st.floats(-1, 1e6)),
    st.builds(Cancel),
    st.builds(Retry, failures_, st.none() | st.floats(0, 1e6), st.sampled_from(Reason)),
    st.builds(Fail, failures_, st.sampled_from(Reason), st.booleans(), st.booleans()),
)
policies = st.builds(
    Policy,
    retries=st.none() | st.integers(0, 5),
    backoff=st.none() | st.floats(0, 1e6),
    backoff_cap=st.none() | st.floats(0, 1e4),
    jitter=st.none() | st.booleans(),
    on_crash=st.sampled_from([None, "retry", "dead"]),
    timeout=st.none() | st.floats(0, 1e6),
    grace=st.none() | st.floats(0, 1e6),
)


@given(outcomes, policies, st.integers(0, 9), st.integers(0, 4), st.floats(0, 1, exclude_max=True))
def test_every_outcome_is_a_legal_move(
    outcome: Outcome, policy: Policy, failures: int, crashes: int, random: float
) -> None:
    end = settled(outcome, policy, failures=failures, crashes=crashes, random=random)
    assert end.state in allowed(State.RUNNING, end.event)
    assert (end.due_at is not None) is (end.state in (State.RETRY, State.SCHEDULED))
    assert (end.reason is not None) is (end.state is State.DEAD)
    assert end.due_at is None or end.due_at >= NOW


def model(outcome: Outcome, policy: Policy, failures: int, crashes: int) -> tuple[State, Reason | None, float]:
    """State, reason, and the longest wait: the rules as the guide tells them, one after the other."""
    if isinstance(outcome, Done):
        return State.SUCCEEDED, None, 0
    if isinstance(outcome, Cancel):
        return State.CANCELLED, None, 0
    if isinstance(outcome, Snooze) and outcome.in_ >= 0:
        return (State.SCHEDULED if outcome.in_ else State.READY), None, outcome.in_
    reason = Reason.FAILED if isinstance(outcome, Snooze) else outcome.reason
    if isinstance(outcome, Fail) and outcome.crashed and reason is Reason.FAILED:
        reason = Reason.CRASHED
    if isinstance(outcome, Fail) and outcome.final:
        return State.DEAD, reason, 0
    if isinstance(outcome, Fail) and outcome.crashed:
        again = policy.on_crash != "dead" and crashes < 2
        return (State.RETRY, None, 0) if again else (State.DEAD, reason, 0)
    if failures >= (policy.retries or 0):
        return State.DEAD, reason, 0
    if isinstance(outcome, Retry) and outcome.in_ is not None:
        return State.RETRY, None, outcome.in_
    base = 2.0 if policy.backoff is None else policy.backoff
    cap = 3600.0 if policy.backoff_cap is None else policy.backoff_cap
    return State.RETRY, None, min(cap, base * 2**failures)


@given(outcomes, policies, st.integers(0, 9), st.integers(0, 4), st.floats(0, 1, exclude_max=True))
def test_decisions_are_those_of_the_guide(
    outcome: Outcome, policy: Policy, failures: int, crashes: int, random: float
) -> None:
    end = settled(outcome, policy, failures=failures, crashes=crashes, random=random)
    state, reason, wait = model(outcome, policy, failures, crashes)
    assert (end.state, end.reason) == (state, reason)
    said = isinstance(outcome, Snooze | Retry) and outcome.in_ is not None and outcome.in_ >= 0
    if state in (State.RETRY, State.SCHEDULED) and not (isinstance(outcome, Fail) and outcome.crashed):
        assert end.due_at == pytest.approx(NOW + (wait if said or policy.jitter is False else wait * random))


def test_the_reason_of_a_retry_is_that_of_the_end() -> None:
    for reason in Reason:
        assert settled(Retry(BOOM, 5.0, reason)).reason is reason
        assert settled(Retry(BOOM, 5.0, reason), Policy(retries=1)).reason is None


def test_what_has_crashed_and_must_not_run_twice_is_not_started_again() -> None:
    assert not_again(lease(crashes=1), "retry") is None
    assert not_again(lease(crashes=2), None) is None
    assert not_again(lease(crashes=0), "dead") is None
    end = not_again(lease(crashes=1), "dead")
    assert end is not None
    assert (end.reason, end.final, end.crashed) == (Reason.CRASHED, True, False)


# --- backoff -----------------------------------------------------------------------------------------


def most(failures: int, policy: Policy = UNSAID) -> float:
    return backoff_delay(failures, policy, lambda: 1.0)


def test_the_wait_doubles_to_its_cap() -> None:
    assert [most(n) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]
    assert most(30) == DEFAULTS.backoff_cap == 3600.0
    assert most(10_000) == 3600.0
    assert [most(n, Policy(backoff=0.5, backoff_cap=1.5)) for n in (1, 2, 3)] == [0.5, 1.0, 1.5]
    assert most(1, Policy(backoff=0.0)) == 0.0


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_full_jitter_is_between_nothing_and_the_most(failures: int, random: float) -> None:
    delay = backoff_delay(failures, UNSAID, lambda: random)
    assert delay == pytest.approx(most(failures) * random)


def test_what_a_policy_does_not_say_another_says() -> None:
    job, task = Policy(retries=0, timeout=5.0), Policy(retries=3, backoff=1.0)
    assert job.over(task) == Policy(retries=0, backoff=1.0, timeout=5.0)
    assert UNSAID.over(task) is task


# --- retention ---------------------------------------------------------------------------------------


def test_each_final_state_is_kept_for_its_own_time() -> None:
    kept = Retention(succeeded=1.0, dead=2.0, cancelled=3.0, expired=None)
    found = {state: kept.seconds(state) for state in FINAL}
    assert found == {State.SUCCEEDED: 1.0, State.DEAD: 2.0, State.CANCELLED: 3.0, State.EXPIRED: None}


def test_failures_are_kept_longer_and_the_unfinished_for_ever() -> None:
    dead, succeeded = KEEP.seconds(State.DEAD), KEEP.seconds(State.SUCCEEDED)
    assert dead is not None
    assert succeeded is not None
    assert dead > succeeded
    assert {KEEP.seconds(state) for state in UNFINISHED} == {None}


def test_without_jitter_the_whole_backoff_is_waited() -> None:
    policy = Policy(retries=9, backoff=4, jitter=False)
    assert [backoff_delay(failures, policy, lambda: 0.1) for failures in (1, 2, 3)] == [4, 8, 16]


def test_a_crash_ends_a_job_that_must_not_be_tried_again() -> None:
    end = settled(Fail(BOOM, crashed=True), Policy(retries=9, on_crash="dead"))
    assert (end.state, end.reason, end.crash) == (State.DEAD, Reason.CRASHED, True)
    assert settled(Fail(BOOM, crashed=True), Policy(on_crash="retry")).state is State.RETRY
