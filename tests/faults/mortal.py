"""A worker that kills itself with SIGKILL at an exact moment: ``python -m tests.faults.mortal URL MOMENT NUMBER``.

MOMENT is ``claim.before``, ``claim.commit``, ``claim.after`` and the same for ``settle``: as the broker's method is
called, as its transaction is about to commit, as it has returned; NUMBER says at the how-manieth. ``write`` is the
NUMBER-th write of any file, half of which is done. It works in bursts, and ends by itself if the moment never comes.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import apsw

from qtool.engine.broker import Adapter
from qtool.engine.registry import open_broker
from qtool.engine.worker.options import WorkerOptions
from qtool.engine.worker.supervisor import Worker

if TYPE_CHECKING:
    from qtool.engine.brokers.sqlite.moves import SqliteBroker

MOMENTS = tuple(f"{method}.{when}" for method in ("claim", "settle") for when in ("before", "commit", "after"))
WRITE = "write"


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead processes run nothing")


class Countdown:
    """Dies at the last."""

    def __init__(self, number: int) -> None:
        self.left = number

    def tick(self) -> bool:
        """Whether this was the last."""
        self.left -= 1
        return self.left == 0


class Mortal:
    """A broker that passes everything on, and dies in the middle of one method."""

    def __init__(self, broker: SqliteBroker, moment: str, countdown: Countdown) -> None:
        self._broker = broker
        self._method, _, self._when = moment.partition(".")
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._broker, name)
        return partial(self._dying, method) if name == self._method else method

    def _dying(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        db = self._broker._store.connection()
        if self._when == "before" and self._countdown.tick():
            die()
        if self._when == "commit":
            db.exec_trace = self._trace
        done = method(*args, **kwargs)
        db.exec_trace = None
        # A claim that found nothing has changed nothing.
        if self._when == "after" and done and self._countdown.tick():
            die()
        return done

    def _trace(self, _cursor: Any, statement: str, _values: Any) -> bool:
        # A transaction that only reads ends by a COMMIT too, but the connection was then never about to write.
        writes = self._broker._store.connection().txn_state() == apsw.SQLITE_TXN_WRITE
        if statement == "COMMIT" and writes and self._countdown.tick():
            die()
        return True


class Disk(apsw.VFS):
    """A disk on which a write is cut short by the process's death."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__("mortal", "unix", makedefault=True)
        self._countdown = countdown

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  apsw's name
        return File(name, flags, self._countdown)


class File(apsw.VFSFile):
    """One open file on it."""

    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], countdown: Countdown) -> None:
        super().__init__("unix", name, flags)
        self._countdown = countdown

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  apsw's name
        if self._countdown.tick():
            super().xWrite(data[: len(data) // 2], offset)
            die()
        super().xWrite(data, offset)


def main() -> None:
    url, moment, number = sys.argv[1:]
    countdown = Countdown(int(number))
    disk = Disk(countdown) if moment == WRITE else None
    with open_broker(url, key=os.environ.get("QTOOL_KEY")) as adapter:
        parts = {name: getattr(adapter, name) for name in Adapter.__slots__}
        if disk is None:
            parts["broker"] = Mortal(parts["broker"], moment, countdown)
        Worker(Adapter(**parts), WorkerOptions(slots=2, apps=("tests.faults.effects",), burst=True)).run()


if __name__ == "__main__":
    main()
