"""What watching costs: ``qtool top`` in a terminal of its own, over a large file through which jobs flow."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import select
import signal
import struct
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyte

from qtool.engine.registry import open_broker

from .huge import QUEUES, build
from .measure import BIN, SCRIPTS, Row, Setting, environment, percentile, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LINES, COLUMNS = 50, 160
FLOW = 5_000
"""Jobs a second."""
KEYS = 100
TURNS = ("k", "k", "\x1b[5~", "\x15")
"""Keys that go towards the newer jobs: one row, a page, half a page."""
STARTS = 7
WATCHED = 30.0
"""Seconds."""
LEAST = 10_000
"""Jobs in the file where no more are asked for."""

FLOWING = """
import sys, time
from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
path, rate, queue = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open_broker(path) as adapter:
    at = time.monotonic()
    while True:
        now = time.time()
        jobs = [Job(id=id, task="examples.tasks.noop", queue=queue, created_at=now) for id in new_id.batch(rate // 10)]
        adapter.broker.enqueue(jobs)
        at += 0.1
        time.sleep(max(0.0, at - time.monotonic()))
"""


class Terminal:
    """A pseudo terminal with a program in it, and what its screen shows."""

    def __init__(self, *command: str) -> None:
        self.began = time.perf_counter()
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(command[0], command, environment() | {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._read_at = 0.0

    def until(self, condition: Callable[[list[str]], bool], *, limit: float = 30.0) -> float:
        """The moment at which the output that makes it true had come. Raises TimeoutError."""
        deadline = time.perf_counter() + limit
        while not condition(self.display):
            if not self._feed(deadline - time.perf_counter()):
                raise TimeoutError("\n".join(self.display))
        return self._read_at

    @property
    def display(self) -> list[str]:
        """Its lines."""
        lines: list[str] = self._screen.display
        return lines

    def _feed(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self.fd], [], [], seconds)[0]:
            return False
        data = os.read(self.fd, 65536)
        # What the emulator takes to understand it is not the program's.
        self._read_at = time.perf_counter()
        self._stream.feed(data.replace(b"\x1b[>1u", b"").replace(b"\x1b[<u", b""))
        return True

    def swallow(self, seconds: float) -> None:
        """Read for so long, as a terminal does."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                self._stream.feed(os.read(self.fd, 65536))

    def press(self, keys: str) -> float:
        """When they were pressed."""
        at = time.perf_counter()
        os.write(self.fd, keys.encode())
        return at

    def processor(self) -> float:
        """Seconds of processor time used so far."""
        with open(f"/proc/{self.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident megabytes."""
        with open(f"/proc/{self.pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        """End the program as a closed window does."""
        os.kill(self.pid, signal.SIGTERM)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def tui(setting: Setting) -> Iterator[Row]:
    """First frame, key to frame, processor and memory while watching."""
    count = setting.huge or LEAST
    path = build(setting, count)
    name = f"qtool top, {count:,} jobs, {FLOW:,}/s"
    with _flow(path, setting.directory):
        time.sleep(3.0)
        frames, data = zip(*(_start(path) for _ in range(STARTS)), strict=True)
        top = Terminal(str(BIN / "qtool"), "top", "-b", path)
        try:
            top.until(_shows_queues)
            top.swallow(3.0)
            share = _share(top)
            delays = [1000 * _key(top) for _ in range(KEYS)]
            top.press("2")
            top.until(lambda _: bool(_row(top)))
            listing = _share(top)
            # To the oldest: the newest move by themselves.
            turns = [1000 * _turn(top, "G")]
            turns += [1000 * _turn(top, random.choice(TURNS)) for _ in range(KEYS)]
            memory = top.memory()
        finally:
            top.close()
        flowed = _flowing(path)
    yield Row(
        name=f"{name}: start to first frame with data",
        figure=percentile(data, 50),
        unit="s",
        better="less",
        budget=0.6,
        note=f"to the first frame at all {percentile(frames, 50):.2f} s; medians of {STARTS}",
    )
    yield Row(
        name="… key to frame, p95",
        figure=percentile(delays, 95),
        unit="ms",
        better="less",
        budget=50.0,
        note=f"median {percentile(delays, 50):.1f} ms, slowest {max(delays):.1f} ms of {KEYS}",
    )
    yield Row(
        name="… watching, once a second", figure=100 * share, unit="% of a core", better="less", budget=5.0, note=flowed
    )
    yield Row(
        name="… Jobs in front: key to row, p95",
        figure=percentile(turns, 95),
        unit="ms",
        better="less",
        budget=50.0,
        note=f"median {percentile(turns, 50):.1f} ms, slowest {max(turns):.1f} ms of {len(turns)}, pages among them;"
        f" to the oldest {turns[0]:.1f} ms",
    )
    yield Row(
        name="… Jobs in front, once a second", figure=100 * listing, unit="% of a core", better="less", budget=5.0
    )
    yield Row(name="… resident memory", figure=memory, unit="MB", better="less", budget=120.0)


def _flowing(path: str) -> str:
    """How fast jobs came and went. Raises RuntimeError if that was not what was to be watched."""
    with open_broker(path) as adapter:
        (stats,) = (queue for queue in adapter.inspector.snapshot().queues if queue.name == "flow")
    if min(stats.in_rate, stats.out_rate) < 0.9 * FLOW:
        raise RuntimeError(f"{stats.in_rate:,.0f} jobs a second came and {stats.out_rate:,.0f} went: too few to watch")
    return f"{stats.in_rate:,.0f} jobs/s in, {stats.out_rate:,.0f} out"


def _shows_queues(lines: list[str]) -> bool:
    return any(QUEUES[0] in line for line in lines)


def _start(path: str) -> tuple[float, float]:
    """Seconds to the first frame, and to the first that shows the queues."""
    top = Terminal(str(BIN / "qtool"), "top", "-b", path)
    try:
        frame = top.until(lambda lines: any("Overview" in line for line in lines)) - top.began
        return frame, top.until(_shows_queues) - top.began
    finally:
        top.close()


def _share(top: Terminal) -> float:
    """The part of a core that it uses while nobody touches it."""
    top.swallow(3.0)
    used, began = top.processor(), time.perf_counter()
    top.swallow(WATCHED)
    return (top.processor() - used) / (time.perf_counter() - began)


def _turn(top: Terminal, key: str) -> float:
    """Seconds from a key to the frame in which another job is under the cursor."""
    top.swallow(random.uniform(0.02, 0.2))
    before = _row(top)
    pressed = top.press(key)
    return top.until(lambda _: _row(top) not in ("", before)) - pressed


def _row(top: Terminal) -> str:
    """The id of the job under the cursor; empty where there is none, or not yet."""
    line = next((line for line in top.display if line.startswith("▸")), "")
    return line[1:24].strip()


def _key(top: Terminal) -> float:
    """Seconds from a key to the frame in which the cursor has moved."""
    top.swallow(random.uniform(0.02, 0.2))
    before = _cursor(top)
    key = "j" if before < 3 + len(QUEUES) // 2 else "k"
    pressed = top.press(key)
    return top.until(lambda _: _cursor(top) != before) - pressed


def _cursor(top: Terminal) -> int:
    """The line of the queue under the cursor."""
    return next((number for number, line in enumerate(top.display) if line.startswith("▸")), -1)


@contextmanager
def _flow(path: str, directory: Path) -> Iterator[None]:
    """Somebody who enqueues, and a worker that keeps up."""
    worker = (str(BIN / "qtool"), "worker", "-b", path, "-A", "examples.tasks", "-Q", "flow", "-j", "1", "-q")
    env = environment() | {"PYTHONPATH": str(SCRIPTS.parent)}
    with (
        running(sys.executable, "-c", FLOWING, path, str(FLOW), "flow", log=directory / "flow.log"),
        running(*worker, log=directory / "worker.log", env=env),
    ):
        yield
