"""Processes of the pool that are replaced: after so many jobs, or when they have grown too large."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from qtool.engine.states import State
from tests.worker.conftest import Shop, children_of, eventually

pytestmark = pytest.mark.slow

POOLS = ["process", "thread", "async"]


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_runs_no_more_jobs_than_it_may(shop: Shop, pool: str) -> None:
    ids = [shop.add("where") for _ in range(40)]
    assert shop.burst("-j", "2", "--pool", pool, "--max-jobs-per-child", "7", "-q") == 0
    ran = Counter(shop.result(id) for id in ids)
    assert max(ran.values()) <= 7
    assert len(ran) >= 6


def test_each_job_has_an_interpreter_of_its_own_where_that_is_asked_for(shop: Shop) -> None:
    ids = [shop.add("where") for _ in range(6)]
    assert shop.burst("-j", "2", "--max-jobs-per-child", "1", "-q") == 0
    assert len({shop.result(id) for id in ids}) == 6


@pytest.mark.parametrize("pool", POOLS)
def test_a_successor_is_there_before_the_last_job_ends(shop: Shop, pool: str) -> None:
    """Long jobs, two each: nobody waits for a process to start."""
    ids = [shop.add("span", 1.5) for _ in range(4)]
    assert shop.burst("-j", "1", "--pool", pool, "--max-jobs-per-child", "2", "-q") == 0
    spans = [shop.result(id) for id in ids]
    assert len({pid for pid, _, _ in spans}) == 2
    gaps = [after[1] - before[2] for before, after in pairwise(spans)]
    assert all(0 <= gap < 0.25 for gap in gaps), gaps


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_process_that_has_grown_is_replaced_after_its_job(shop: Shop, pool: str) -> None:
    worker = shop.start("-j", "1", "--pool", pool, "--max-memory-per-child", "150MB", "-q")
    before = shop.result(shop.until(shop.add("where")).id)
    assert shop.result(shop.until(shop.add("where")).id) == before
    leaky = shop.add("leak", 200)
    assert shop.until(leaky).state is State.SUCCEEDED
    eventually(lambda: before not in children_of(worker.pid))
    assert shop.result(shop.until(shop.add("where")).id) != before
    assert "holds" in shop.stderr
    assert "more than 150 MB: another takes its place." in shop.stderr


def test_threads_that_still_run_drain_while_the_successor_works(shop: Shop) -> None:
    """The process that has run enough keeps its long job, and is gone after it."""
    gate = shop.gate()
    worker = shop.start("-j", "2", "--pool", "thread", "--max-jobs-per-child", "3", "-q")
    eventually(gate.exists)
    ids = [shop.add("where") for _ in range(8)]
    pids = {shop.result(shop.until(id).id) for id in ids}
    assert len(pids) >= 3
    first = shop.result(ids[0])
    assert first in children_of(worker.pid)
    gate.rmdir()
    eventually(lambda: first not in children_of(worker.pid))
