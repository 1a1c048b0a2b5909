"""Signals at every stage of a worker's life, and in the middle of its commits: it ends, and no job is lost or blamed.

``QTOOL_SEED`` repeats a run's moments; ``QTOOL_STORMS`` sets how many there are in the soak.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED, State

from .tools import QTOOL, ROOT, counts, jobs, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

pytestmark = pytest.mark.slow

TASK = "tests.faults.effects.effect"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
BATCH = 400


@pytest.fixture
def choose() -> random.Random:
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    return random.Random(seed)


class Target:
    """A file, and workers on it that are told to end."""

    def __init__(self, directory: Path, adapter: Adapter, path: str) -> None:
        self.adapter = adapter
        self.effects = directory / "effects"
        self.log = directory / "log"
        self.sent: list[str] = []
        self._path = path

    def add(self) -> None:
        """More to do."""
        self.sent += self.adapter.broker.enqueue(jobs(BATCH, TASK)).ids

    @contextmanager
    def worker(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """One that is killed should it not end by itself."""
        words = [str(QTOOL), "worker", "-b", self._path, "-A", "tests.faults.effects", "-j", "2", "-q", *options]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "QTOOL_EFFECTS": str(self.effects)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def at_work(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until jobs end."""
        before = counts(self.adapter)[State.SUCCEEDED]
        until(lambda: counts(self.adapter)[State.SUCCEEDED] > before or process.poll() is not None, "a job's end")

    def judge(self) -> None:
        """Finish, and hold the file against the effects."""
        with self.worker("--burst") as process:
            assert process.wait(60) == 0
        found = self.adapter.inspector.get(self.sent)
        assert [job.state for job in found if job is not None] == [State.SUCCEEDED] * len(self.sent)
        assert not any(counts(self.adapter)[state] for state in UNFINISHED)
        ran = Counter(line.split()[0] for line in self.effects.read_text().splitlines())
        assert ran.keys() == set(self.sent)
        history = self.adapter.inspector.history(0, 4e9, seconds=3600)
        assert sum(bucket.succeeded for bucket in history) == len(self.sent)
        assert self.adapter.inspector.check() == []
        assert "Traceback" not in self.log.read_text()


@pytest.fixture
def target(broker: str, tmp_path: Path) -> Iterator[Target]:
    with open_broker(broker) as adapter:
        yield Target(tmp_path, adapter, broker)


def storm(process: subprocess.Popen[bytes], choose: random.Random, signals: tuple[int, ...], most: int) -> None:
    """Up to ``most`` signals, microseconds to milliseconds apart."""
    for _ in range(choose.randrange(1, most + 1)):
        with suppress(ProcessLookupError):
            process.send_signal(choose.choice(signals))
        time.sleep(choose.choice((0.0, 1e-5, 1e-4, 1e-3, 1e-2)) * choose.random())


def storms(target: Target, choose: random.Random, count: int, signals: tuple[int, ...], most: int) -> None:
    """So many workers, each told to end while it claims, runs and settles."""
    for _ in range(count):
        if target.sent == [] or counts(target.adapter)[State.READY] < BATCH:
            target.add()
        with target.worker() as process:
            target.at_work(process)
            # From here on it commits hundreds of times a second: any of these moments may be inside of one.
            time.sleep(choose.random() * 0.05)
            storm(process, choose, signals, most)
            assert process.wait(30) in (0, 1), target.log.read_text()
    target.judge()
    for job in target.adapter.inspector.get(target.sent):
        assert job is not None
        assert job.crashes == 0, f"{job.id} is blamed, and nothing was killed but by the worker itself"


def test_one_signal_in_the_middle_of_work(target: Target, choose: random.Random) -> None:
    storms(target, choose, 4, (signal.SIGTERM,), 1)


def test_storms_of_signals_in_the_middle_of_work(target: Target, choose: random.Random) -> None:
    storms(target, choose, 4, SIGNALS, 8)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_storms_of_signals(target: Target, choose: random.Random) -> None:
    storms(target, choose, int(os.environ.get("QTOOL_STORMS", "200")), SIGNALS, 8)


def test_signals_while_a_worker_starts(target: Target, choose: random.Random) -> None:
    """Until its handlers are there a signal just ends it, as any program; nothing of it is left."""
    target.add()
    for _ in range(4):
        with target.worker() as process:
            time.sleep(choose.random() * 0.6)
            storm(process, choose, (signal.SIGTERM, signal.SIGHUP), 4)
            process.wait(30)
    with target.worker("--burst") as process:
        assert process.wait(60) == 0
    for job in target.adapter.inspector.get(target.sent):
        assert job is not None
        assert (job.state, job.crashes) == (State.SUCCEEDED, 0)
