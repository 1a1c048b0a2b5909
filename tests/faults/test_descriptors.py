"""No descriptor is left to open: an error while it lasts, nothing lost, and everything as before afterwards."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import BrokerError
from tests.worker.conftest import Shop, eventually

from .tools import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def none_left() -> Iterator[None]:
    """Take every descriptor that this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    assert taken
    try:
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_open_broker_works_on_without_descriptors(tmp_path: Path) -> None:
    with open_broker(str(tmp_path / "q.db")) as adapter:
        adapter.broker.enqueue(jobs(10))
        with none_left():
            adapter.broker.enqueue(jobs(10))
            assert len(adapter.broker.claim("w", [], 5)) == 5
        assert counts(adapter)[State.READY] == 15
        assert adapter.inspector.check() == []


def test_what_needs_descriptors_raises_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    with open_broker(str(tmp_path / "q.db")) as adapter:
        adapter.broker.enqueue(jobs(1))
        with none_left():
            for action in (
                lambda: open_broker(str(tmp_path / "other.db")),
                lambda: adapter.broker.listen("ready"),
                lambda: adapter.broker.slate("w", 1),
            ):
                with pytest.raises(BrokerError):
                    action()
        adapter.broker.listen("ready").close()
        assert list((tmp_path / "q.db.d" / "workers").iterdir()) == []


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 3])
def test_a_worker_that_runs_out_of_descriptors_loses_no_job(shop: Shop, room: int) -> None:
    """Children that die cannot be replaced for a while, and commands cannot be started."""
    worker = shop.start("-j", "2")
    warm = shop.add("echo", 0)
    shop.until(warm)
    most = max(map(int, os.listdir(f"/proc/{worker.pid}/fd"))) + 1 + room
    before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (most, most))
    bad = shop.add("crash", "kill")
    commands = [shop.command("true") for _ in range(6)]
    honest = [shop.add("echo", number) for number in range(20)]
    eventually(lambda: shop.job(bad).crashes or worker.poll() is not None)
    if worker.poll() is None:
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
    else:
        # It may give up, as long as it says why; another one takes over.
        assert "oo many open files" in shop.stderr
        worker = shop.start("-j", "2")
    for id in (*honest, *commands):
        assert shop.until(id).state is State.SUCCEEDED, shop.stderr
    assert shop.until(bad).crashes == 3
    assert worker.poll() is None
