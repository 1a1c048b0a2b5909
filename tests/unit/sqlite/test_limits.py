"""What limits cost: jobs that are held are met once, and then by nobody but who lets them go."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from qtool.engine.brokers.sqlite.limits import STRETCH
from qtool.engine.ids import new_id
from qtool.engine.states import State
from tests.unit.sqlite.tools import job, query

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from tests.conformance.drive import Drive

FREE = "SELECT count(*) FROM jobs WHERE state = 'ready' AND held IS NULL"


def free(path: str) -> int:
    """How many jobs a claim would look at."""
    return int(query(path, FREE)[0][0])


def test_new_jobs_of_a_full_key_are_held_from_the_start(drive: Drive, path: str) -> None:
    drive.put(50, key="k", key_limit=3)
    assert free(path) == 3
    drive.put(50, key="k", key_limit=3)
    assert free(path) == 3
    drive.claim(2)
    drive.put(50, key="k", key_limit=3)
    assert free(path) == 1


def test_an_end_lets_go_as_many_as_slots_fall_free(drive: Drive, path: str) -> None:
    drive.put(50, key="k", key_limit=3)
    leases = drive.claim(10)
    assert (len(leases), free(path)) == (3, 0)
    drive.succeed(leases[0])
    assert free(path) == 1
    drive.succeed(leases[1])
    assert free(path) == 2
    assert len(drive.claim(10)) == 2


def test_jobs_that_became_due_together_are_passed_over_once(
    drive: Drive, adapter: Adapter, clock: ManualClock, path: str
) -> None:
    drive.put(2 * STRETCH + 50, key="k", run_at=clock.now() + 5)
    other = drive.put_one(run_at=clock.now() + 6)
    clock.advance(7)
    adapter.broker.maintain()
    assert free(path) == 2 * STRETCH + 51
    # A claim passes over so many and no more; the worker is told to go on.
    assert len(drive.claim(2)) == 1
    assert adapter.broker.opens_at(()) == clock.now()
    taken = [lease.id for _ in range(3) for lease in drive.claim(2)]
    assert (taken, free(path)) == ([other], 0)
    assert adapter.broker.opens_at(()) is None


def test_what_waits_for_a_rate_is_passed_over_once(drive: Drive, adapter: Adapter, path: str) -> None:
    adapter.operator.limit("task", "slow", rate=0.001)
    drive.put(300, task="slow")
    assert len(drive.claim(300)) == 1
    assert free(path) == 0


def test_a_claim_takes_no_lock_while_everything_is_held(drive: Drive, adapter: Adapter, path: str) -> None:
    adapter.operator.limit("task", "slow", rate=0.001)
    adapter.operator.limit("queue", "full", concurrency=1)
    drive.put(3, task="slow")
    drive.put(3, key="k")
    drive.put(3, queue="full")
    assert len(drive.claim(9)) == 3
    with closing(apsw.Connection(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        # It would wait for the lock, and give up.
        assert drive.claim(9) == []
        other.execute("ROLLBACK")


@pytest.mark.slow
def test_a_hundred_thousand_jobs_of_one_key_do_not_slow_down_the_others(drive: Drive, adapter: Adapter) -> None:
    def claims() -> float:
        began = time.process_time()
        for _ in range(20):
            assert len(drive.claim(100)) == 100
        return time.process_time() - began

    def add(count: int, key: str, key_limit: int) -> None:
        adapter.broker.enqueue([job(id, key=key, key_limit=key_limit) for id in new_id.batch(count)])

    add(2_000, "l", 9_999)
    before = claims()
    add(100_000, "k", 1)
    add(2_001, "m", 9_999)
    assert claims() < 3 * before + 0.05
    (queue,) = adapter.inspector.snapshot().queues
    assert queue.held >= 100_000 - 1
    assert queue.counts[State.RUNNING] == 4_000
