"""A real worker on clocks that a test sets: ``python -m tests.faults.skewed URL JSON``, as :mod:`tests.worker.patched`.

``$QTOOL_CLOCKS`` is a file of two numbers: seconds that the wall clock is ahead, and seconds for which the machine was
suspended. It is mapped, so that both move for every process that has this module at once; as an app of the worker it
moves its children's too.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

_NUMBERS = struct.Struct("<dd")
_wall, _monotonic, _boot = time.time, time.monotonic, time.clock_gettime


class Clocks:
    """The test's hand on them."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_NUMBERS.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @property
    def ahead(self) -> float:
        """Seconds that the wall clock is ahead of the true one."""
        return float(_NUMBERS.unpack_from(self._map)[0])

    @property
    def suspended(self) -> float:
        """Seconds for which the machine slept."""
        return float(_NUMBERS.unpack_from(self._map)[1])

    def set(self, ahead: float, suspended: float = 0.0) -> None:
        """From now on, for everybody."""
        _NUMBERS.pack_into(self._map, 0, ahead, suspended)


def skew(clocks: Clocks) -> None:
    """Make this process go by them."""
    time.time = lambda: _wall() + clocks.ahead
    time.clock_gettime = lambda which: _boot(which) + (clocks.suspended if which == time.CLOCK_BOOTTIME else 0.0)


if said := os.environ.get("QTOOL_CLOCKS"):
    skew(Clocks(Path(said)))

if __name__ == "__main__":
    from tests.worker.patched import main

    main()
