"""What the processes of workers on this host use: asked of the operating system, on a line's thread."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psutil

    from qtool.engine.broker import WorkerInfo
    from qtool.engine.clock import Clock


class Usage(Value):
    """A worker with all of its processes."""

    memory: int
    """Resident bytes, what they share counted for each."""
    cpu: float
    """Cores, since the last look; 0.0 at the first."""
    processes: int


PAUSE = 3.0
"""Seconds between two looks: each goes through all processes of the machine."""


class Meter:
    """Looks at processes again and again: their use of the processor is the difference between two looks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._host = socket.gethostname()
        self._known: dict[int, psutil.Process] = {}
        self._usages: Mapping[str, Usage] = {}
        self._next_at = float("-inf")

    def read(self, workers: Sequence[WorkerInfo]) -> Mapping[str, Usage]:
        """By worker id, up to three seconds old; those on other hosts, and those that are gone, are left out."""
        now = self._clock.monotonic()
        if now >= self._next_at or any(worker.id not in self._usages for worker in workers if self._is_here(worker)):
            self._next_at = now + PAUSE
            self._usages = self._measure(workers)
        return self._usages

    def _is_here(self, worker: WorkerInfo) -> bool:
        return worker.host == self._host and not worker.gone

    def _measure(self, workers: Sequence[WorkerInfo]) -> Mapping[str, Usage]:
        import psutil

        usages: dict[str, Usage] = {}
        seen: dict[int, psutil.Process] = {}
        for worker in workers:
            if not self._is_here(worker):
                continue
            with suppress(psutil.Error):
                root = self._process(worker.pid)
                family = [root, *(self._process(child.pid) for child in root.children(recursive=True))]
                memory, cpu, count = 0, 0.0, 0
                for process in family:
                    with suppress(psutil.Error), process.oneshot():
                        memory += process.memory_info().rss
                        cpu += process.cpu_percent() / 100
                        count += 1
                        seen[process.pid] = process
                usages[worker.id] = Usage(memory, cpu, count)
        self._known = seen
        return usages

    def _process(self, pid: int) -> psutil.Process:
        import psutil

        known = self._known.get(pid)
        # A number that another process has by now is not the one that was known.
        return known if known is not None and known.is_running() else psutil.Process(pid)
