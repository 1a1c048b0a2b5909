"""A task's policy by the class of the error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool import CurrentJob, Discard, JobCancelled, JobTimeout, Retry, Snooze, current_job, task
from qtool.engine import job as outcomes
from qtool.engine import tasks
from qtool.engine.job import Fail, Outcome, Policy
from qtool.engine.on_error import Rules
from qtool.engine.run import run
from qtool.engine.states import Reason
from qtool.engine.tasks import Task


class Unreachable(ConnectionError):
    pass


class Refused(Unreachable):
    pass


def outcome(error: BaseException, **options: Any) -> Outcome:
    def send() -> None:
        raise error

    return run(Task(send, "mail", options=options), CurrentJob("019a", "mail", "default", 4), json.dumps([[], {}]))


def failure(error: BaseException, **options: Any) -> Fail:
    ended = outcome(error, **options)
    assert isinstance(ended, Fail)
    return ended


# --- the four answers --------------------------------------------------------------------------------


def test_retry_is_the_usual_retry() -> None:
    ended = failure(ConnectionError("reset"), on_error={ConnectionError: "retry"})
    assert (str(ended.failure), ended.reason, ended.final) == ("ConnectionError: reset", Reason.FAILED, False)


def test_retry_chooses_its_own_wait() -> None:
    ended = outcome(TimeoutError("slow"), on_error={TimeoutError: Retry(in_=5)})
    assert isinstance(ended, outcomes.Retry)
    assert (str(ended.failure), ended.in_) == ("TimeoutError: slow", 5)


def test_dead_is_final_and_somebody_should_look() -> None:
    ended = failure(ValueError("no"), retries=9, on_error={ValueError: "dead"})
    assert (ended.reason, ended.final) == (Reason.FAILED, True)


@pytest.mark.parametrize("answer", ["discard", Discard(), Discard("stale")])
def test_discard_is_final_and_nobody_need_look(answer: Any) -> None:
    ended = failure(ValueError("stale"), retries=9, on_error={ValueError: answer})
    assert (str(ended.failure), ended.reason, ended.final) == ("ValueError: stale", Reason.DISCARDED, True)


def test_snooze_gives_the_attempt_back() -> None:
    assert outcome(ValueError("busy"), on_error={ValueError: Snooze(30)}) == outcomes.Snooze(30)


def test_a_timeout_stays_one_whatever_the_answer() -> None:
    assert failure(JobTimeout("late"), on_error={JobTimeout: "dead"}).reason is Reason.TIMEOUT
    again = outcome(JobTimeout("late"), on_error={Exception: Retry(in_=1)})
    assert isinstance(again, outcomes.Retry)
    assert again.reason is Reason.TIMEOUT


# --- which rule counts -------------------------------------------------------------------------------

FAMILY = [BaseException, Exception, OSError, ConnectionError, Unreachable, Refused]
"""Each a subclass of the one before."""


@given(st.permutations(FAMILY).flatmap(lambda order: st.integers(1, len(order)).map(lambda count: order[:count])))
def test_the_most_specific_class_wins_in_whatever_order(named: list[type[BaseException]]) -> None:
    rules = Rules({kind: Retry(in_=FAMILY.index(kind)) for kind in named})
    job = CurrentJob("019a", "mail", "default")
    for raised in FAMILY:
        expected = max((FAMILY.index(kind) for kind in named if issubclass(raised, kind)), default=None)
        answer = rules.answer(raised(), job)
        assert (answer.in_ if isinstance(answer, Retry) else answer) == expected


def test_several_classes_share_an_answer() -> None:
    options: dict[str, Any] = {"on_error": {(KeyError, IndexError): "discard"}}
    assert failure(KeyError(), **options).reason is Reason.DISCARDED
    assert failure(IndexError(), **options).reason is Reason.DISCARDED
    assert failure(ValueError(), **options).reason is Reason.FAILED


def test_what_the_task_says_itself_is_not_asked_about() -> None:
    options: dict[str, Any] = {"on_error": {BaseException: "dead"}, "retries": 3}
    assert outcome(Snooze(5), **options) == outcomes.Snooze(5)
    assert isinstance(outcome(Retry(in_=5), **options), outcomes.Retry)
    assert failure(Discard("x"), **options).reason is Reason.DISCARDED
    assert outcome(JobCancelled(), **options) == outcomes.Cancel()


def test_arguments_that_do_not_fit_are_nobodys_to_retry() -> None:
    made: Task[..., Any, Any] = Task(lambda to: to, "mail", options={"on_error": {TypeError: "retry"}})
    ended = run(made, CurrentJob("019a", "mail", "default"), "[[], {}]")
    assert isinstance(ended, Fail)
    assert ended.final


# --- what it does not name ---------------------------------------------------------------------------


def test_errors_that_are_not_named_are_retried_as_retries_says() -> None:
    assert not failure(KeyError(), retries=2, on_error={ValueError: "dead"}).final
    assert not failure(KeyError(), retries=2, on_error={ValueError: "retry"}).final


def test_without_retries_only_what_is_named_is_retried() -> None:
    made: Task[..., Any, Any] = Task(print, "mail", options={"on_error": {ValueError: "retry"}})
    assert made.policy == Policy(retries=3)
    assert failure(KeyError(), on_error={ValueError: "retry"}).final
    assert not failure(ValueError(), on_error={ValueError: "retry"}).final
    assert Task(print, "mail", options={"on_error": {ValueError: "dead"}}).policy == Policy()


# --- functions ---------------------------------------------------------------------------------------


def test_a_function_of_the_error_and_its_job_decides() -> None:
    def patience(error: ConnectionError, job: CurrentJob) -> Snooze | None:
        assert current_job() is job
        return Snooze(60) if error.errno == 11 and job.attempt == 4 else None

    by_class: dict[str, Any] = {"on_error": {ConnectionError: patience}}
    assert outcome(ConnectionError(11, "busy"), **by_class) == outcomes.Snooze(60)
    assert failure(ConnectionError(5, "gone"), **by_class).final
    assert outcome(ConnectionError(11, "busy"), on_error=patience) == outcomes.Snooze(60)


@pytest.mark.parametrize("broken", [ZeroDivisionError, SystemExit, JobTimeout])
def test_a_function_that_fails_leaves_the_error_with_a_note(broken: type[BaseException]) -> None:
    def wrong(error: Exception, job: CurrentJob) -> None:
        raise broken("oh dear")

    ended = failure(ValueError("the real one"), retries=2, on_error={ValueError: wrong})
    assert (str(ended.failure), ended.final) == ("ValueError: the real one", False)
    assert f"on_error failed and decided nothing: {broken.__name__}: oh dear ({__file__}, line " in (
        ended.failure.traceback or ""
    )


def test_a_function_that_gives_no_answer_leaves_the_error_with_a_note() -> None:
    ended = failure(ValueError("the real one"), on_error=lambda error, job: "maybe")
    assert str(ended.failure) == "ValueError: the real one"
    assert "decided nothing: ValueError: on_error: an answer is 'retry', 'dead', " in (ended.failure.traceback or "")


def test_a_function_can_be_cancelled_and_interrupted() -> None:
    def asked(error: Exception, job: CurrentJob) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        outcome(ValueError(), on_error=asked)


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({ValueError: "retires"}, "an answer is 'retry', 'dead', 'discard', Retry"),
        ({ValueError: None}, "not None"),
        ({ValueError: Retry}, "an answer is"),
        ({ValueError: "snooze"}, r"a snooze has a time: write Snooze\(30\)"),
        ({ValueError: Snooze}, r"a snooze has a time: write Snooze\(30\)"),
        ({"ValueError": "retry"}, "'ValueError' is not a class of errors"),
        ({int: "retry"}, "is not a class of errors"),
        ({(ValueError, 3): "retry"}, "3 is not a class of errors"),
        ({(ValueError, KeyError): "retry", KeyError: "dead"}, "KeyError stands there twice"),
        ({Snooze: "retry"}, "Snooze says itself what becomes of the job"),
        ({JobCancelled: "retry"}, "JobCancelled says itself"),
    ],
)
def test_rules_are_checked_where_the_task_is_made(said: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rules(said)


def test_rules_are_a_mapping_or_a_function() -> None:
    with pytest.raises(TypeError, match="on_error is a mapping of errors to answers, or a function, not 'retry'"):
        Rules("retry")  # type: ignore[arg-type]


def test_the_decorator_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_tasks", {})

    @task(
        on_error={
            ConnectionError: "retry",
            (ValueError, KeyError): "dead",
            OSError: "discard",
            MemoryError: Snooze(30),
            TimeoutError: Retry(in_=5),
            RuntimeError: lambda error, job: "dead" if job.attempt > 3 else None,
        }
    )
    def send() -> None: ...

    assert send.on_error is not None


# --- Celery's ----------------------------------------------------------------------------------------


def test_celerys_exclusions_win_over_its_inclusions() -> None:
    options: dict[str, Any] = {"autoretry_for": (ConnectionError,), "dont_autoretry_for": (OSError,)}
    assert failure(ConnectionError(), **options).final
    assert failure(ConnectionError(), retries=3, dont_autoretry_for=OSError).final
    assert not failure(KeyError(), retries=3, dont_autoretry_for=OSError).final


def test_what_celery_expects_is_discarded_once_it_is_not_retried() -> None:
    expected = failure(KeyError(), throws=(KeyError,))
    assert (expected.reason, expected.final) == (Reason.DISCARDED, False)
    assert failure(ValueError(), throws=(KeyError,)).reason is Reason.FAILED
    waits = outcome(KeyError(), throws=KeyError, autoretry_for=(KeyError,), default_retry_delay=7)
    assert isinstance(waits, outcomes.Retry)
    assert (waits.in_, waits.reason) == (7, Reason.DISCARDED)
    assert failure(ValueError(), throws=KeyError, autoretry_for=(KeyError,)).reason is Reason.FAILED
