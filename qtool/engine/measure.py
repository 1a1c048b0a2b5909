"""How fast a broker is on this machine, seen from one process: no worker takes part and nothing is run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from qtool.engine.broker import WorkerInfo
from qtool.engine.ids import new_id
from qtool.engine.job import UNSAID, Done, Job, Lease, Settlement
from qtool.engine.policy import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from qtool.engine.broker import Adapter

BATCH = 1000
SINGLES = 200
"""How often a call is made whose single time is of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure; times are seconds."""

    what: str
    calls: int
    jobs: int
    """How many jobs the calls moved together; 0 for those that only look."""
    seconds: float
    p50: float
    p99: float


def measure(adapter: Adapter, queue: str, jobs: int) -> Generator[Measure, None, None]:
    """Each figure as it is taken, on a queue that nobody else uses and that is left empty. Raises BrokerError."""
    broker, inspector = adapter.broker, adapter.inspector
    bench = _Bench(adapter, queue)
    try:
        yield bench.time("enqueue, one at a time", SINGLES, 1, lambda: bench.send(1))
        yield bench.time(f"enqueue, by {BATCH:,}", max(1, jobs // BATCH), BATCH, lambda: bench.send(BATCH))
        yield bench.time("snapshot", SINGLES, 0, inspector.snapshot)
        yield bench.time("browse a page of 100", SINGLES, 0, lambda: inspector.browse(limit=100))
        yield bench.time("claim and settle, one at a time", SINGLES, 1, lambda: bench.take(1))
        yield bench.time("claim and settle, by 100", max(1, jobs // 100), 100, lambda: bench.take(100))
        while bench.take(BATCH):
            pass
        yield bench.wake()
    finally:
        bench.clean()
        broker.leave(bench.worker)


class _Bench:
    def __init__(self, adapter: Adapter, queue: str) -> None:
        self.worker = new_id()
        self._adapter = adapter
        self._queue = queue
        self._ids: list[str] = []
        now = time.time()
        # The first heartbeat introduces a worker: without it its claims would pass for a dead one's.
        adapter.broker.extend(
            WorkerInfo(
                id=self.worker,
                host="",
                pid=0,
                queues=(queue,),
                pool="bench",
                slots=1,
                busy=0,
                started_at=now,
                seen_at=now,
            ),
            [],
        )

    def send(self, count: int) -> None:
        now = time.time()
        jobs = [
            Job(id=id, task="qtool.bench", args=("a line of input",), queue=self._queue, created_at=now)
            for id in new_id.batch(count)
        ]
        self._ids += self._adapter.broker.enqueue(jobs).ids

    def take(self, count: int) -> int:
        leases = self._adapter.broker.claim(self.worker, [self._queue], count)
        if leases:
            self._adapter.broker.settle([_done(lease) for lease in leases])
        return len(leases)

    def time(self, what: str, calls: int, jobs: int, action: Callable[[], object]) -> Measure:
        taken = []
        for _ in range(calls):
            began = time.perf_counter()
            action()
            taken.append(time.perf_counter() - began)
        return _measure(what, taken, calls * jobs)

    def wake(self) -> Measure:
        """From the call of enqueue to the claim by another thread that was asleep until the bell rang."""
        claimed: list[float] = []
        bell = self._adapter.broker.listen("ready")

        def sleeper() -> None:
            while len(claimed) < SINGLES:
                if self.take(1):
                    claimed.append(time.perf_counter())
                else:
                    bell.wait(1.0)

        thread = Thread(target=sleeper, daemon=True)
        thread.start()
        taken = []
        try:
            for number in range(SINGLES):
                time.sleep(0.005)
                began = time.perf_counter()
                self.send(1)
                while len(claimed) == number and thread.is_alive():
                    time.sleep(0.0005)
                if len(claimed) == number:
                    break
                taken.append(claimed[number] - began)
        finally:
            thread.join(timeout=5)
            bell.close()
        return _measure("enqueue to claim, asleep until then", taken, len(taken))

    def clean(self) -> None:
        """Remove every job that was sent."""
        while self.take(BATCH):
            pass
        for start in range(0, len(self._ids), BATCH):
            self._adapter.operator.delete(self._ids[start : start + BATCH])


def _measure(what: str, taken: list[float], jobs: int) -> Measure:
    ordered = sorted(taken)
    last = len(ordered) - 1
    return Measure(
        what=what,
        calls=len(taken),
        jobs=jobs,
        seconds=sum(taken),
        p50=ordered[len(ordered) // 2],
        p99=ordered[min(last, len(ordered) * 99 // 100)],
    )


def _done(lease: Lease) -> Settlement:
    now = time.time()
    return decide(lease, Done(), UNSAID, started_at=now, now=now, random=lambda: 0.0)
