"""Bells: they ring for what their listeners wait for, also from another handle."""

from __future__ import annotations

import select
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Report
from qtool.engine.states import Event, State
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.broker import Adapter, Bell, Topic
    from tests.conformance.conftest import MakeAdapter

AT_ONCE = 5.0
"""Seconds within which a bell that rang is heard even on a busy machine; tests wait only for what has happened."""


@contextmanager
def listening(adapter: Adapter, topic: Topic) -> Iterator[Bell]:
    bell = adapter.broker.listen(topic)
    try:
        yield bell
    finally:
        bell.close()


def test_a_bell_that_nobody_rang_is_silent(adapter: Adapter) -> None:
    with listening(adapter, "ready") as bell:
        assert not bell.wait(0)
        assert not bell.wait(0.01)
        assert not bell.wait(-1)
        assert select.select([bell], [], [], 0)[0] == []


def test_hearing_a_bell_silences_it(drive: Drive, adapter: Adapter) -> None:
    with listening(adapter, "ready") as bell:
        drive.put()
        drive.put()
        assert select.select([bell], [], [], AT_ONCE)[0] == [bell]
        assert bell.wait(AT_ONCE)
        assert not bell.wait(0)
        drive.put()
        assert bell.wait(AT_ONCE)


def _enqueue(drive: Drive) -> None:
    drive.put()


def _promote(drive: Drive) -> None:
    drive.clock.advance(LATER)
    # Alive, or its jobs that are taken back would ring too.
    drive.beat(drive.leases["held"])
    drive.adapter.broker.maintain()


def _operator_retry(drive: Drive) -> None:
    drive.adapter.operator.retry(["dead"])


def _resume(drive: Drive) -> None:
    drive.adapter.operator.resume("paused")


def _leave(drive: Drive) -> None:
    drive.adapter.broker.leave("w1")


def _snooze(drive: Drive) -> None:
    assert drive.snooze(drive.leases["held"])


@pytest.mark.parametrize("act", [_enqueue, _promote, _operator_retry, _resume, _leave, _snooze])
def test_ready_rings_when_there_may_be_jobs_to_claim(
    drive: Drive, adapter: Adapter, act: Callable[[Drive], None]
) -> None:
    drive.fail(drive.start(id="dead"))
    drive.start(id="held")
    drive.put(run_at=drive.clock.now() + LATER)
    adapter.operator.pause("paused")
    drive.put(queue="paused")
    with listening(adapter, "ready") as bell:
        act(drive)
        assert bell.wait(AT_ONCE)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED])
def test_finished_rings_when_a_job_ends(drive: Drive, adapter: Adapter, state: State) -> None:
    with listening(adapter, "finished") as bell:
        drive.reach(state)
        assert bell.wait(AT_ONCE)


def test_finished_rings_when_a_pending_job_is_cancelled(drive: Drive, adapter: Adapter) -> None:
    id = drive.put_one()
    with listening(adapter, "finished") as bell:
        adapter.operator.cancel([id])
        assert bell.wait(AT_ONCE)


def test_finished_rings_when_a_leaving_worker_leaves_a_job_cancelled(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.operator.cancel([lease.id])
    with listening(adapter, "finished") as bell:
        adapter.broker.leave("w1")
        assert drive.state(lease.id) is State.CANCELLED
        assert bell.wait(AT_ONCE)


def test_finished_rings_when_a_job_writes(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    with listening(adapter, "finished") as bell:
        adapter.broker.report([Report(lease, output=(chunk("x"),))])
        assert bell.wait(AT_ONCE)


def test_finished_rings_when_a_vanished_worker_leaves_its_job_dead(drive: Drive, adapter: Adapter) -> None:
    id = drive.put_one()
    for _ in range(2):
        drive.claim_one()
        drive.lose_worker()
    drive.claim_one()
    with listening(adapter, "finished") as bell:
        drive.lose_worker()
        assert drive.state(id) is State.DEAD
        assert bell.wait(AT_ONCE)


def test_control_rings_when_a_running_job_shall_stop(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    with listening(adapter, "control") as bell:
        adapter.operator.cancel([lease.id])
        assert bell.wait(AT_ONCE)


def test_topics_are_apart(drive: Drive, adapter: Adapter) -> None:
    with listening(adapter, "control") as control, listening(adapter, "finished") as finished:
        drive.put()
        assert not control.wait(0)
        assert not finished.wait(0)
        drive.settle(drive.claim_one(), Event.SUCCESS, State.SUCCEEDED)
        assert finished.wait(AT_ONCE)
        assert not control.wait(0)


def test_every_listener_hears(drive: Drive, adapter: Adapter, make_adapter: MakeAdapter) -> None:
    other = make_adapter()
    with listening(adapter, "ready") as one, listening(adapter, "ready") as two, listening(other, "ready") as three:
        drive.put()
        assert all(bell.wait(AT_ONCE) for bell in (one, two, three))


def test_a_closed_bell_harms_nobody(drive: Drive, adapter: Adapter) -> None:
    with listening(adapter, "ready") as bell:
        with listening(adapter, "ready"):
            pass
        drive.put()
        assert bell.wait(AT_ONCE)


def test_many_rings_do_not_block(drive: Drive, adapter: Adapter) -> None:
    with listening(adapter, "control") as bell:
        lease = drive.start()
        for _ in range(300):
            adapter.operator.cancel([lease.id] * 300)
        assert bell.wait(AT_ONCE)


def test_a_waiting_thread_is_woken(drive: Drive, adapter: Adapter, make_adapter: MakeAdapter) -> None:
    with listening(make_adapter(), "ready") as bell:
        heard: list[bool] = []
        waiter = threading.Thread(target=lambda: heard.append(bell.wait(AT_ONCE)))
        waiter.start()
        drive.put()
        waiter.join(2 * AT_ONCE)
        assert heard == [True]
