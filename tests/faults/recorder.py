"""A process that works on a file and records what reaches the disk: ``python -m tests.faults.recorder PATH TAPE SEED``.

Under SQLite lies a layer that notes every write, sync, truncation and deletion of the file, its journal and its WAL, in
order; between them stands which jobs had been acknowledged. The tape is a pickle: a list of :data:`Event`.
"""

from __future__ import annotations

import pickle
import random
import sys
import time
from pathlib import Path
from typing import Any

import apsw

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker

from .tools import done

Event = tuple[Any, ...]
"""``("write", file, offset, bytes)``, ``("sync", file)``, ``("truncate", file, size)``, ``("delete", file)``, or
``("promised", ids)``; a file is its suffix: ``""``, ``"-wal"`` or ``"-journal"``."""

KEPT = ("", "-wal", "-journal")
ROUNDS = 60

tape: list[Event] = []
_main = ""


def _suffix(name: str | None) -> str | None:
    """Which of the files that count this is; None for temporary ones."""
    if name is None or not name.startswith(_main):
        return None
    suffix = name.removeprefix(_main)
    return suffix if suffix in KEPT else None


class Disk(apsw.VFS):
    """SQLite's own way to the disk, overheard."""

    def __init__(self) -> None:
        super().__init__("overheard", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  apsw's name
        return File(name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  apsw's name
        super().xDelete(filename, syncdir)
        if (suffix := _suffix(filename)) is not None:
            tape.append(("delete", suffix))


class File(apsw.VFSFile):
    """One open file."""

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._suffix = _suffix(name.filename() if isinstance(name, apsw.URIFilename) else name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  apsw's name
        super().xWrite(data, offset)
        if self._suffix is not None:
            tape.append(("write", self._suffix, offset, bytes(data)))

    def xSync(self, flags: int) -> None:  # noqa: N802  apsw's name
        super().xSync(flags)
        if self._suffix is not None:
            tape.append(("sync", self._suffix))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  apsw's name
        super().xTruncate(newsize)
        if self._suffix is not None:
            tape.append(("truncate", self._suffix, newsize))


def work(path: str, choose: random.Random) -> None:
    """A producer and a worker's broker, by turns, each with a connection of its own."""
    with open_broker(path) as producer, open_broker(path) as worker:
        for number in range(ROUNDS):
            now = time.time()
            size = choose.choice((1, 10, 2000))
            made = [
                Job(id=new_id(), task="some.task", args=("x" * size,), created_at=now)
                for _ in range(choose.randrange(1, 20))
            ]
            tape.append(("promised", producer.broker.enqueue(made).ids))
            leases = worker.broker.claim(f"w{number // 10}", [], choose.randrange(1, 20))
            worker.broker.settle([done(lease) for lease in leases if choose.random() < 0.9])
            if choose.random() < 0.2:
                worker.broker.maintain()
            if choose.random() < 0.1:
                # Signing off folds the WAL back into the file.
                worker.broker.leave(f"w{number // 10}")


def main() -> None:
    global _main
    path, out, seed = sys.argv[1:]
    _main = path
    disk = Disk()
    work(path, random.Random(int(seed)))
    Path(out).write_bytes(pickle.dumps(tape))
    del disk


if __name__ == "__main__":
    main()
