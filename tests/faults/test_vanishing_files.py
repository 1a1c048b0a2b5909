"""Files that are cut, damaged, moved away, deleted or replaced: a clear error, and no new file that hides the loss."""

from __future__ import annotations

import os
import random
import shutil
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import BrokerError, QtoolError
from tests.worker.conftest import Shop, eventually

from .tools import counts, jobs, qtool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

PAGE = 4096


def delete(path: Path) -> None:
    for name in path.parent.glob(f"{path.name}*"):
        if name.is_file():
            name.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    open_broker(str(other)).close()
    other.rename(path)


WAYS: dict[str, Callable[[Path], None]] = {"deleted": delete, "moved": move, "replaced": replace}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_promised_into_a_file_that_is_gone(tmp_path: Path, way: str) -> None:
    path = tmp_path / "q.db"
    with open_broker(str(path)) as adapter:
        adapter.broker.enqueue(jobs(3))
        WAYS[way](path)
        for action in (lambda: adapter.broker.enqueue(jobs(1)), lambda: adapter.broker.claim("w", [], 1)):
            with pytest.raises(BrokerError, match="moved, deleted or replaced"):
                action()
        assert path.exists() is (way == "replaced"), "a new file hides that the old one is gone"


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_worker_whose_file_is_gone_says_so_and_ends_when_told(shop: Shop, way: str) -> None:
    worker = shop.patched(lease=2.0, grace=0.5)
    first = shop.add("echo", 1)
    shop.until(first)
    gate = shop.gate()
    eventually(gate.exists)
    WAYS[way](shop.directory / "shop.db")
    eventually(lambda: "moved, deleted or replaced" in shop.stderr)
    assert (shop.directory / "shop.db").exists() is (way == "replaced")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 1


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    with suppress(QtoolError):
        shop.close()


# --- at rest -----------------------------------------------------------------------------------------


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A file with jobs in all sorts of states, folded into one piece."""
    path = tmp_path / "sound.db"
    with open_broker(str(path)) as adapter:
        adapter.broker.enqueue(jobs(500))
        adapter.broker.claim("w", [], 100)
        adapter.broker.leave("w")
    assert not os.path.getsize(f"{path}-wal")
    return path


def use(adapter: Adapter) -> None:
    """All that a worker and a command do."""
    adapter.inspector.snapshot()
    adapter.inspector.browse(limit=1000)
    adapter.broker.enqueue(jobs(2))
    adapter.broker.claim("w", [], 1000)
    adapter.broker.maintain()
    adapter.inspector.check()


@pytest.mark.slow
def test_damage_anywhere_is_an_error_of_its_own_or_none(sound: Path, tmp_path: Path) -> None:
    """A page of noise, of zeros or of another page: qtool may not notice at once, but it never breaks."""
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    choose = random.Random(seed)
    pages = os.path.getsize(sound) // PAGE
    noticed = 0
    for number in range(100):
        path = tmp_path / f"{number}.db"
        shutil.copy(sound, path)
        with path.open("r+b") as file:
            for _ in range(choose.randrange(1, 4)):
                file.seek(choose.randrange(pages) * PAGE)
                other = file.read(PAGE)
                file.seek(choose.randrange(pages) * PAGE + choose.choice((0, 0, choose.randrange(PAGE))))
                file.write(choose.choice((choose.randbytes(PAGE), bytes(PAGE), other, choose.randbytes(8))))
        try:
            with open_broker(str(path)) as adapter:
                use(adapter)
        except QtoolError:
            noticed += 1
    assert noticed > 10


@pytest.mark.slow
def test_a_file_cut_short_is_an_error(sound: Path) -> None:
    os.truncate(sound, os.path.getsize(sound) // 2 // PAGE * PAGE)
    for words in (["jobs"], ["queues"], ["enqueue", "some.task"], ["doctor"]):
        ended = qtool(*words, "-b", sound)
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), (words, ended)


def test_a_missing_wal_leaves_an_older_file_that_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    with open_broker(str(path)) as adapter:
        adapter.broker.enqueue(jobs(5))
        adapter.broker.leave("w")
        adapter.broker.enqueue(jobs(5))
    os.unlink(f"{path}-wal")
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    with open_broker(str(path)) as adapter:
        assert adapter.inspector.check() == []
        assert counts(adapter)[State.READY] == 5
