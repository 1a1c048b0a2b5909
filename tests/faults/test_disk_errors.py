"""A disk that fails: an error for what it could not do, nothing half done, and all as before once it works again.

The failing device is a layer under SQLite that answers with input/output errors on demand: a real one (dm-error) takes
a kernel module that few machines load.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.errors import BrokerError

from .tools import counts, done, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Lease


class Disk(apsw.VFS):
    """Fails when it is told to."""

    def __init__(self) -> None:
        super().__init__("failing", "unix", makedefault=True)
        self.fails: frozenset[str] = frozenset()
        """What fails: ``write``, ``sync``, ``read``, ``truncate``."""
        self.odds = 1.0
        self.random = random.Random()
        self.failed = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  apsw's name
        return File(name, flags, self)

    def ask(self, what: str) -> None:
        """Raises apsw.IOError if it fails just now."""
        if what in self.fails and self.random.random() < self.odds:
            self.failed += 1
            raise apsw.IOError(f"the disk fails to {what}")


class File(apsw.VFSFile):
    """One open file on it."""

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], disk: Disk) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  apsw's name
        self._disk.ask("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  apsw's name
        self._disk.ask("sync")
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  apsw's name
        self._disk.ask("truncate")
        super().xTruncate(newsize)

    def xRead(self, amount: int, offset: int) -> Any:  # noqa: N802  apsw's name
        self._disk.ask("read")
        return super().xRead(amount, offset)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()
    apsw.set_default_vfs("unix")


@pytest.fixture
def adapter(disk: Disk, tmp_path: Path) -> Iterator[Adapter]:
    with open_broker(str(tmp_path / "q.db")) as adapter:
        yield adapter


@pytest.mark.parametrize("what", ["write", "sync"])
def test_nothing_is_promised_or_half_done_while_the_disk_fails(disk: Disk, adapter: Adapter, what: str) -> None:
    adapter.broker.enqueue(jobs(20))
    leases = adapter.broker.claim("w", [], 10)
    disk.fails = frozenset({what})
    with pytest.raises(BrokerError):
        adapter.broker.enqueue(jobs(5))
    if what == "write":
        # A claim and an outcome are not synced: losing them to a power cut only repeats work.
        with pytest.raises(BrokerError):
            adapter.broker.claim("w", [], 5)
        with pytest.raises(BrokerError):
            adapter.broker.settle([done(lease) for lease in leases])
    disk.fails = frozenset()
    assert counts(adapter)[State.READY] == 10
    assert all(adapter.broker.settle([done(lease) for lease in leases]))
    adapter.broker.enqueue(jobs(5))
    assert counts(adapter)[State.READY] == 15
    assert adapter.inspector.check() == []


@pytest.mark.slow
def test_a_disk_that_fails_at_random_loses_nothing_that_was_acknowledged(disk: Disk, adapter: Adapter) -> None:
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    choose = disk.random = random.Random(seed)
    promised: list[str] = []
    settled: set[str] = set()
    leases: dict[str, Lease] = {}
    for _ in range(300):
        disk.fails = frozenset(choose.sample(["write", "sync", "truncate", "read"], choose.randrange(4)))
        disk.odds = choose.choice((0.01, 0.1, 0.5))
        try:
            promised += adapter.broker.enqueue(jobs(choose.randrange(1, 10))).ids
            leases |= {lease.id: lease for lease in adapter.broker.claim("w", [], choose.randrange(1, 10))}
            ended = choose.sample(list(leases), min(len(leases), 5))
            applied = adapter.broker.settle([done(leases[id]) for id in ended])
            settled |= {id for id, stands in zip(ended, applied, strict=True) if stands}
            for id in ended:
                del leases[id]
            adapter.broker.maintain()
            if choose.random() < 0.1:
                adapter.broker.leave("nobody")
        except BrokerError:
            continue
    disk.fails = frozenset()
    assert disk.failed > 50
    found = adapter.inspector.get(promised)
    assert None not in found
    assert settled <= {job.id for job in found if job is not None and job.state is State.SUCCEEDED}
    assert adapter.inspector.check() == []
