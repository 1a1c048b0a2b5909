"""One run: faults for a while, then quiet, then judgement, over and over."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from qtool.engine.registry import open_broker
from qtool.errors import QtoolError

from . import report
from .crew import STEADY, Crew
from .faults import Faults
from .gauges import Gauges
from .judge import Judge
from .producer import Producer
from .readers import Readers
from .tracker import Tracker

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter

    from .setting import Setting

WORKERS = 3
LOOK = 1.0
"""Seconds between two looks at what the jobs have become."""
SAMPLE = 2.0
WORD = 10.0
"""Seconds between two lines of progress."""
QUIET = 180.0
"""Seconds within which everything has ended once nothing more comes and nothing more is broken."""
UNFINISHED = (".", "new-")
"""Slates and bells whose makers were killed while they made them: they go when they are half a minute old."""
MANY = 200
"""Violations that are told one by one."""


class Soak:
    """Puts the parts together and turns the loop."""

    def __init__(self, setting: Setting, adapter: Adapter, random: Random, *, every: float, only: str = "") -> None:
        self._setting = setting
        self._adapter = adapter
        self.violations: list[str] = []
        self._crew = Crew(setting, Random(random.random()))
        self._tracker = Tracker(adapter, self.violation)
        self._producer = Producer(setting, adapter, self._tracker, Random(random.random()), self.violation)
        self._readers = Readers(setting, Random(random.random()), self.violation)
        self._faults = Faults(
            setting, self._crew, adapter, self._tracker, Random(random.random()), self.violation, every, only
        )
        self._judge = Judge(setting, adapter, self._tracker, self._crew, self.violation)
        self._gauges = Gauges(setting)
        self._began = time.monotonic()
        self._look_at = self._sample_at = self._word_at = 0.0

    def violation(self, what: str) -> None:
        """A rule was broken."""
        self.violations.append(what)
        if len(self.violations) <= MANY:
            print(f"VIOLATION {what}", file=sys.stderr, flush=True)

    # --- stages --------------------------------------------------------------------------------------

    def run(self, seconds: float, judge_every: float) -> None:
        """Work for so long, and judge."""
        self._crew.hire(STEADY)
        for _ in range(WORKERS - 1):
            self._crew.hire()
        self._producer.start()
        self._readers.start()
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            stop = end if end - now < 1.5 * judge_every else now + judge_every
            while time.monotonic() < stop:
                self._faults.step()
                self._turn()
            self._quiet()
            self._judge.judge()
            self._producer.resume()

    def _quiet(self) -> None:
        """Nothing more comes, nothing more is broken, and everything ends."""
        self._producer.rest()
        self._faults.calm()
        until = time.monotonic() + QUIET
        while self._tracker.unfinished and time.monotonic() < until:
            self._faults.attend()
            self._turn()
        for id in self._tracker.unfinished_ids():
            (info,) = self._adapter.inspector.get([id])
            self.violation(f"job {id} has not ended {QUIET:g} s after the last fault: {info}")
        self._tracker.withdraw(self._tracker.unfinished_ids())

    def _turn(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK
            # The disk may be full, or the lock held: the next look tells.
            with suppress(QtoolError):
                self._tracker.look()
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE
            self._sample(now)
        if now >= self._word_at:
            self._word_at = now + WORD
            self._word(now)
        time.sleep(0.02)

    def _sample(self, now: float) -> None:
        steady = self._crew.all.get(STEADY)
        if steady is not None and steady.alive:
            family = [process.pid for process in self._crew.family(steady)]
            self._gauges.sample(now - self._began, family[0], family[1:])

    def _word(self, now: float) -> None:
        minutes, seconds = divmod(int(now - self._began), 60)
        rss, fds, wal = (gauge.samples[-1:] for gauge in (self._gauges.rss, self._gauges.fds, self._gauges.wal))
        figures = "  ".join(
            f"{name} {samples[0][1]:.0f}{unit}"
            for name, samples, unit in (("rss", rss, " MB"), ("fds", fds, ""), ("wal", wal, " MB"))
            if samples
        )
        print(
            f"{minutes:3d}:{seconds:02d}  {self._tracker.states.total():>8,} jobs"
            f"  {self._faults.done.total():>5,} faults  {len(self.violations)} violations"
            f"  {self._tracker.unfinished:>4} unfinished  {figures}",
            file=sys.stderr,
            flush=True,
        )

    # --- the end -------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everybody ends, and nothing is left of them."""
        self._faults.calm()
        self._producer.close()
        self._readers.close()
        unharmed = [member.name for member in self._crew.now]
        for name, code in self._crew.end_all().items():
            if code != 0 and name in unharmed:
                said = self._crew.log(name).read_text(errors="replace")[-1500:]
                self.violation(f"{name} ended with {code} when told to end at rest: {said}")
        for member in self._crew.all.values():
            if "Traceback" in self._crew.said(member) and not member.early:
                self.violation(f"{member.name} said: {self._crew.said(member)[-1500:]}")
        strays = self._crew.strays()
        for stray in strays:
            with suppress(Exception):
                self.violation(f"a process was left behind: {stray.pid} {stray.cmdline()}")
        self._crew.close()
        for gauge in self._gauges.all:
            if (what := gauge.grown()) is not None:
                self.violation(what)

    def look_for_leftovers(self) -> None:
        """Once the run itself has closed the file: after a round of upkeep no slate and no bell is left beside it."""
        with open_broker(self._setting.url) as adapter:
            adapter.broker.maintain()
        for name in ("workers", "bells"):
            with suppress(FileNotFoundError):
                for left in os.listdir(f"{self._setting.path}.d/{name}"):
                    if left.startswith(UNFINISHED):
                        continue
                    self.violation(f"left behind among the {name}: {left}")

    def figures(self) -> dict[str, object]:
        """What can be counted."""
        return {
            "jobs": {str(state): count for state, count in self._tracker.states.items()},
            "kinds": dict(self._tracker.sent),
            "runs": self._judge.runs,
            "judged": self._judge.judged,
            "faults": dict(self._faults.done),
            "violations": self.violations,
            "gauges": {gauge.name: gauge.samples for gauge in self._gauges.all},
        }

    def report(self, seconds: float, seed: int) -> str:
        """All of it, as Markdown."""
        faults = self._faults.done + self._producer.refused_by_name()
        blocks = [
            f"{seconds / 60:.1f} minutes, seed {seed}: {self._judge.judged:,} jobs judged, {self._judge.runs:,} runs,"
            f" {self._faults.done.total():,} faults, {len(self.violations)} violations",
            report.counts("jobs ended as", {str(state): count for state, count in self._tracker.states.items()}),
            report.counts("jobs by kind", self._tracker.sent),
            report.counts("faults", faults),
            report.counts("commands run meanwhile", self._readers.ran),
            report.gauges(self._gauges.all),
        ]
        if self.violations:
            blocks.append("\n".join(f"- {what}" for what in self.violations[:MANY]))
        return "\n\n".join(blocks)
