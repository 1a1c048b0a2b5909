"""What the steady worker takes, and how large the files are, over time."""

from __future__ import annotations

import os
import statistics
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .setting import Setting

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1024 * 1024
ENOUGH = 600.0
"""Seconds that a run must have lasted for its growth to be judged."""


@dataclass
class Gauge:
    """One figure over time."""

    name: str
    unit: str
    slack: float
    """How much more at the end than at the beginning is no growth."""
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and the figure."""

    def settled(self) -> list[tuple[float, float]]:
        """The samples after the warm-up: a fifth of the run, two minutes at most."""
        if not self.samples:
            return []
        warm = min(120.0, self.samples[-1][0] / 5)
        return [sample for sample in self.samples if sample[0] >= warm]

    def ends(self) -> tuple[float, float]:
        """The medians of the first and of the last tenth after the warm-up."""
        values = [value for _, value in self.settled()] or [0.0]
        tenth = max(1, len(values) // 10)
        return statistics.median(values[:tenth]), statistics.median(values[-tenth:])

    def most(self) -> float:
        """The largest."""
        return max((value for _, value in self.samples), default=0.0)

    def slope(self) -> float:
        """How much it grows in an hour, by the line that fits best."""
        settled = self.settled()
        if len({at for at, _ in settled}) < 2:
            return 0.0
        return statistics.linear_regression(*zip(*settled, strict=True)).slope * 3600

    def grown(self) -> str | None:
        """What is wrong with it, if it has grown."""
        first, last = self.ends()
        if not self.samples or self.samples[-1][0] < ENOUGH or last <= first * 1.1 + self.slack:
            return None
        return f"{self.name} grew from {first:.1f} to {last:.1f} {self.unit}"


class Gauges:
    """All of them."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.rss = Gauge("RSS, supervisor", "MB", 3.0)
        self.children = Gauge("RSS, its pool and launcher", "MB", 10.0)
        self.fds = Gauge("descriptors, supervisor", "", 4.0)
        self.wal = Gauge("WAL", "MB", 16.0)
        self.file = Gauge("file", "MB", 32.0)

    @property
    def all(self) -> tuple[Gauge, ...]:
        return self.rss, self.children, self.fds, self.wal, self.file

    def sample(self, at: float, pid: int, family: list[int]) -> None:
        """Read all of them; ``pid`` is the steady supervisor's, ``family`` are the processes below it."""
        with suppress(FileNotFoundError, ProcessLookupError):
            self.rss.samples.append((at, _rss(pid)))
            self.fds.samples.append((at, float(len(os.listdir(f"/proc/{pid}/fd")))))
        total = 0.0
        for each in family:
            with suppress(FileNotFoundError, ProcessLookupError):
                total += _rss(each)
        self.children.samples.append((at, total))
        for gauge, suffix in ((self.wal, "-wal"), (self.file, "")):
            with suppress(FileNotFoundError):
                size = os.path.getsize(f"{self._setting.path}{suffix}")
                gauge.samples.append((at, size / MEGABYTE))


def _rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / MEGABYTE
