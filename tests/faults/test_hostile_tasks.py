"""Tasks that misuse their process: the worker survives all of them, and only the job that did it suffers.

``QTOOL_SEED`` repeats a run's order.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from qtool.engine.states import Reason, State
from tests.faults.hostile import DOINGS
from tests.worker.conftest import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

CRASHES = {
    "exit_0",
    "exit_3",
    "segfault",
    "abort",
    "kill",
    "terminate",
    "kill_own_group",
    "overflow_the_c_stack",
    "close_all_descriptors",
    "close_all_descriptors_and_open_others",
    "write_garbage_to_all_descriptors",
    "write_messages_of_others",
}
FAILURES = {
    "system_exit",
    "keyboard_interrupt",
    "generator_exit",
    "an_exception_of_its_own_kind",
    "recursion",
    "out_of_memory",
    "out_of_descriptors",
}
HARMLESS = {"leave_threads", "leave_a_thread_that_writes", "change_directory", "leave_a_child", "flood_stdout"}
AMBIGUOUS = {"return_twice"}
"""It may count as done, for it was; or as a crash, for its process is another's double since."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def outcome(shop: Shop, id: str) -> str:
    info = shop.job(id)
    return f"{info.state} {info.reason or ''} after {info.crashes} crashes: {info.error}"


@pytest.mark.timeout(240)
def test_hostile_tasks_harm_themselves_alone(shop: Shop) -> None:
    run(shop, "process", sorted(DOINGS))


@pytest.mark.parametrize("pool", ["thread", "async"])
def test_errors_of_every_kind_fail_their_own_job_where_jobs_share_a_process(shop: Shop, pool: str) -> None:
    run(shop, pool, sorted(FAILURES | HARMLESS))


def run(shop: Shop, pool: str, doings: list[str]) -> None:
    """Every doing once, in random order, and honest jobs between them."""
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    random.Random(seed).shuffle(doings)
    bad: dict[str, str] = {}
    honest: list[str] = []
    for doing in doings:
        task = "awaited" if pool == "async" and doing in FAILURES else "hostile"
        bad[shop.add(f"tests.faults.hostile.{task}", doing)] = doing
        honest += [shop.add("tests.faults.hostile.neighbour", number) for number in range(4)]
    worker = shop.start("-A", "tests.faults.hostile", "-j", "3", "--pool", pool, apps=False)
    try:
        for id in (*bad, *honest):
            shop.until(id)
    except AssertionError:
        left = {doing: outcome(shop, id) for id, doing in bad.items()}
        pytest.fail(f"{left}\nworker: {worker.poll()}\n{shop.stderr[-3000:]}")
    judge(shop, bad, honest)
    assert worker.poll() is None, shop.stderr
    worker.terminate()
    assert worker.wait(20) == 0
    assert "supervisor.py" not in shop.stderr, "the supervisor's own code raised"


def judge(shop: Shop, bad: dict[str, str], honest: list[str]) -> None:
    """Whoever did it has what it deserves, and nobody else has anything."""
    for id, doing in bad.items():
        info = shop.job(id)
        end = (info.state, info.reason, info.crashes)
        crashed = end == (State.DEAD, Reason.CRASHED, 3)
        if doing in CRASHES:
            assert crashed, outcome(shop, id)
        elif doing in FAILURES:
            assert end == (State.DEAD, Reason.FAILED, 0), outcome(shop, id)
        elif doing not in AMBIGUOUS:
            assert end == (State.SUCCEEDED, None, 0), outcome(shop, id)
    for id in honest:
        info = shop.job(id)
        assert (info.state, info.crashes, info.failures) == (State.SUCCEEDED, 0, 0), outcome(shop, id)
    assert shop.adapter.inspector.check() == []
