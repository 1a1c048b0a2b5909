"""What waits to be stored: every job is counted once, and none that cannot be stored holds up the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw
import pytest

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from qtool.engine.job import Cancel, Done, Fail, Failure, Job, Policy, Retry, Snooze
from qtool.engine.states import State
from qtool.engine.worker.options import Silence
from qtool.engine.worker.outbox import TRIES, Fate, Outbox
from qtool.errors import BrokerBusy, BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Lease

ERROR = Failure(type="E", message="")


class Ears(Silence):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str, lease: Lease | None = None) -> None:
        self.said.append(message)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def adapter(path: Path) -> Iterator[Adapter]:
    with open_sqlite(f"sqlite:{path}", clock=ManualClock()) as adapter:
        yield adapter


def claimed(adapter: Adapter, count: int) -> tuple[Outbox, list[Lease], Ears]:
    now = ManualClock().now()
    adapter.broker.enqueue([Job(id=f"job-{n}", task="t", args=(n,), created_at=now) for n in range(count)])
    ears = Ears()
    outbox = Outbox(adapter.broker, ManualClock(), lambda: 0.5, ears)
    leases = adapter.broker.claim("me", (), count)
    outbox.claimed += len(leases)
    return outbox, leases, ears


def states(adapter: Adapter, leases: list[Lease]) -> list[State | None]:
    return [job.state if job else None for job in adapter.inspector.get([lease.id for lease in leases])]


def refuse(path: Path, result: str) -> None:
    """Let the file itself refuse this result."""
    with apsw.Connection(str(path)) as db:
        db.execute(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON jobs WHEN new.result = '{result}'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )


def test_what_was_claimed_is_the_sum_of_what_became_of_it(adapter: Adapter) -> None:
    outbox, leases, _ = claimed(adapter, 11)
    outbox.done(leases[0], 0.0, 1.0, None)
    outbox.end(leases[1], Done(None))
    outbox.end(leases[2], Fail(ERROR))
    outbox.end(leases[3], Fail(ERROR), Policy(retries=1))
    outbox.end(leases[4], Cancel())
    outbox.end(leases[5], Snooze(60.0))
    outbox.give_back(leases[6])
    outbox.end(leases[7], Snooze(), fate=Fate.STOPPED)
    outbox.end(leases[8], Snooze(), fate=Fate.KILLED)
    outbox.end(leases[9]._replace(token=1), Snooze(), fate=Fate.STOPPED)
    outbox.flush()
    outbox.end(leases[10], Done(None))
    told = outbox.summary()
    counts = ("succeeded", "dead", "retried", "cancelled", "snoozed", "unstarted", "stopped", "killed", "late")
    assert {name: getattr(told, name) for name in counts} == {**dict.fromkeys(counts, 1), "succeeded": 2}
    assert told.claimed == 11 == sum(getattr(told, name) for name in counts) + told.abandoned


def test_a_job_asked_to_stop_that_would_be_retried_counts_as_cancelled(adapter: Adapter) -> None:
    """For that is what the store makes of it."""
    outbox, leases, _ = claimed(adapter, 2)
    adapter.operator.cancel([lease.id for lease in leases])
    outbox.end(leases[0], Retry(ERROR), Policy(retries=5), fate=Fate.CANCELLED)
    outbox.end(leases[1], Fail(ERROR), fate=Fate.CANCELLED)
    outbox.flush()
    assert states(adapter, leases) == [State.CANCELLED, State.DEAD]
    told = outbox.summary()
    assert (told.cancelled, told.retried, told.dead) == (1, 0, 1)


def test_a_job_asked_to_stop_before_its_worker_knows_counts_as_what_the_store_makes_of_it(adapter: Adapter) -> None:
    outbox, leases, _ = claimed(adapter, 2)
    adapter.operator.cancel([lease.id for lease in leases])
    outbox.end(leases[0], Retry(ERROR), Policy(retries=5))
    outbox.end(leases[1], Snooze(60.0))
    outbox.flush()
    assert states(adapter, leases) == [State.CANCELLED, State.CANCELLED]
    told = outbox.summary()
    assert (told.cancelled, told.retried, told.snoozed) == (2, 0, 0)


@pytest.mark.parametrize("count", [1, 5])
def test_an_outcome_that_is_always_refused_ends_its_job_and_holds_up_no_other(
    adapter: Adapter, path: Path, count: int
) -> None:
    outbox, leases, ears = claimed(adapter, count)
    refuse(path, "bad")
    for number, lease in enumerate(leases):
        outbox.done(lease, 0.0, 1.0, "bad" if number == count // 2 else "1")
    outbox.flush()
    assert outbox.waiting == []
    ends = states(adapter, leases)
    assert (ends.count(State.DEAD), ends.count(State.SUCCEEDED)) == (1, count - 1)
    (job,) = adapter.inspector.get([leases[count // 2].id])
    assert job is not None
    assert "not this one" in str(job.error)
    assert len(ears.said) == 1
    assert job.id in ears.said[0]
    assert (outbox.summary().dead, outbox.summary().succeeded) == (1, count - 1)


@pytest.mark.parametrize("result", ["\ud800", 1 << 70, object()])
def test_a_result_that_no_column_takes_ends_its_job(adapter: Adapter, result: Any) -> None:
    outbox, leases, _ = claimed(adapter, 3)
    for lease, value in zip(leases, ("1", result, "3"), strict=True):
        outbox.done(lease, 0.0, 1.0, value)
    outbox.flush()
    assert states(adapter, leases) == [State.SUCCEEDED, State.DEAD, State.SUCCEEDED]


def test_a_result_that_is_too_large_for_the_file_ends_its_job(adapter: Adapter, path: Path) -> None:
    outbox, leases, _ = claimed(adapter, 2)
    adapter.broker._store.connection().limit(apsw.SQLITE_LIMIT_LENGTH, 2000)  # type: ignore[attr-defined]
    outbox.done(leases[0], 0.0, 1.0, "x" * 4000)
    outbox.done(leases[1], 0.0, 1.0, "1")
    outbox.flush()
    assert states(adapter, leases) == [State.DEAD, State.SUCCEEDED]


def test_trouble_of_the_broker_s_own_costs_no_job(adapter: Adapter, path: Path) -> None:
    """Where not even the plain end of a job is taken, everything is kept, and little is tried."""
    outbox, leases, ears = claimed(adapter, 20)
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TRIGGER refuse BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'nothing today'); END")
    for lease in leases:
        outbox.done(lease, 0.0, 1.0, None)
    with pytest.raises(BrokerError, match="nothing today"):
        outbox.flush()
    assert len(outbox.waiting) == 20 > TRIES
    with apsw.Connection(str(path)) as db:
        db.execute("DROP TRIGGER refuse")
    outbox.flush()
    assert states(adapter, leases) == [State.SUCCEEDED] * 20
    assert ears.said == []


def test_a_busy_broker_is_not_asked_for_each_job(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox, leases, _ = claimed(adapter, 3)
    asked = []

    def busy(settlements: list[Any]) -> list[bool]:
        asked.append(len(settlements))
        raise BrokerBusy(url="x", seconds=1)

    monkeypatch.setattr(adapter.broker, "settle", busy)
    for lease in leases:
        outbox.done(lease, 0.0, 1.0, None)
    with pytest.raises(BrokerBusy):
        outbox.flush()
    assert (asked, len(outbox.waiting)) == ([3], 3)
