"""Limits: how many run at once, of a queue and of a key; how many start a second, of a queue and of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from qtool.engine.job import Lease
    from tests.conformance.drive import Drive

# --- keys --------------------------------------------------------------------------------------------


def claimed(drive: Drive, count: int = 100, queues: tuple[str, ...] = (), worker: str = "w1") -> list[str]:
    return [lease.id for lease in drive.claim(count, queues, worker)]


def test_of_a_key_one_job_runs_at_once_where_nothing_else_is_said(drive: Drive) -> None:
    first, second = drive.put(2, key="k")
    assert claimed(drive) == [first]
    assert claimed(drive) == []
    assert drive.succeed(drive.leases[first])
    assert claimed(drive) == [second]


def test_a_key_lets_as_many_run_as_it_says(drive: Drive) -> None:
    ids = drive.put(5, key="k", key_limit=2)
    assert claimed(drive) == ids[:2]
    assert claimed(drive, worker="w2") == []
    drive.succeed(drive.leases[ids[1]])
    assert claimed(drive) == ids[2:3]
    drive.succeed(drive.leases[ids[0]])
    drive.succeed(drive.leases[ids[2]])
    assert claimed(drive) == ids[3:]


def test_a_full_key_keeps_back_its_own_jobs_only(drive: Drive) -> None:
    mine = drive.put(3, key="k")
    others = [drive.put_one(key="l"), drive.put_one()]
    assert claimed(drive) == [mine[0], *others]


def test_a_key_counts_across_queues(drive: Drive) -> None:
    a, b = drive.put_one(key="k", queue="a"), drive.put_one(key="k", queue="b")
    (running,) = claimed(drive)
    assert claimed(drive) == []
    drive.succeed(drive.leases[running])
    assert claimed(drive) == [b if running == a else a]


def test_a_key_across_queues_does_not_wait_for_one_that_is_paused(drive: Drive, adapter: Adapter) -> None:
    first = drive.put_one(key="k", queue="a")
    assert claimed(drive) == [first]
    drive.put(key="k", queue="a")
    second = drive.put_one(key="k", queue="b")
    assert claimed(drive) == []
    adapter.operator.pause("a")
    drive.succeed(drive.leases[first])
    assert claimed(drive) == [second]


def test_the_next_of_a_key_is_the_first_by_priority_then_by_age(drive: Drive, clock: ManualClock) -> None:
    running = drive.put_one(key="k")
    assert claimed(drive) == [running]
    order = {}
    for name, priority in (("low", 0), ("high", 9), ("low2", 0), ("high2", 9)):
        order[drive.put_one(key="k", priority=priority)] = name
        clock.advance(1)
    went = []
    for _ in order:
        drive.succeed(drive.leases[running])
        (running,) = claimed(drive)
        went.append(order[running])
    assert went == ["high", "high2", "low", "low2"]


def test_a_later_job_of_higher_priority_goes_first_though_none_ran_yet(drive: Drive) -> None:
    low, high = drive.put_one(key="k"), drive.put_one(key="k", priority=5)
    assert claimed(drive) == [high]
    drive.succeed(drive.leases[high])
    assert claimed(drive) == [low]


def test_a_retried_job_does_not_overtake_those_that_wait_for_its_key(drive: Drive, clock: ManualClock) -> None:
    first, second, third = drive.put(3, key="k")
    assert claimed(drive) == [first]
    clock.advance(1)
    drive.retry(drive.leases[first], 0.0)
    assert claimed(drive) == [second]
    drive.succeed(drive.leases[second])
    assert claimed(drive) == [third]
    drive.succeed(drive.leases[third])
    assert claimed(drive) == [first]


def _leave(adapter: Adapter) -> None:
    adapter.broker.leave("w1")


def _lose(drive: Drive, adapter: Adapter, lease: Lease) -> None:
    drive.lose_worker()


ENDINGS: dict[str, Callable[[Drive, Adapter, Lease], object]] = {
    "success": lambda drive, adapter, lease: drive.succeed(lease),
    "death": lambda drive, adapter, lease: drive.fail(lease),
    "retry": lambda drive, adapter, lease: drive.retry(lease),
    "a later run": lambda drive, adapter, lease: drive.snooze(lease, 100.0),
    "cancel": lambda drive, adapter, lease: drive.settle(lease, Event.CANCEL, State.CANCELLED),
    "crash": lambda drive, adapter, lease: drive.settle(lease, Event.LEASE_LOST, State.DEAD),
    "the worker's leaving": lambda drive, adapter, lease: _leave(adapter),
    "the worker's death": _lose,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("limit", ["key", "queue"])
def test_a_slot_comes_back_with(drive: Drive, adapter: Adapter, limit: str, ending: str) -> None:
    if limit == "queue":
        adapter.operator.limit("queue", "default", concurrency=1)
    key = "k" if limit == "key" else None
    # Behind the others, should it be ready at once again.
    first, second = drive.put_one(key=key), drive.put_one(key=key, priority=5)
    drive.put(3, key=key)
    assert claimed(drive) == [second]
    ready = adapter.broker.listen("ready")
    try:
        while ready.wait(0):
            pass
        ENDINGS[ending](drive, adapter, drive.leases[second])
        assert ready.wait(1), "nobody was told"
    finally:
        ready.close()
    assert len(claimed(drive, worker="w2")) == 1
    assert drive.state(first) in (State.RUNNING, State.READY)
    assert adapter.inspector.check() == []


@pytest.mark.parametrize("vanish", ["cancel", "kill", "delete"])
def test_a_job_that_leaves_before_it_starts_makes_way(drive: Drive, adapter: Adapter, vanish: str) -> None:
    running, second, third = drive.put(3, key="k")
    assert claimed(drive) == [running]
    assert claimed(drive) == []
    drive.succeed(drive.leases[running])
    getattr(adapter.operator, vanish)([second])
    assert claimed(drive) == [third]
    assert adapter.inspector.check() == []


@pytest.mark.parametrize("vanish", ["cancel", "kill", "delete"])
def test_a_job_that_leaves_while_it_is_held_keeps_nobody(drive: Drive, adapter: Adapter, vanish: str) -> None:
    running, second, third = drive.put(3, key="k")
    assert claimed(drive) == [running]
    getattr(adapter.operator, vanish)([second])
    assert adapter.inspector.check() == []
    drive.succeed(drive.leases[running])
    assert claimed(drive) == [third]
    assert adapter.inspector.check() == []


def test_a_job_that_expires_makes_way(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    running = drive.put_one(key="k")
    assert claimed(drive) == [running]
    drive.put(3, key="k", expires_at=clock.now() + 10)
    last = drive.put_one(key="k")
    drive.succeed(drive.leases[running])
    clock.advance(11)
    assert claimed(drive) == [last]
    assert adapter.inspector.check() == []


def test_a_job_run_again_by_an_operator_waits_for_its_key(drive: Drive, adapter: Adapter) -> None:
    first, second = drive.put(2, key="k")
    assert claimed(drive) == [first]
    drive.fail(drive.leases[first])
    assert claimed(drive) == [second]
    adapter.operator.retry([first])
    assert claimed(drive) == []
    drive.succeed(drive.leases[second])
    assert claimed(drive) == [first]


def test_a_scheduled_job_waits_for_its_key_once_it_is_due(drive: Drive, clock: ManualClock) -> None:
    running = drive.put_one(key="k")
    later = drive.put_one(key="k", run_at=clock.now() + 5)
    assert claimed(drive) == [running]
    clock.advance(6)
    assert claimed(drive) == []
    drive.succeed(drive.leases[running])
    assert claimed(drive) == [later]


def test_jobs_of_one_key_with_different_limits_each_keep_to_their_own(drive: Drive) -> None:
    wide = drive.put(3, key="k", key_limit=3)
    narrow = drive.put_one(key="k", key_limit=1)
    assert claimed(drive) == wide
    for id in wide[:2]:
        drive.succeed(drive.leases[id])
        assert claimed(drive) == []
    drive.succeed(drive.leases[wide[2]])
    assert claimed(drive) == [narrow]


def test_a_held_job_is_ready_and_says_what_it_waits_for(drive: Drive, adapter: Adapter) -> None:
    first, second = drive.put(2, key="k")
    claimed(drive)
    assert claimed(drive) == []
    info = drive.info(second)
    assert (info.state, info.key, info.key_limit, info.held) == (State.READY, "k", 1, "key:k")
    assert drive.info(first).held is None
    (queue,) = adapter.inspector.snapshot().queues
    assert (queue.counts[State.READY], queue.held, queue.oldest_ready_at) == (1, 1, None)
    drive.succeed(drive.leases[first])
    assert drive.info(second).held is None


def test_a_batch_of_one_key_goes_one_by_one_to_its_end(drive: Drive, adapter: Adapter) -> None:
    ids = drive.put(40, key="k", key_limit=3)
    went: list[str] = []
    while batch := claimed(drive, 2):
        went += batch
        for id in batch:
            drive.succeed(drive.leases[id])
    assert went == ids
    assert adapter.inspector.check() == []


# --- queues ------------------------------------------------------------------------------------------


def test_a_queue_lets_no_more_run_than_its_limit(drive: Drive, adapter: Adapter) -> None:
    adapter.operator.limit("queue", "a", concurrency=3)
    ids = drive.put(5, queue="a")
    other = drive.put_one(queue="b")
    assert sorted(claimed(drive)) == sorted([*ids[:3], other])
    assert claimed(drive, worker="w2") == []
    drive.succeed(drive.leases[ids[0]])
    assert claimed(drive, worker="w2") == [ids[3]]


def test_a_limit_can_be_raised_lowered_and_taken_back(drive: Drive, adapter: Adapter) -> None:
    ids = drive.put(9)
    adapter.operator.limit("queue", "default", concurrency=2)
    assert claimed(drive) == ids[:2]
    adapter.operator.limit("queue", "default", concurrency=4)
    assert claimed(drive) == ids[2:4]
    adapter.operator.limit("queue", "default", concurrency=1)
    drive.succeed(drive.leases[ids[0]])
    assert claimed(drive) == []
    assert adapter.operator.unlimit("queue", "default")
    assert not adapter.operator.unlimit("queue", "default")
    assert claimed(drive) == ids[4:]


def test_a_paused_queue_gives_nothing_whatever_its_limit(drive: Drive, adapter: Adapter) -> None:
    adapter.operator.limit("queue", "default", concurrency=2)
    ids = drive.put(3)
    adapter.operator.pause("default")
    assert claimed(drive) == []
    adapter.operator.resume("default")
    assert claimed(drive) == ids[:2]


# --- rates -------------------------------------------------------------------------------------------


def test_a_queue_starts_no_more_than_its_rate(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("queue", "default", rate=2.0)
    ids = drive.put(4)
    assert claimed(drive) == ids[:1]
    assert claimed(drive, worker="w2") == []
    assert adapter.broker.opens_at(()) == pytest.approx(clock.now() + 0.5)
    clock.advance(0.4)
    assert claimed(drive) == []
    clock.advance(0.1)
    assert claimed(drive) == ids[1:2]
    clock.advance(100)
    assert claimed(drive) == ids[2:3]


def test_a_burst_may_start_together(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("queue", "default", rate=1.0, burst=3)
    ids = drive.put(9)
    assert claimed(drive) == ids[:3]
    clock.advance(2)
    assert claimed(drive) == ids[3:5]
    clock.advance(1000)
    assert claimed(drive) == ids[5:8]


def test_the_rate_of_a_task_holds_across_queues_and_lets_others_pass(
    drive: Drive, adapter: Adapter, clock: ManualClock
) -> None:
    adapter.operator.limit("task", "slow", rate=1.0)
    slow = [drive.put_one(task="slow", queue=queue) for queue in ("a", "b", "a")]
    quick = [drive.put_one(task="quick", queue=queue) for queue in ("a", "b")]
    first = claimed(drive)
    assert len(first) == 3
    assert set(quick) < set(first)
    assert claimed(drive) == []
    assert adapter.broker.opens_at(("a",)) == pytest.approx(clock.now() + 1)
    assert adapter.broker.opens_at(("nowhere",)) is None
    went = set(first) - set(quick)
    for _ in range(2):
        clock.advance(1)
        more = claimed(drive)
        assert len(more) == 1
        went |= set(more)
    assert went == set(slow)
    assert adapter.inspector.check() == []


def test_what_waits_for_a_rate_goes_by_priority_then_by_age(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("task", "slow", rate=1.0)
    assert len(claimed(drive, 1)) == 0
    first = drive.put_one(task="slow")
    order = [drive.put_one(task="slow") for _ in range(2)]
    assert claimed(drive) == [first]
    assert claimed(drive) == []
    clock.advance(0.5)
    high = drive.put_one(task="slow", priority=3)
    other = drive.put_one(task="other", priority=1)
    clock.advance(0.5)
    assert claimed(drive) == [high, other]
    for id in order:
        clock.advance(1)
        assert claimed(drive) == [id]


def test_a_job_needs_room_in_its_queue_its_key_and_its_task(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("queue", "default", concurrency=2)
    adapter.operator.limit("task", "slow", rate=1.0)
    jobs = drive.put(3, task="slow", key="k", key_limit=2)
    assert claimed(drive) == jobs[:1]
    clock.advance(1)
    assert claimed(drive) == jobs[1:2]
    clock.advance(1)
    assert claimed(drive) == []
    assert adapter.broker.opens_at(()) is None
    drive.succeed(drive.leases[jobs[0]])
    assert claimed(drive) == jobs[2:]


def test_a_job_that_waits_for_its_task_makes_way_for_others_of_its_key(
    drive: Drive, adapter: Adapter, clock: ManualClock
) -> None:
    adapter.operator.limit("task", "slow", rate=0.01)
    spent = drive.put_one(task="slow")
    assert claimed(drive) == [spent]
    slow = drive.put_one(task="slow", key="k", priority=1)
    quick = drive.put(2, key="k")
    assert claimed(drive) + claimed(drive) == quick[:1]
    drive.succeed(drive.leases[quick[0]])
    assert claimed(drive) == quick[1:]
    clock.advance(100)
    assert claimed(drive) == []
    drive.succeed(drive.leases[quick[1]])
    assert claimed(drive) == [slow]
    assert adapter.inspector.check() == []


def test_without_its_limit_a_task_starts_all_that_waited(drive: Drive, adapter: Adapter) -> None:
    adapter.operator.limit("task", "slow", rate=0.01)
    ids = drive.put(5, task="slow")
    assert claimed(drive) == ids[:1]
    assert claimed(drive) == []
    adapter.operator.unlimit("task", "slow")
    assert claimed(drive) == ids[1:]
    assert adapter.inspector.check() == []


def test_a_changed_rate_counts_at_once(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("task", "slow", rate=0.001)
    ids = drive.put(5, task="slow")
    assert claimed(drive) == ids[:1]
    assert claimed(drive) == []
    adapter.operator.limit("task", "slow", rate=10.0)
    assert (adapter.broker.opens_at(()) or 0) <= clock.now() + 0.1
    for id in ids[1:]:
        clock.advance(0.1)
        assert claimed(drive) == [id]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_neither_stops_a_rate_nor_opens_it(
    drive: Drive, adapter: Adapter, clock: ManualClock, jump: float
) -> None:
    adapter.operator.limit("queue", "default", rate=1.0, burst=2)
    ids = drive.put(9)
    assert claimed(drive) == ids[:2]
    clock.jump(jump)
    assert claimed(drive) == []
    assert adapter.broker.opens_at(()) == pytest.approx(clock.now() + 1)
    clock.advance(1)
    assert claimed(drive) == ids[2:3]


def test_a_rate_survives_a_restart_of_the_machine(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("queue", "default", rate=1.0, burst=2)
    ids = drive.put(9)
    assert claimed(drive) == ids[:2]
    clock.boot()
    assert claimed(drive) == []
    clock.advance(1)
    assert claimed(drive) == ids[2:3]


def test_opens_at_says_nothing_where_no_rate_is_waited_for(drive: Drive, adapter: Adapter) -> None:
    assert adapter.broker.opens_at(()) is None
    drive.put(2, key="k")
    claimed(drive)
    assert claimed(drive) == []
    assert adapter.broker.opens_at(()) is None
    adapter.operator.limit("queue", "default", rate=5.0)
    assert adapter.broker.opens_at(()) is None


# --- who says so -------------------------------------------------------------------------------------


def test_a_task_s_own_rate_counts_until_an_operator_says_otherwise(
    drive: Drive, adapter: Adapter, clock: ManualClock
) -> None:
    adapter.operator.declare({"slow": 1.0, "free": None})
    ids = drive.put(9, task="slow")
    assert claimed(drive) == ids[:1]
    (limit,) = adapter.inspector.limits()
    assert (limit.scope, limit.name, limit.rate, limit.burst, limit.declared) == ("task", "slow", 1.0, 1, True)
    adapter.operator.limit("task", "slow", rate=3.0, burst=3)
    adapter.operator.declare({"slow": 2.0})
    clock.advance(1)
    assert claimed(drive) == ids[1:4]
    (limit,) = adapter.inspector.limits()
    assert (limit.rate, limit.burst, limit.declared) == (3.0, 3, False)
    assert adapter.operator.unlimit("task", "slow")
    (limit,) = adapter.inspector.limits()
    assert (limit.rate, limit.burst, limit.declared) == (2.0, 1, True)
    assert not adapter.operator.unlimit("task", "slow")
    adapter.operator.declare({"slow": None})
    assert adapter.inspector.limits() == []
    assert claimed(drive) == ids[4:]


def test_an_operator_can_lift_what_a_task_declares(drive: Drive, adapter: Adapter) -> None:
    adapter.operator.declare({"slow": 0.001})
    adapter.operator.limit("task", "slow")
    ids = drive.put(3, task="slow")
    assert claimed(drive) == ids
    adapter.operator.declare({"slow": None})
    (limit,) = adapter.inspector.limits()
    assert (limit.rate, limit.declared) == (None, False)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("queue", {"concurrency": 0}),
        ("task", {"concurrency": 3}),
        ("queue", {"rate": 0.0}),
        ("queue", {"rate": -1.0}),
        ("queue", {"rate": float("nan")}),
        ("queue", {"burst": 3}),
        ("queue", {"rate": 1.0, "burst": 0}),
    ],
)
def test_a_limit_that_cannot_be_is_refused(adapter: Adapter, scope: str, said: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        adapter.operator.limit(scope, "x", **said)  # type: ignore[arg-type]
    assert adapter.inspector.limits() == []


def test_limits_say_what_is_in_use(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.operator.limit("queue", "a", concurrency=5, rate=30.0)
    adapter.operator.limit("task", "slow", rate=0.5)
    drive.put(4, queue="a", task="slow")
    drive.put(2, queue="b", task="quick")
    assert len(claimed(drive)) == 3
    assert claimed(drive) == []
    queue, task = adapter.inspector.limits()
    assert (queue.scope, queue.name, queue.concurrency, queue.rate, queue.burst) == ("queue", "a", 5, 30.0, 3)
    assert (queue.running, queue.held, queue.opens_at) == (1, 0, None)
    assert (task.scope, task.name, task.concurrency, task.rate, task.running) == ("task", "slow", None, 0.5, None)
    assert task.held == 3
    assert task.opens_at == pytest.approx(clock.now() + 2)
    stats = {each.name: (each.held, each.concurrency, each.rate) for each in adapter.inspector.snapshot().queues}
    assert stats == {"a": (3, 5, 30.0), "b": (0, None, None)}


def test_a_held_worker_dies_and_its_key_is_free_again(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    """Whose job died with it is retried, and does not stand in the way of the next."""
    first, second = drive.put(2, key="k")
    assert claimed(drive) == [first]
    adapter.broker.maintain()
    clock.advance(LEASE_SECONDS + 1)
    adapter.broker.maintain()
    assert drive.state(first) in (State.READY, State.RETRY)
    (next_,) = claimed(drive, worker="w2")
    assert next_ == second
    assert claimed(drive, worker="w2") == []
