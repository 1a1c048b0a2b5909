"""Threads that enqueue at once share commits, and nothing else."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.broker import Receipt
from qtool.engine.brokers.sqlite.intake import Intake
from qtool.engine.states import State
from qtool.errors import BadName, BrokerBusy, NotSerialisable, QtoolError, UsageError
from tests.unit.sqlite.tools import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Job
    from tests.conformance.drive import Drive


def together(adapter: Adapter, batches: Sequence[Sequence[Job]]) -> list[Receipt | BaseException]:
    """Enqueue each batch in a thread of its own, all in one group: they gather while the file's lock is held."""
    store = store_of(adapter)
    intake = adapter.broker._intake  # type: ignore[attr-defined]
    ends: list[Receipt | BaseException] = [Receipt(())] * len(batches)

    def run(index: int) -> None:
        try:
            ends[index] = adapter.broker.enqueue(batches[index])
        except BaseException as error:  # noqa: BLE001 - told to the test
            ends[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(batches))]
    with store.lock:
        for thread in threads:
            thread.start()
        gathered = threading.Event()
        for _ in range(5000):
            if len(intake._waiting) == len(batches):
                break
            gathered.wait(0.001)
        assert len(intake._waiting) == len(batches)
    for thread in threads:
        thread.join(10)
    assert intake._waiting == []
    return ends


def test_one_commit_serves_all(drive: Drive, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    insert = Intake._insert

    def counting(self: Intake, group: list[Any], now: float, *, one_by_one: bool) -> None:
        commits.append(len(group))
        insert(self, group, now, one_by_one=one_by_one)

    monkeypatch.setattr(Intake, "_insert", counting)
    batches = [[drive.job() for _ in range(3)] for _ in range(8)]
    ends = together(adapter, batches)
    assert [end.ids for end in ends if isinstance(end, Receipt)] == [tuple(job.id for job in b) for b in batches]
    assert commits == [8]


FAULTS: dict[str, tuple[Callable[[Drive], Job], type[QtoolError]]] = {
    "a lone surrogate in the task": (lambda drive: drive.job(task="a\udcff"), BadName),
    "no number for a time": (lambda drive: drive.job(created_at="yesterday"), UsageError),
    "what SQLite has no type for": (lambda drive: drive.job(expires_at=object()), UsageError),
    "a number beyond all": (lambda drive: drive.job(expires_at=2**70), UsageError),
    "no time at all": (lambda drive: drive.job(created_at=float("nan")), UsageError),
}


@pytest.mark.parametrize("unique", [None, "k"], ids=["in bulk", "one by one"])
@pytest.mark.parametrize(("make", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_batch_fails_alone_and_whole(
    drive: Drive, adapter: Adapter, make: Callable[[Drive], Job], error: type[QtoolError], unique: str | None
) -> None:
    good = [[drive.job(), drive.job()], [drive.job(unique=unique)], [drive.job()]]
    bad = [drive.job(), make(drive), drive.job()]
    ends = together(adapter, [good[0], bad, good[1], good[2]])
    assert isinstance(ends[1], error), ends[1]
    stored = {job.id for job in adapter.inspector.browse().jobs}
    assert stored == {job.id for batch in good for job in batch}
    assert all(isinstance(end, Receipt) for end in (ends[0], ends[2], ends[3]))
    assert adapter.inspector.check() == []


def test_what_ails_the_file_is_told_to_all(
    drive: Drive, adapter: Adapter, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise BrokerBusy(url=path, seconds=0)

    monkeypatch.setattr(Intake, "_insert", locked)
    ends = together(adapter, [[drive.job()], [drive.job()]])
    assert [type(end) for end in ends] == [BrokerBusy, BrokerBusy]
    monkeypatch.undo()
    assert adapter.inspector.count() == 0


def test_an_interrupt_fails_nobody_else(drive: Drive, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = Intake._insert
    interrupted: list[str] = []

    def once(self: Intake, group: list[Any], now: float, *, one_by_one: bool) -> None:
        if not interrupted:
            interrupted.extend(batch.jobs[0].id for batch in group)
            raise KeyboardInterrupt
        insert(self, group, now, one_by_one=one_by_one)

    monkeypatch.setattr(Intake, "_insert", once)
    batches = [[drive.job()] for _ in range(4)]
    ends = together(adapter, batches)
    kinds = Counter(type(end) for end in ends)
    assert kinds == {KeyboardInterrupt: 1, Receipt: 3}
    stored = {job.id for job in adapter.inspector.browse().jobs}
    assert stored == {end.ids[0] for end in ends if isinstance(end, Receipt)}


def test_what_stands_already_is_told_to_its_own_caller(drive: Drive, adapter: Adapter) -> None:
    there = drive.put_one(unique="k")
    new = drive.job()
    ends = together(adapter, [[drive.job(unique="k")], [new], [drive.job(id=there)]])
    assert ends == [Receipt((there,), frozenset({there})), Receipt((new.id,)), Receipt((there,), frozenset({there}))]


@pytest.mark.parametrize("priority", [-1, 10, 2**70, "high"])
def test_a_priority_that_is_none(drive: Drive, adapter: Adapter, priority: object) -> None:
    with pytest.raises(UsageError, match="priority"):
        adapter.broker.enqueue([drive.job(), drive.job(priority=priority)])
    assert adapter.inspector.count() == 0


def test_arguments_that_cannot_be_written_leave_the_batch_out(drive: Drive, adapter: Adapter) -> None:
    with pytest.raises(NotSerialisable):
        adapter.broker.enqueue([drive.job(), drive.job(args=({1, 2},))])
    assert adapter.inspector.count() == 0


def test_an_empty_batch_touches_nothing(adapter: Adapter) -> None:
    with store_of(adapter).write(durable=True):
        # It would fail in here: one transaction does not start within another.
        assert adapter.broker.enqueue([]) == Receipt(())


def test_a_scheduled_job_rings_too(drive: Drive, adapter: Adapter) -> None:
    bell = adapter.broker.listen("ready")
    drive.put(run_at=drive.clock.now() + 1)
    assert bell.wait(0)
    lease = drive.claim(worker="w")
    assert lease == []
    drive.clock.advance(1)
    drive.retry(drive.claim_one(), 1.0)
    assert bell.wait(0)
    assert not bell.wait(0)
    bell.close()
    assert adapter.inspector.snapshot().queues[0].counts[State.RETRY] == 1
