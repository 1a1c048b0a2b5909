"""Workers that grow and shrink, by themselves and from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from qtool.engine.states import State
from tests.worker.conftest import Shop, eventually

if TYPE_CHECKING:
    from qtool.engine.broker import WorkerInfo

pytestmark = pytest.mark.slow

POOLS = ["process", "thread", "async"]


def the_worker(shop: Shop) -> WorkerInfo:
    found: WorkerInfo = eventually(lambda: next(iter(shop.adapter.inspector.snapshot().workers), None))
    return found


def running(shop: Shop) -> int:
    return shop.count(State.RUNNING)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_grows_while_jobs_wait_and_no_further_than_it_may(shop: Shop, pool: str) -> None:
    gates = [shop.gate() for _ in range(5)]
    shop.start("-j", "1:3", "--pool", pool, "-q")
    eventually(lambda: running(shop) == 3)
    info = eventually(lambda: (info := the_worker(shop)).slots == 3 and info)
    assert (info.slots, info.most) == (3, 3)
    for gate in gates:
        eventually(gate.exists)
        assert running(shop) <= 3
        gate.rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 5)


def test_a_worker_for_commands_grows_too(shop: Shop) -> None:
    for _ in range(3):
        shop.command("sleep", "600")
    shop.start("-j", "1:2", "-q", apps=False)
    eventually(lambda: running(shop) == 2)


def test_a_worker_does_not_grow_for_jobs_that_a_limit_holds_back(shop: Shop) -> None:
    shop.adapter.operator.limit("queue", "default", concurrency=1)
    for _ in range(4):
        shop.command("sleep", "600")
    shop.start("-j", "1:4", "-q", apps=False)
    eventually(lambda: running(shop) == 1)
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: the_worker(shop).slots > 1, within=3)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_is_scaled_from_outside_within_a_second_and_stops_nothing_for_it(shop: Shop, pool: str) -> None:
    gates = [shop.gate() for _ in range(6)]
    shop.start("-j", "1", "--pool", pool, "-q")
    info = the_worker(shop)
    eventually(gates[0].exists)

    asked = time.monotonic()
    assert shop.adapter.operator.scale(info.id, 3, 3)
    eventually(lambda: running(shop) == 3)
    # A process takes its time to start; what is claimed for it shows that the worker has heard.
    assert time.monotonic() - asked < 1.5
    eventually(lambda: sum(gate.exists() for gate in gates) == 3)

    assert shop.adapter.operator.scale(info.id, 1, 1)
    eventually(lambda: the_worker(shop).slots == 1)
    assert running(shop) == 3
    for _ in range(2):
        next(gate for gate in gates if gate.exists()).rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 2)
    assert sum(gate.exists() for gate in gates) == running(shop) == 1
    next(gate for gate in gates if gate.exists()).rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 3)
    eventually(lambda: sum(gate.exists() for gate in gates) == 1)
    assert running(shop) == 1
    assert not any(shop.job(job.id).crashes for job in shop.adapter.inspector.browse().jobs)


def test_a_worker_can_be_scaled_far_beyond_what_it_was_started_with(shop: Shop) -> None:
    shop.start("-j", "1", "--pool", "async", "-q")
    info = the_worker(shop)
    for _ in range(300):
        shop.add("doze", 60)
    assert shop.adapter.operator.scale(info.id, 256, 256)
    eventually(lambda: running(shop) == 256)
