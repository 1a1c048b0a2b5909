"""A job that takes more memory than there is: the kernel kills its process, and the worker and the other jobs live."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import Reason, State
from tests.worker.conftest import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = Path("/sys/fs/cgroup")
LIMIT = 160 << 20


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit on memory; its processes are killed by the kernel when they reach it."""
    for parent, limit in ((GROUPS / "memory", "memory.limit_in_bytes"), (GROUPS, "memory.max")):
        path = parent / f"qtool-test-{os.getpid()}"
        try:
            path.mkdir()
            (path / limit).write_text(str(LIMIT))
        except OSError:
            with suppress(OSError):
                path.rmdir()
            continue
        with suppress(OSError):
            (path / "memory.swap.max").write_text("0")
        yield path
        path.rmdir()
        return
    pytest.skip("no control group with a limit on memory can be made here")


@pytest.mark.slow
def test_the_kernel_kills_a_job_that_takes_too_much_memory(shop: Shop, group: Path) -> None:
    worker = shop.start("-j", "2")
    warm = shop.add("echo", 0)
    shop.until(warm)
    (group / "cgroup.procs").write_text(str(worker.pid))
    # The processes that are there stay outside; those that replace them are born inside.
    outside = [shop.add("crash", "kill", policy=Policy(on_crash="dead")) for _ in range(4)]
    for id in outside:
        shop.until(id)
    greedy = shop.add("hoard", 4 * LIMIT >> 20)
    honest = [shop.add("sleep", 0.05) for _ in range(10)]
    info = shop.until(greedy)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 3)
    assert info.error is not None
    assert info.error.signal == 9
    for id in honest:
        assert shop.until(id).state is State.SUCCEEDED
        assert shop.job(id).crashes == 0
    assert worker.poll() is None
    shop.close()
