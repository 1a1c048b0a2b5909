"""The screen over a real file whose clock stands still, driven by a pilot."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from qtool.engine.broker import WorkerInfo
from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from qtool.engine.job import UNSAID, Done, Fail, Failure, Job, Lease, Policy, Settlement
from qtool.engine.policy import decide
from qtool.tui.app import Place, Top
from qtool.tui.frame import text_of
from tests.tui.calm import calm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.css.model import RuleSet

    from qtool.engine.broker import Adapter

FRAMES = Path(__file__).parent / "frames"
SIZES = ((80, 24), (160, 50))
NOW = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC."""

WITHIN = 30.0
"""Seconds that a condition may take, on the slowest machine."""

Script = Callable[[Pilot[None]], Awaitable[object]]


async def settled(pilot: Pilot[None], condition: Callable[[], Any]) -> None:
    """Wait until it is true; as long as the slowest machine may need."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"not within {WITHIN:g} s:\n{text_of(pilot.app)}"
        await pilot.pause(0.005)


class Stage:
    """A file with jobs and workers, at one instant; and the screen over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock(NOW)
        self.path = str(directory / "stage.db")
        self.adapter: Adapter = open_sqlite(f"sqlite://{self.path}", clock=self.clock)
        self._number = 0

    # --- what is on it -------------------------------------------------------------------------------

    def add(self, task: str, *args: Any, queue: str = "default", policy: Policy = UNSAID, **more: Any) -> str:
        """Enqueue one job; ids count up, so that pictures stay the same."""
        self._number += 1
        id = f"019b0000-0000-7000-8000-{self._number:012d}"
        job = Job(id=id, task=task, args=args, queue=queue, created_at=self.clock.now(), policy=policy, **more)
        self.adapter.broker.enqueue([job])
        return id

    def worker(self, name: str = "w", *, busy: int = 0, slots: int = 4, **more: Any) -> str:
        """A worker that has just said how it is."""
        id = f"019b0000-{name:0>4}-7000-8000-00000000abcd"
        info: dict[str, Any] = {
            "host": "shop-1",
            "pid": 4711,
            "queues": (),
            "pool": "process",
            "started_at": self.clock.now() - 3600,
        }
        self.adapter.broker.extend(
            WorkerInfo(id=id, slots=slots, busy=busy, seen_at=self.clock.now(), **(info | more)), []
        )
        return id

    def start(self, worker: str, count: int = 1, *queues: str) -> list[Lease]:
        """Have a worker claim jobs."""
        return self.adapter.broker.claim(worker, queues, count)

    def end(self, lease: Lease, error: str | None = None, *, took: float = 1.0, kind: str = "ValueError") -> None:
        """A run ends, ``took`` seconds after its start: with this error, or well."""
        started = self.clock.now()
        self.clock.advance(took)
        outcome: Any = Done('"done"')
        if error is not None:
            trace = (
                f'Traceback (most recent call last):\n  File "shop.py", line 7, in pay\n    charge()\n{kind}: {error}\n'
            )
            outcome = Fail(Failure(type=kind, message=error, traceback=trace), final=True)
        settled: Settlement = decide(
            lease, outcome, UNSAID, now=self.clock.now(), started_at=started, random=lambda: 0.5
        )
        assert self.adapter.broker.settle([settled]) != [None]

    # --- the screen ----------------------------------------------------------------------------------

    def place(self, **more: Any) -> Place:
        """Where this file is."""
        said: dict[str, Any] = {"where": "shop", "opener": self.open} | more
        return Place(**said)

    def top(self, options: Mapping[str, Any] = MappingProxyType({}), **place: Any) -> Top:
        """The program over this file; ``options`` are the program's own."""
        return Top(self.place(**place), refresh=0.05, clock=self.clock, **options)

    def open(self) -> Adapter:
        """Another connection."""
        return open_sqlite(f"sqlite://{self.path}", clock=self.clock)

    def drive(
        self,
        script: Script,
        *,
        size: tuple[int, int] = (80, 24),
        options: Mapping[str, Any] = MappingProxyType({}),
        **place: Any,
    ) -> None:
        """Run the program and the script beside it, from the first data on."""

        async def run() -> None:
            app = self.top(options, **place)
            async with app.run_test(size=size) as pilot:
                await settled(pilot, lambda: app.store.sight is not None)
                await pilot.pause()
                await script(pilot)

        asyncio.run(run())


_parse = Stylesheet._parse_rules
_parsed: dict[tuple[Any, ...], list[RuleSet]] = {}


def parsed_once(sheet: Stylesheet, *source: Any, **more: Any) -> list[RuleSet]:
    """The rules in a source of styles; the same for every program with these colours."""
    key = (source, *more.items(), *sheet._variables.items())
    if key not in _parsed:
        _parsed[key] = _parse(sheet, *source, **more)
    return _parsed[key]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pilot goes on as soon as the program has dealt with what it was sent."""
    for module in ("textual.app", "textual.pilot"):
        monkeypatch.setattr(f"{module}.wait_for_idle", calm)
    monkeypatch.setattr(Stylesheet, "_parse_rules", parsed_once)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """An empty file, and every clock that is shown standing at the same instant."""
    made = Stage(tmp_path)
    frozen = SimpleNamespace(time=made.clock.now)
    for module in ("qtool.views.text", "qtool.views.jobs"):
        monkeypatch.setattr(f"{module}.time", frozen)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield made
    made.adapter.close()


def held(name: str, size: tuple[int, int], found: str) -> None:
    """Hold a text that stands still against the picture of this name."""
    path = FRAMES / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("QTOOL_FRAMES") == "write":
        path.write_text(found)
    assert path.exists(), f"no picture yet: QTOOL_FRAMES=write makes {path.name}\n{found}"
    assert found == path.read_text()


async def compare(pilot: Pilot[None], name: str) -> None:
    """Wait until the screen is as the picture of this name; ``QTOOL_FRAMES=write`` makes it anew.

    The text alone: what is bold or red is asserted where it matters.
    """
    width, height = pilot.app.size
    path = FRAMES / f"{name}-{width}x{height}.txt"
    if os.environ.get("QTOOL_FRAMES") == "write":
        found = ""
        while found != (found := text_of(pilot.app)):
            await pilot.pause(0.5)
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.exists(), f"no picture yet: QTOOL_FRAMES=write makes {path.name}\n{text_of(pilot.app)}"
    wanted = path.read_text()
    deadline = time.monotonic() + WITHIN
    still = 0
    # Not what it only passes through: it stays so when there is nothing more to do.
    while still < 2:
        found = text_of(pilot.app)
        still = still + 1 if found == wanted else 0
        assert still or time.monotonic() < deadline, f"{path.name} shows something else now:\n{found}"
        await pilot.pause(0.005 if not still else None)
