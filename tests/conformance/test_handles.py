"""Several handles and threads on one store: nothing is claimed twice, settled twice or lost."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from qtool.engine.states import Event, State
from tests.conformance.drive import Drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from qtool.engine.job import Lease
    from tests.conformance.conftest import MakeAdapter

THREADS = 4
SUCCESS = (Event.SUCCESS, State.SUCCEEDED)


def together(count: int, work: Callable[[int], list[str]]) -> list[str]:
    """What ``count`` threads bring, all let loose at once."""
    start = threading.Barrier(count)

    def run(number: int) -> list[str]:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [each for brought in pool.map(run, range(count)) for each in brought]


def test_a_second_handle_sees_and_does_the_same(drive: Drive, make_adapter: MakeAdapter, clock: ManualClock) -> None:
    other = Drive(make_adapter(), clock)
    id = drive.put_one(queue="q", unique="k")
    assert other.info(id) == drive.info(id)
    lease = other.claim_one(worker="w2")
    assert drive.state(id) is State.RUNNING
    assert drive.claim() == []
    drive.adapter.operator.cancel([id])
    assert other.adapter.broker.extend(other.worker("w2"), [lease]).cancelled == {id}
    assert [worker.id for worker in drive.adapter.inspector.snapshot().workers] == ["w2"]
    drive.adapter.operator.pause("q")
    assert other.adapter.inspector.snapshot().queues[0].paused
    assert drive.adapter.broker.settle([drive.settlement(lease, *SUCCESS)])
    assert not other.succeed(lease)
    assert other.state(id) is State.SUCCEEDED


def test_another_handle_rescues(drive: Drive, make_adapter: MakeAdapter, clock: ManualClock) -> None:
    lease = drive.start()
    drive.beat(lease)
    other = Drive(make_adapter(), clock)
    other.lose_worker()
    assert other.info(lease.id).crashes == 1
    assert not drive.succeed(lease)


def test_heartbeats_through_one_handle_hold_off_a_rescuer_at_another(
    drive: Drive, make_adapter: MakeAdapter, clock: ManualClock
) -> None:
    lease = drive.start()
    other = make_adapter()
    for _ in range(5):
        drive.beat(lease)
        assert other.broker.maintain().rescued == 0
        clock.advance(20)
    assert drive.succeed(lease)


def test_racing_claims_take_each_job_once(drive: Drive, make_adapter: MakeAdapter) -> None:
    ids = drive.put(300, queue="a") + drive.put(300, queue="b")
    handles = [make_adapter() for _ in range(THREADS)]

    def claim(number: int) -> list[str]:
        taken: list[str] = []
        while leases := handles[number].broker.claim(f"w{number}", (), 7):
            taken += [lease.id for lease in leases]
        return taken

    taken = together(THREADS, claim)
    assert Counter(taken) == Counter(ids)
    assert drive.adapter.inspector.check() == []


def test_racing_outcomes_leave_one(drive: Drive, make_adapter: MakeAdapter) -> None:
    drive.put(50)
    leases = drive.claim(50)
    handles = [make_adapter() for _ in range(THREADS)]

    def settle(number: int) -> list[str]:
        won = []
        for lease in leases:
            settlement = drive.settlement(lease, *SUCCESS, result=str(number))
            if handles[number].broker.settle([settlement])[0]:
                won.append(f"{lease.id} {number}")
        return won

    won = dict(each.split() for each in together(THREADS, settle))
    results = drive.adapter.results.results([lease.id for lease in leases])
    assert len(won) == 50
    assert {result.id: result.value for result in results if result} == won
    assert drive.adapter.inspector.check() == []


def test_racing_producers_share_a_unique_key(drive: Drive, make_adapter: MakeAdapter) -> None:
    handles = [make_adapter() for _ in range(THREADS)]

    def enqueue(number: int) -> list[str]:
        receipts = [
            handles[number].broker.enqueue(
                [drive.job(id=f"{number}-{n}-{key}", unique=key) for key in ("x", "y", None)]
            )
            for n in range(10)
        ]
        return [id for receipt in receipts for id in receipt.ids]

    ids = Counter(together(THREADS, enqueue))
    assert len(ids) == 2 + THREADS * 10
    assert drive.adapter.inspector.count() == len(ids)
    assert drive.adapter.inspector.check() == []


def test_producers_and_workers_at_once_lose_nothing(drive: Drive, make_adapter: MakeAdapter) -> None:
    handles = [make_adapter() for _ in range(THREADS)]
    wanted = 100 * (THREADS // 2)

    def work(number: int) -> list[str]:
        handle = handles[number]
        if number % 2:
            return [id for n in range(10) for id in _enqueue_ten(handle, drive, f"{number}-{n}")]
        ran: list[str] = []
        while _succeeded(drive) < wanted:
            ran += [lease.id for lease in _run_some(handle, drive, f"w{number}")]
        return [f"ran {id}" for id in ran]

    both = together(THREADS, work)
    enqueued = [each for each in both if not each.startswith("ran ")]
    assert sorted(each.removeprefix("ran ") for each in both if each.startswith("ran ")) == sorted(enqueued)
    assert len(enqueued) == wanted
    assert drive.adapter.inspector.check() == []


def _enqueue_ten(handle: Adapter, drive: Drive, prefix: str) -> tuple[str, ...]:
    return handle.broker.enqueue([drive.job(id=f"{prefix}-{n}") for n in range(10)]).ids


def _run_some(handle: Adapter, drive: Drive, worker: str) -> list[Lease]:
    leases = handle.broker.claim(worker, (), 5)
    assert all(handle.broker.settle([drive.settlement(lease, *SUCCESS) for lease in leases]))
    return leases


def _succeeded(drive: Drive) -> int:
    return sum(stats.counts[State.SUCCEEDED] for stats in drive.adapter.inspector.snapshot().queues)
