"""What ten million jobs in one file cost beside ten thousand."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from qtool.engine.filter import parse
from qtool.engine.ids import new_id
from qtool.engine.job import UNSAID, Done, Job, Lease, Settlement
from qtool.engine.policy import decide
from qtool.engine.registry import open_broker

from .measure import Measurement, Row, Setting, interleaved, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.broker import Adapter

SMALL = 10_000
BATCH = 5_000
QUEUES = ("mail", "images", "reports", "web")
ROUNDS = 41
"""Enough that a median of a tenth of a millisecond is steady; odd."""


def huge(setting: Setting) -> Iterator[Row]:
    """Claim, browse and snapshot in both files by turns; the figure is the ratio of the medians."""
    if not setting.huge:
        return
    with open_broker(build(setting, SMALL)) as small, open_broker(build(setting, setting.huge)) as large:
        for name, action in _actions().items():
            measurements: list[Measurement] = [_timed(action, large), _timed(action, small)]
            interleaved(measurements, 5)
            big, little = interleaved(measurements, ROUNDS)
            yield Row(
                name=f"{name}: {setting.huge:,} jobs over {SMALL:,}",
                figure=big / little,
                unit="times",
                better="less",
                budget=1.3,
                note=f"{big:.3f} ms and {little:.3f} ms",
            )


def _timed(action: Callable[[Adapter], object], adapter: Adapter) -> Measurement:
    return lambda: 1000 * seconds(lambda: action(adapter))


def build(setting: Setting, count: int) -> str:
    """The path of a new file with so many ready jobs."""
    path = setting.fresh()
    began = time.perf_counter()
    # A day ago, in one instant: a snapshot reads the last minutes of history, and both files must have had the same.
    then = time.time() - 86400
    with open_sqlite(f"sqlite:{path}", clock=ManualClock(then)) as adapter:
        template = Job(id="", task="examples.tasks.noop", args=("a line of input",), created_at=then)
        for start in range(0, count, BATCH):
            jobs = [
                replace(template, id=new_id(), queue=QUEUES[number % len(QUEUES)])
                for number in range(start, min(start + BATCH, count))
            ]
            adapter.broker.enqueue(jobs)
    print(f"  {count:,} jobs in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return path


def _actions() -> dict[str, Callable[[Adapter], object]]:
    return {
        "claim and settle 20": _claim,
        "browse a page": lambda adapter: adapter.inspector.browse(limit=100),
        "browse a queue's ready jobs": lambda adapter: adapter.inspector.browse(
            parse("queue:reports state:ready"), limit=100
        ),
        "browse from the middle": _middle,
        "snapshot": lambda adapter: adapter.inspector.snapshot(),
    }


def _middle(adapter: Adapter) -> object:
    last = adapter.inspector.browse(limit=1).next
    assert last is not None
    return adapter.inspector.browse(after=last // 2, limit=100)


def _claim(adapter: Adapter) -> object:
    leases = adapter.broker.claim("bench", QUEUES, 20)
    assert len(leases) == 20
    return adapter.broker.settle([_done(lease) for lease in leases])


def _done(lease: Lease) -> Settlement:
    now = time.time()
    return decide(lease, Done(), UNSAID, started_at=now, now=now, random=lambda: 0.0)
