"""What time does, and what it does when there is more of it than fits a transaction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite import moves, open_sqlite, upkeep
from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.look import SqliteInspector
from qtool.engine.brokers.sqlite.store import BUSY_SECONDS
from qtool.engine.policy import DAY, Retention
from qtool.engine.rollup import HISTORY_KEEP
from qtool.engine.states import State
from tests.unit.sqlite.tools import query, store_of

if TYPE_CHECKING:
    import pytest

    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from tests.conformance.drive import Drive

MANY = 2 * upkeep.STRETCH + 100


def counts(adapter: Adapter) -> dict[State, int]:
    found: Counter[State] = Counter()
    for queue in adapter.inspector.snapshot().queues:
        found.update(queue.counts)
    return {state: n for state, n in found.items() if n}


def test_no_overdue_job_is_claimed_however_many_there_are(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    adapter.broker.enqueue([drive.job(expires_at=clock.now() + 1) for _ in range(MANY)])
    fresh = drive.put_one()
    clock.advance(2)
    bell = adapter.broker.listen("finished")
    assert [lease.id for lease in drive.claim(MANY)] == [fresh]
    assert bell.wait(0)
    bell.close()
    assert counts(adapter) == {State.EXPIRED: MANY, State.RUNNING: 1}
    assert adapter.inspector.check() == []


def test_all_that_is_due_is_promoted_in_the_order_it_is_due(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    jobs = [drive.job(run_at=start + 10 + index % 7) for index in range(MANY)]
    adapter.broker.enqueue(jobs)
    clock.advance(100)
    assert adapter.broker.maintain().promoted == MANY
    due = {job.id: job.run_at for job in jobs}
    claimed = [due[lease.id] for lease in drive.claim(MANY)]
    assert claimed == sorted(due.values(), key=lambda at: at or 0)


def test_everything_old_is_pruned(drive: Drive, path: str, clock: ManualClock) -> None:
    with open_sqlite(f"sqlite:{path}", clock=clock, retention=Retention(cancelled=DAY)) as adapter:
        for queue in ("a", "b", "c"):
            jobs = [drive.job(queue=queue) for _ in range(MANY)]
            adapter.operator.cancel(adapter.broker.enqueue(jobs).ids)
        kept = drive.put_one()
        clock.advance(DAY + 1)
        assert adapter.broker.maintain().pruned == 3 * MANY
        assert [each.id for each in adapter.inspector.browse().jobs] == [kept]
        assert adapter.inspector.check() == []


def test_no_transaction_of_upkeep_is_long(drive: Drive, path: str, clock: ManualClock) -> None:
    with open_sqlite(f"sqlite:{path}", clock=clock) as adapter:
        for queue in ("a", "b", "c"):
            jobs = [drive.job(queue=queue) for _ in range(700)]
            adapter.operator.cancel(adapter.broker.enqueue(jobs).ids)
        now = clock.now() + 100 * DAY
        pruned = []
        while some := upkeep.prune(store_of(adapter), now, Retention()):
            pruned.append(some)
        assert pruned == [upkeep.STRETCH, upkeep.STRETCH, 100]


def test_pruning_leaves_room_for_the_rest_of_the_work(
    drive: Drive, path: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "TIDY_AT_ONCE", -1.0)
    with open_sqlite(f"sqlite:{path}", clock=clock) as adapter:
        jobs = [drive.job() for _ in range(MANY)]
        adapter.operator.cancel(adapter.broker.enqueue(jobs).ids)
        clock.advance(100 * DAY)
        assert [adapter.broker.maintain().pruned for _ in range(4)] == [1000, 1000, 100, 0]


def test_a_queue_that_is_used_once_leaves_no_counter(drive: Drive, adapter: Adapter, path: str) -> None:
    for number in range(20):
        adapter.operator.delete([drive.put_one(queue=f"once-{number}")])
    drive.put(queue="kept")
    adapter.broker.maintain()
    assert query(path, "SELECT state, queue, n FROM counters") == [("ready", "kept", 1)]
    assert len(drive.claim(5)) == 1
    assert adapter.inspector.check() == []


def sums(path: str) -> dict[tuple[str, str, int], tuple[int, float]]:
    text = "SELECT queue, series, bucket, sum(n), round(sum(total), 3) FROM rollups GROUP BY 1, 2, 3"
    return {row[:3]: row[3:] for row in query(path, text)}


def test_thinning_keeps_every_sum_and_may_be_done_again(adapter: Adapter, path: str, clock: ManualClock) -> None:
    store = store_of(adapter)
    for step in range(300):
        ledger = Ledger(clock.now())
        tally = ledger.tally(f"q{step % 3}")
        tally.count("succeeded", step)
        tally.ran(step / 10)
        tally.waited(step)
        with store.write(durable=False) as db:
            ledger.write(db)
        clock.advance(61.7 if step % 2 else 7201.3)
        if step % 10 == 0:
            before = sums(path)
            upkeep.thin_history(store, clock.now())
            thinned = query(path, "SELECT * FROM rollups ORDER BY 1, 2, 3, 4, 5")
            assert sums(path) == before
            upkeep.thin_history(store, clock.now())
            assert query(path, "SELECT * FROM rollups ORDER BY 1, 2, 3, 4, 5") == thinned
    assert {span for (span,) in query(path, "SELECT DISTINCT span FROM rollups")} == {1, 60, 3600}
    clock.advance(HISTORY_KEEP + 10 * DAY)
    upkeep.thin_history(store, clock.now())
    assert query(path, "SELECT * FROM rollups") == []


def test_what_arrives_late_joins_what_was_thinned(adapter: Adapter, path: str, clock: ManualClock) -> None:
    """From a worker whose clock is behind, or was set back."""
    store = store_of(adapter)
    start = clock.now()
    for later in (3 * 3600, 8 * DAY):
        for _ in range(3):
            ledger = Ledger(start)
            ledger.tally("q").ran(2.0)
            with store.write(durable=False) as db:
                ledger.write(db)
            before = sums(path)
            upkeep.thin_history(store, start + later)
            assert sums(path) == before
    assert query(path, "SELECT span, n, total FROM rollups") == [(3600, 6, 12.0)]


def test_a_snapshot_remembers_only_what_has_settled(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    """A look gives what a fresh one gives, also after a transaction had to wait and after the clock was set back."""
    inspector = adapter.inspector
    for step in range(60):
        drive.put(step % 3 + 1, queue=f"q{step % 2}")
        for lease in drive.claim(2):
            clock.advance(0.3)
            drive.succeed(lease)
        late = Ledger(clock.now() - BUSY_SECONDS)
        late.tally("q0").ran(1.0)
        with store_of(adapter).write(durable=False) as db:
            late.write(db)
        seen = inspector.snapshot()
        assert seen == SqliteInspector(store_of(adapter), clock).snapshot()
        clock.advance(-45.0 if step == 40 else 9.7)


def test_a_clock_that_is_set_back(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    start = clock.now()
    early = drive.put_one()
    later = drive.put_one(run_at=start + 10)
    clock.advance(-3600)
    after = drive.put_one()
    assert [lease.id for lease in drive.claim(5)] == [after, early]
    for lease in list(drive.leases.values()):
        assert drive.succeed(lease)
    (queue,) = adapter.inspector.snapshot().queues
    assert queue.wait is None or queue.wait.p50 >= 0
    assert adapter.broker.maintain().next_due == start + 10
    clock.advance(3600 + 10)
    assert drive.claim_one().id == later
    assert adapter.inspector.check() == []


def test_a_clock_that_is_set_forward(drive: Drive, adapter: Adapter, clock: ManualClock) -> None:
    lease = drive.start()
    due = drive.put_one(run_at=clock.now() + 60)
    clock.advance(3600)
    assert drive.claim_one().id == due
    clock.advance(-3600)
    assert drive.succeed(lease)
    assert adapter.broker.maintain().promoted == 0
    assert adapter.inspector.check() == []


def test_a_worker_without_work_in_its_queues_takes_no_lock(drive: Drive, adapter: Adapter, path: str) -> None:
    drive.put(queue="busy")
    drive.put(queue="paused")
    adapter.operator.pause("paused")
    store = store_of(adapter)
    for queues, something in (
        (("idle",), False),
        (("paused",), False),
        (("\udcff",), False),
        (("idle", "busy"), True),
        ((), True),
    ):
        assert upkeep.anything_to_claim(store, drive.clock.now(), drive.clock.monotonic(), queues) is something
