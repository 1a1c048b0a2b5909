"""What carries plans out, without a screen: what it keeps of each, and what it says when something goes wrong."""

from __future__ import annotations

import threading
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.broker import ASKED_TO_STOP, Change
from qtool.engine.brokers.memory import open_memory
from qtool.engine.clock import ManualClock
from qtool.engine.states import State
from qtool.errors import BrokerError
from qtool.tui import hand
from qtool.tui.deeds import Plan
from qtool.tui.hand import Hand, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READY, CANCELLED, DEAD, RUNNING = State.READY, State.CANCELLED, State.DEAD, State.RUNNING


def plan(steps: Callable[[Any], Iterator[Any]], count: int = 2) -> Plan:
    return Plan(title="Do it", what="jobs", count=count, happens="", undo="", steps=steps)


@pytest.fixture
def worked() -> Iterator[tuple[Hand, Callable[[Callable[[], object]], None]]]:
    """A hand, and a loop in place of the screen's that goes on until something is so."""
    calls: Queue[tuple[Callable[..., object], tuple[Any, ...]]] = Queue()
    clock = ManualClock(0.0)
    made = Hand(
        lambda: open_memory(clock=clock),
        lambda call, *more: calls.put((call, more)),
        lambda _: None,
        clock,
        patience=0.1,
    )

    def until(condition: Callable[[], object]) -> None:
        while not condition():
            call, more = calls.get(timeout=20)
            call(*more)

    yield made, until
    made.close(timeout=5.0)


def test_what_did_not_change_comes_first_and_of_very_many_only_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand, "KEEP", 3)
    report = Report(plan(lambda _: iter(())))
    report.add([[Change(f"c{n}", READY, CANCELLED) for n in range(5)], "a sentence"])
    report.add([[Change(f"d{n}", DEAD, DEAD, "it is dead already") for n in range(4)]])
    assert [change.id for change in report.changes] == ["d0", "d1", "d2", "c0", "c1", "c2"]
    assert (report.seen, report.dropped, report.said) == (9, 3, ["a sentence"])
    assert report.totals() == "5 ready → cancelled, 4 dead, unchanged"


def test_what_was_asked_to_stop_is_counted_once_as_what_became_of_it() -> None:
    report = Report(plan(lambda _: iter(())))
    report.add([[Change("a", RUNNING, RUNNING, ASKED_TO_STOP), Change("b", RUNNING, RUNNING, ASKED_TO_STOP)]])
    assert list(report.asked) == ["a", "b"]
    assert report.totals() == "2 running, asked to stop"
    report.add([[Change("a", RUNNING, CANCELLED)]])
    assert list(report.asked) == ["b"]
    assert (report.seen, report.totals()) == (2, "1 running, asked to stop, 1 running → cancelled")


def test_what_was_done_before_it_failed_is_told(worked: Any) -> None:
    made, until = worked

    def steps(_: Any) -> Iterator[Any]:
        yield [Change("a", READY, CANCELLED)]
        raise BrokerError(url="x", why="the disk is full")

    report = made.carry_out(plan(steps))
    until(lambda: report.done)
    assert [change.id for change in report.changes] == ["a"]
    assert "the disk is full" in report.state()
    assert made.busy is None


def test_it_stops_between_two_pages_and_waits_for_nothing_then(worked: Any) -> None:
    made, until = worked
    first, go_on = threading.Event(), threading.Event()

    def steps(_: Any) -> Iterator[Any]:
        yield [Change("a", RUNNING, RUNNING, ASKED_TO_STOP)]
        first.set()
        go_on.wait(20)
        yield [Change("b", READY, CANCELLED)]
        raise AssertionError("it was told to stop before this page")

    report = made.carry_out(plan(steps))
    assert first.wait(20)
    assert made.busy is report
    report.stop.set()
    go_on.set()
    until(lambda: report.done)
    assert (report.seen, report.state(), report.waits) == (2, "stopped", False)


def test_to_wait_for_jobs_to_stop_is_not_to_be_busy(worked: Any) -> None:
    made, until = worked
    report = made.carry_out(plan(lambda _: iter([[Change("gone", RUNNING, RUNNING, ASKED_TO_STOP)]])))
    until(lambda: report.waits or report.done)
    assert report.waits
    assert made.busy is None
    until(lambda: report.done)
    assert not report.stop.is_set()


def test_closing_it_stops_what_is_under_way(worked: Any) -> None:
    made, _ = worked
    first, go_on = threading.Event(), threading.Event()

    def steps(_: Any) -> Iterator[Any]:
        yield [Change("a", READY, CANCELLED)]
        first.set()
        go_on.wait(20)
        yield [Change("b", READY, CANCELLED)]

    report = made.carry_out(plan(steps))
    assert first.wait(20)
    made.close()
    assert report.stop.is_set()
    go_on.set()
