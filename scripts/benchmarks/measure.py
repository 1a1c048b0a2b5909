"""Figures and how they are taken: repeats, medians, rows, the machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

BIN = Path(sys.executable).parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SCRIPTS = Path(__file__).resolve().parent.parent

Measurement = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Somebody else's figure for the same work."""

    name: str
    figure: float | None
    """None: not measured, and the name says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of ours, what was asked of it, and its peers' figures."""

    name: str
    figure: float
    unit: str
    better: Literal["more", "less"] = "more"
    budget: float | None = None
    peers: Sequence[Peer] = ()
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.budget is None:
            return None
        return self.figure >= self.budget if self.better == "more" else self.figure <= self.budget

    def ratio(self, peer: Peer) -> float | None:
        """How many times better than the peer we are."""
        if not peer.figure or not self.figure:
            return None
        return self.figure / peer.figure if self.better == "more" else peer.figure / self.figure


@dataclass(slots=True)
class Setting:
    """Where and how much to measure."""

    directory: Path
    jobs: int
    repeats: int
    idle_seconds: float
    huge: int
    """Jobs in the largest file; 0 leaves that row out."""
    _made: int = field(default=0)

    def fresh(self) -> str:
        """The path of a broker file that nobody has used."""
        self._made += 1
        return str(self.directory / f"{self._made}.db")


def environment() -> dict[str, str]:
    """What measured processes see: compiled modules are cached, as on every ordinary machine."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "QTOOL_BROKER"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def interleaved(measurements: Sequence[Measurement], repeats: int) -> list[float]:
    """The median of each, taken in turns so that a drift of the machine hits all of them alike."""
    taken: list[list[float]] = [[] for _ in measurements]
    for _ in range(repeats):
        for measurement, figures in zip(measurements, taken, strict=True):
            figures.append(measurement())
    return [statistics.median(figures) for figures in taken]


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def run(*command: str, stdin: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run to the end and return what it printed. Raises CalledProcessError, with what it complained of."""
    with (stdin or Path(os.devnull)).open("rb") as source:
        done = subprocess.run(
            command, stdin=source, capture_output=True, text=True, env=env or environment(), check=False
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        done.check_returncode()
    return done.stdout


def qtool(*arguments: str, stdin: Path | None = None) -> str:
    """Run one qtool command."""
    return run(str(BIN / "qtool"), *arguments, stdin=stdin)


@contextmanager
def running(*command: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, stopped at the end: asked first, then made to."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env or environment(),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], bool], what: str, *, limit: float = 60.0, pause: float = 0.005) -> float:
    """Seconds until the condition holds. Raises TimeoutError."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > limit:
            raise TimeoutError(f"{what} did not happen within {limit:g} s")
        time.sleep(pause)
    return time.perf_counter() - began


def percentile(figures: Sequence[float], percent: float) -> float:
    """The smallest figure that is at least as large as ``percent`` of all."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    return {
        "cores": CORES,
        "processor": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "load": round(os.getloadavg()[0], 2),
    }
