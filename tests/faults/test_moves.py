"""``qtool move`` killed and frozen at random moments while workers drain both ends: every job runs exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED, State
from qtool.errors import ExitCode

from .tools import QTOOL, hired, jobs, until

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.freight import Transit

TASK = "tests.faults.effects.effect"
READY = 2500
"""Jobs that a move finds: several batches."""
ENOUGH = 20
"""Strikes of which one at least hits a move in the middle; of a few it may be none."""
MOVE_SECONDS = 60.0


@dataclass
class Shuttle:
    """Two brokers, and moves between them that never come to their end in peace."""

    ends: tuple[Adapter, Adapter]
    random: random.Random
    report: Path
    """Where the last move wrote what it moved."""
    sent: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def feed(self) -> None:
        """Keep something ready at both ends."""
        for end in self.ends:
            missing = READY - self.standing(end)[State.READY]
            if missing > 0:
                self.sent += end.broker.enqueue(jobs(missing, TASK)).ids

    def standing(self, end: Adapter) -> Counter[State]:
        """How many jobs are in each state."""
        total: Counter[State] = Counter()
        for queue in end.inspector.snapshot().queues:
            total.update(queue.counts)
        return total

    def start(self, source: Adapter, target: Adapter, *options: str) -> subprocess.Popen[bytes]:
        """A move under way."""
        command = [str(QTOOL), "move", "-b", source.url, "--to", target.url, "-y", "-q", "-o", "ids", *options]
        with self.report.open("wb") as report:
            return subprocess.Popen(command, stdout=report, stderr=subprocess.PIPE)

    def strike(self) -> None:
        """Start a move in either direction, and kill or freeze it at a random moment."""
        self.feed()
        source, target = self.random.sample(self.ends, 2)
        mover = self.start(source, target, *self.random.choice(((), ("--all",))))
        if self.random.random() < 0.7:
            # Its first batch is through: the next ones are under way.
            until(lambda: self.report.stat().st_size > 0 or mover.poll() is not None, "the first batch")
            time.sleep(self.random.random() * 0.15)
        else:
            time.sleep(self.random.random() * 0.5)
        if self.random.random() < 0.75:
            mover.kill()
            mover.communicate()
            self.done["killed"] += 1
        else:
            self.freeze(mover, source, target)
        left = sum(each.jobs for end in self.ends for each in self.transits(end))
        self.done["left on the way" if left else "left nothing"] += 1

    def freeze(self, mover: subprocess.Popen[bytes], source: Adapter, target: Adapter) -> None:
        """Stop it; let another go on and end; wake it: it has to see that it is late, unless it was at its end."""
        mover.send_signal(signal.SIGSTOP)
        other = self.start(source, target)
        with suppress(subprocess.TimeoutExpired):
            # Where the first holds a lock, the second gets no further.
            other.communicate(timeout=1)
        mover.send_signal(signal.SIGCONT)
        _, said = mover.communicate(timeout=MOVE_SECONDS)
        other.communicate(timeout=MOVE_SECONDS)
        if mover.returncode == ExitCode.FAILED:
            assert b"Another 'qtool move'" in said, said
            self.done["late"] += 1
        self.done["frozen"] += 1

    def transits(self, end: Adapter) -> list[Transit]:
        assert end.freight is not None
        return end.freight.transits()

    def finish(self) -> None:
        """Go on with what is left on the way, and wait for the last job."""
        for source, target in (self.ends, self.ends[::-1]):
            mover = self.start(source, target)
            _, said = mover.communicate(timeout=MOVE_SECONDS)
            assert mover.returncode in (ExitCode.OK, ExitCode.PARTLY, ExitCode.NOT_FOUND), said
        for end in self.ends:
            until(lambda end=end: not any(self.standing(end)[each] for each in UNFINISHED), "the last job", limit=120)  # type: ignore[misc]
            assert self.transits(end) == []


def shuttle(urls: tuple[str, str], tmp_path: Path, *, strikes: int) -> None:
    """So many strikes, then hold both ends against the effects."""
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    effects = tmp_path / "effects"
    options = ("-A", "tests.faults.effects", "-j", "2")
    with ExitStack() as stack:
        ends = tuple(stack.enter_context(open_broker(url)) for url in urls)
        assert len(ends) == 2
        run = Shuttle(ends, random.Random(seed), tmp_path / "report")
        for url in urls:
            said = {"QTOOL_EFFECTS": str(effects), "QTOOL_EFFECT_SECONDS": "0.006"}
            stack.enter_context(hired(url, *options, log=tmp_path / "workers.log", **said))
        run.feed()
        for _ in range(strikes):
            run.strike()
        run.finish()
        print(f"{dict(run.done)}; {len(run.sent)} jobs")
        judge(run, effects.read_text().split("\n")[:-1])


def judge(run: Shuttle, effects: list[str]) -> None:
    """Every job stands at one end, has succeeded there, and ran once."""
    runs = Counter(line.split()[0] for line in effects)
    assert set(runs) == set(run.sent)
    assert not [id for id, count in runs.items() if count > 1]
    stands = list(zip(*(end.inspector.get(run.sent) for end in run.ends), strict=True))
    for id, (here, there) in zip(run.sent, stands, strict=True):
        assert (here is None) != (there is None), f"{id} stands at {'both ends' if here else 'no end'}"
        job = here or there
        assert job is not None
        assert (job.state, job.attempt) == (State.SUCCEEDED, 1), f"{id} ended as {job}"
    for end in run.ends:
        assert end.inspector.check() == []
    if run.done["killed"] + run.done["frozen"] >= ENOUGH:
        assert run.done["left on the way"], "no move was killed in the middle"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_moves_are_killed_between_two_files(tmp_path: Path) -> None:
    shuttle((f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db"), tmp_path, strikes=3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_moves_are_killed_between_two_files(tmp_path: Path) -> None:
    strikes = int(os.environ.get("QTOOL_KILLS", "100"))
    shuttle((f"sqlite://{tmp_path}/a.db", f"sqlite://{tmp_path}/b.db"), tmp_path, strikes=strikes)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_moves_are_killed_between_a_file_and_redis(tmp_path: Path, redis_url: str) -> None:
    shuttle((f"sqlite://{tmp_path}/a.db", redis_url), tmp_path, strikes=3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_moves_are_killed_between_a_file_and_redis(tmp_path: Path, redis_url: str) -> None:
    strikes = int(os.environ.get("QTOOL_KILLS", "100"))
    shuttle((f"sqlite://{tmp_path}/a.db", redis_url), tmp_path, strikes=strikes)
