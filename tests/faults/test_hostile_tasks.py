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
from tests.worker.conftest import Shop, eventually

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


@pytest.mark.timeout(180)
@pytest.mark.parametrize("doing", sorted(DOINGS))
def test_a_hostile_task_harms_itself_alone(shop: Shop, doing: str) -> None:
    before, after = ([shop.add("tests.faults.hostile.neighbour", number) for number in range(8)] for _ in range(2))
    del after
    bad = shop.add("tests.faults.hostile.hostile", doing)
    after = [shop.add("tests.faults.hostile.neighbour", number) for number in range(8)]
    worker = shop.start("-A", "tests.faults.hostile", "-j", "2", apps=False)
    try:
        for id in (*before, *after, bad):
            shop.until(id)
    except AssertionError:
        pytest.fail(f"{outcome(shop, bad)}; worker: {worker.poll()}\n{shop.stderr[-3000:]}")
    judge(shop, {bad: doing}, [*before, *after])
    assert worker.poll() is None, shop.stderr
    worker.terminate()
    assert worker.wait(20) == 0
    assert "Traceback" not in shop.stderr


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
