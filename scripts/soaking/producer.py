"""Enqueues the mixed load, by the API and by the command, and remembers what was acknowledged."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.engine.codec import encode
from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.errors import QtoolError

from .kinds import BIN, KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from qtool.engine.broker import Adapter

    from .setting import Setting
    from .tracker import Tracker

QTOOL = Path(sys.executable).with_name("qtool")
COMMAND_EVERY = 2.0
"""Seconds between two batches that go in by ``qtool enqueue``."""


class Producer(threading.Thread):
    """Keeps so many jobs unfinished, until it is closed."""

    def __init__(
        self, setting: Setting, adapter: Adapter, tracker: Tracker, random: Random, violation: Callable[[str], None]
    ) -> None:
        super().__init__(name="producer", daemon=True)
        self._setting = setting
        self._adapter = adapter
        self._tracker = tracker
        self._random = random
        self._violation = violation
        self._weights = [kind.weight for kind in KINDS]
        self._idle = threading.Event()
        self._asked_to_rest = threading.Event()
        self._closed = threading.Event()
        self._command_at = time.monotonic() + COMMAND_EVERY
        self.refused: Counter[str] = Counter()
        """Errors by their type: enqueues that raised, and so promised nothing."""
        self.killed = 0
        """Commands that were killed while they enqueued."""

    def rest(self) -> None:
        """Return once nothing more is enqueued, until :meth:`resume`."""
        self._idle.clear()
        self._asked_to_rest.set()
        while not self._idle.wait(0.1) and self.is_alive():
            pass

    def resume(self) -> None:
        """Go on."""
        self._asked_to_rest.clear()

    def close(self) -> None:
        """End."""
        self._closed.set()
        self.join(timeout=60)

    def refused_by_name(self) -> Counter[str]:
        """For the report: what became of enqueues that promised nothing, and of commands that were killed."""
        named = Counter({f"enqueue refused: {name}": count for name, count in self.refused.items()})
        named["kill -9 of qtool enqueue"] += self.killed
        return named

    def run(self) -> None:
        while not self._closed.is_set():
            if self._asked_to_rest.is_set():
                self._idle.set()
                self._closed.wait(0.05)
                continue
            room = self._setting.backlog - self._tracker.unfinished
            if room <= 0:
                self._closed.wait(0.01)
                continue
            try:
                self._produce(min(room, self._random.choice((1, 1, 5, 20, 50))))
            except QtoolError as error:
                self.refused[type(error).__name__] += 1
                self._closed.wait(0.1)
            except Exception as error:  # noqa: BLE001  whatever else it raises is what the run is there to find
                self._violation(f"enqueue raised {type(error).__name__}: {error}")
                self._closed.wait(1.0)

    def _produce(self, count: int) -> None:
        now = time.time()
        kinds = self._random.choices(KINDS, self._weights, k=count)
        made = [(kind.job(new_id(), self._random, now), kind) for kind in kinds]
        self._tracker.announce(made)
        if time.monotonic() >= self._command_at:
            self._command_at = time.monotonic() + self._random.uniform(0.5, 2) * COMMAND_EVERY
            self._by_command(made)
            self._adapter.broker.enqueue([Job(id=new_id(), task="nobody.s", queue=BIN, created_at=now)])
            return
        jobs = [job for job, _ in made]
        try:
            receipt = self._adapter.broker.enqueue(jobs)
        except QtoolError:
            # All or nothing: should one of them run after all, then as one that nobody had enqueued.
            self._tracker.withdraw(job.id for job in jobs)
            raise
        # An id that is not the job's own is the holder of its unique key.
        kept = [id for job, id in zip(jobs, receipt.ids, strict=True) if job.id == id]
        self._tracker.acknowledge(kept)
        self._tracker.withdraw({job.id for job in jobs} - set(kept))

    def _by_command(self, made: list[tuple[Job, Kind]]) -> None:
        """Through the command, which is killed now and then; what it has printed it has promised."""
        text = "".join(f"{json.dumps(encode(job))}\n" for job, _ in made)
        words = [str(QTOOL), "enqueue", "--jsonl", "-o", "ids"]
        with subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._setting.environment,
        ) as process:
            timer = None
            if self._random.random() < 0.3:
                timer = threading.Timer(self._random.uniform(0.02, 0.2), process.kill)
                timer.start()
            with suppress(BrokenPipeError):
                out, err = process.communicate(text)
            if timer is not None:
                timer.cancel()
        self.killed += process.returncode == -9
        whole, newline, _ = out.rpartition("\n")
        promised = set(whole.split()) if newline else set()
        self._tracker.acknowledge(promised)
        ours = {job.id for job, _ in made}
        self._tracker.conclude(ours)
        if process.returncode == 0:
            self._tracker.withdraw(ours - promised)
        elif process.returncode != -9:
            self.refused["qtool enqueue"] += 1
            if "Traceback" in err or process.returncode not in (1, 3):
                self._violation(f"qtool enqueue ended with {process.returncode}: {err.strip()[-300:]}")
