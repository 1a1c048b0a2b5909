"""Claiming: order, queues, pauses, counts, and what running means."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from qtool.engine.states import State
from tests.conformance.drive import BOOM, Drive

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock


def test_nothing_to_claim(drive: Drive) -> None:
    assert drive.claim(10) == []
    assert drive.claim(10, ("no-such-queue",)) == []


@pytest.mark.parametrize("count", [0, -1])
def test_no_free_slot_claims_nothing(drive: Drive, count: int) -> None:
    drive.put()
    assert drive.claim(count) == []


def test_a_claim_starts_an_attempt(drive: Drive, clock: ManualClock) -> None:
    id = drive.put_one(queue="q", task="mail")
    enqueued = clock.now()
    clock.advance(5)
    lease = drive.claim_one(worker="me")
    assert (lease.id, lease.task, lease.queue, lease.attempt) == (id, "mail", "q", 1)
    assert (lease.failures, lease.crashes, lease.ready_at) == (0, 0, enqueued)
    assert lease.key > 0
    info = drive.info(id)
    assert (info.state, info.attempt, info.worker, info.started_at) == (State.RUNNING, 1, "me", clock.now())


def test_a_claimed_job_is_not_claimed_again(drive: Drive) -> None:
    drive.put()
    drive.claim_one()
    assert drive.claim(worker="w2") == []


def test_the_count_is_respected(drive: Drive) -> None:
    drive.put(10, queue="a")
    drive.put(10, queue="b")
    assert len(drive.claim(7)) == 7
    assert len(drive.claim(100)) == 13


def test_the_larger_priority_first_then_the_older(drive: Drive, clock: ManualClock) -> None:
    ids = {}
    for name, priority in (("low", 0), ("high", 9), ("mid", 5), ("low2", 0), ("high2", 9)):
        ids[drive.put_one(priority=priority)] = name
        clock.advance(1)
    assert [ids[lease.id] for lease in drive.claim(10)] == ["high", "high2", "mid", "low", "low2"]


def test_priorities_of_different_levels_are_kept_apart(drive: Drive, adapter: Adapter) -> None:
    levels = adapter.capabilities.priority_levels
    ids = {drive.put_one(priority=priority): priority for priority in (0, 3, 9, 1, 6, 2, 8, 5, 7, 4)}
    went = [ids[lease.id] for lease in drive.claim(10)]
    level = [-(-priority * (levels - 1) // 9) for priority in went]
    assert level == sorted(level, reverse=True)
    assert len(set(level)) == levels


def test_jobs_of_one_moment_go_in_the_order_of_enqueueing(drive: Drive, adapter: Adapter) -> None:
    names = [f"{n}" for n in (3, 1, 2, 9, 5)]
    adapter.broker.enqueue([drive.job(id=name) for name in names])
    assert [drive.claim_one().id for _ in names] == names


def test_age_counts_from_when_a_job_became_ready(drive: Drive, clock: ManualClock) -> None:
    scheduled = drive.put_one(run_at=clock.now() + 10)
    clock.advance(5)
    ready = drive.put_one()
    clock.advance(10)
    newest = drive.put_one()
    assert [lease.id for lease in drive.claim(3)] == [ready, scheduled, newest]


def test_only_the_queues_asked_for_are_served(drive: Drive) -> None:
    drive.put(queue="a")
    wanted = drive.put_one(queue="b")
    also = drive.put_one(queue="c")
    assert {lease.id for lease in drive.claim(10, ("b", "c", "nowhere"))} == {wanted, also}


def test_no_queues_are_all_queues(drive: Drive) -> None:
    ids = {drive.put_one(queue=queue) for queue in ("a", "b", "c")}
    assert {lease.id for lease in drive.claim(10)} == ids


@pytest.mark.parametrize("queues", [(), ("a", "b", "c")], ids=["all", "named"])
def test_no_queue_starves(drive: Drive, queues: tuple[str, ...]) -> None:
    for queue in ("a", "b", "c"):
        drive.put(50, queue=queue, priority=9 if queue == "b" else 0)
    served = Counter(drive.claim_one(queues=queues).queue for _ in range(30))
    assert set(served) == {"a", "b", "c"}
    assert min(served.values()) >= 5


def test_a_paused_queue_gives_nothing(drive: Drive, adapter: Adapter) -> None:
    drive.put(queue="a")
    other = drive.put_one(queue="b")
    adapter.operator.pause("a")
    assert [lease.id for lease in drive.claim(10)] == [other]
    assert drive.claim(10, ("a",)) == []
    adapter.operator.resume("a")
    assert len(drive.claim(10, ("a",))) == 1


def test_a_due_job_is_claimed_without_upkeep(drive: Drive, clock: ManualClock) -> None:
    id = drive.put_one(run_at=clock.now() + 10)
    clock.advance(9.9)
    assert drive.claim() == []
    clock.advance(0.1)
    lease = drive.claim_one()
    assert lease.id == id
    assert lease.ready_at == pytest.approx(clock.now())
    assert drive.info(id).due_at is None


def test_an_overdue_job_is_not_claimed(drive: Drive, clock: ManualClock) -> None:
    id = drive.put_one(expires_at=clock.now() + 10)
    also = drive.put_one(run_at=clock.now() + 5, expires_at=clock.now() + 10)
    fresh = drive.put_one()
    clock.advance(10)
    assert [lease.id for lease in drive.claim(10)] == [fresh]
    assert drive.state(id) is drive.state(also) is State.EXPIRED
    assert drive.info(id).finished_at == clock.now()


def test_a_running_job_does_not_expire(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start(expires_at=clock.now() + 10)
    clock.advance(20)
    drive.beat(lease)
    adapter.broker.maintain()
    assert drive.succeed(lease)


def test_every_claim_has_its_own_token(drive: Drive, clock: ManualClock) -> None:
    lease = drive.start()
    tokens = {lease.token}
    for _ in range(5):
        drive.retry(lease, 1.0)
        clock.advance(1)
        lease = drive.claim_one()
        tokens.add(lease.token)
    assert len(tokens) == 6
    assert lease.attempt == 6


def test_the_last_error_stays_while_the_next_attempt_runs(drive: Drive, clock: ManualClock) -> None:
    lease = drive.start()
    drive.retry(lease, 1.0)
    clock.advance(1)
    again = drive.claim_one()
    assert (again.failures, again.attempt) == (1, 2)
    assert drive.info(again.id).error == BOOM
    drive.succeed(again)
    assert drive.info(again.id).error is None
