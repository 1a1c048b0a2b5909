"""Limits with real workers: never more at once, never faster, and as fast as allowed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, eventually

if TYPE_CHECKING:
    from tests.worker.conftest import Shop

pytestmark = pytest.mark.slow


def most_at_once(log: str) -> int:
    """How many jobs stood between their ``+`` and their ``-`` at the most."""
    running = most = 0
    for line in log.split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert running == 0
    return most


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_two_workers_together_keep_to_a_queue_s_limit(shop: Shop, pool: str) -> None:
    shop.adapter.operator.limit("queue", "default", concurrency=3)
    log = shop.directory / "log"
    for _ in range(60):
        shop.add("between", str(log), 0.02)
    workers = [shop.start("--burst", "-j", "4", "--pool", pool) for _ in range(2)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
    assert shop.count(State.SUCCEEDED) == 60
    assert most_at_once(log.read_text()) == 3


def test_two_workers_together_keep_to_a_key_s_limit_and_serve_the_others_meanwhile(shop: Shop) -> None:
    log = shop.directory / "log"
    now = time.time()
    shop.adapter.broker.enqueue(
        [
            Job(
                id=id,
                task="tests.worker.app.between",
                args=(str(log), 0.02),
                created_at=now,
                key="account-7",
                key_limit=2,
            )
            for id in new_id.batch(40)
        ]
    )
    shop.add_many("echo", 200)
    workers = [shop.start("--burst", "-j", "3") for _ in range(2)]
    eventually(lambda: shop.count(State.SUCCEEDED) >= 200)
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
    assert shop.count(State.SUCCEEDED) == 240
    assert most_at_once(log.read_text()) == 2


@pytest.mark.parametrize("scope", ["queue", "task"])
def test_two_workers_together_start_as_many_a_second_as_allowed(shop: Shop, scope: str) -> None:
    rate, count = 50.0, 200
    if scope == "queue":
        shop.adapter.operator.limit("queue", "default", rate=rate)
    else:
        shop.adapter.operator.limit("task", "tests.worker.app.echo", rate=rate)
    shop.add_many("echo", count)
    workers = [shop.start("--burst", "-j", "2") for _ in range(2)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
    jobs = shop.adapter.inspector.browse(limit=count).jobs
    starts = sorted(job.started_at for job in jobs if job.started_at is not None)
    assert len(starts) == count
    took = starts[-1] - starts[0]
    # A burst of five, and what two busy cores may delay.
    assert (count - 6) / rate - 0.1 < took < 1.25 * count / rate
    for first, later in zip(starts, starts[30:], strict=False):
        assert later - first > (30 - 5) / rate - 0.1


def test_a_worker_that_waits_for_a_rate_does_not_spin(shop: Shop) -> None:
    shop.adapter.operator.limit("task", "tests.worker.app.echo", rate=0.01)
    shop.add_many("echo", 500)
    worker = shop.start("-j", "2")
    eventually(lambda: shop.count(State.SUCCEEDED) == 1)
    eventually(lambda: shop.adapter.inspector.snapshot().queues[0].held == 499)
    import psutil

    before = sum(psutil.Process(worker.pid).cpu_times()[:2])
    time.sleep(1.5)
    assert sum(psutil.Process(worker.pid).cpu_times()[:2]) - before < 0.15


def test_a_task_s_own_rate_reaches_the_broker_from_its_worker(shop: Shop) -> None:
    shop.add("rated")
    assert shop.burst("-j", "1") == 0
    (limit,) = shop.adapter.inspector.limits()
    assert (limit.scope, limit.name, limit.rate, limit.declared) == ("task", "tests.worker.app.rated", 5.0, True)
    # As if the code had been changed since: the next worker takes it back.
    shop.adapter.operator.declare({"tests.worker.app.echo": 3.0})
    shop.add("echo", 1)
    assert shop.burst("-j", "1") == 0
    assert [each.name for each in shop.adapter.inspector.limits()] == ["tests.worker.app.rated"]
