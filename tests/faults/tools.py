"""What the fault tests share: jobs by the hundred, qtool as a process, conditions with a bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.engine.ids import new_id
from qtool.engine.job import UNSAID, Done, Job, Lease, Settlement
from qtool.engine.policy import MAX_CRASHES, decide
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qtool.engine.broker import Adapter

QTOOL = Path(sys.executable).with_name("qtool")
ROOT = Path(__file__).resolve().parents[2]


def jobs(count: int, task: str = "some.task") -> list[Job]:
    """Jobs whose only argument is their number."""
    now = time.time()
    return [Job(id=id, task=task, args=(number,), created_at=now) for number, id in enumerate(new_id.batch(count))]


def done(lease: Lease) -> Settlement:
    """The settlement of a run that returned nothing."""
    now = time.time()
    return decide(lease, Done(), UNSAID, started_at=now, now=now, random=lambda: 0.5)


def counts(adapter: Adapter) -> Mapping[State, int]:
    """How many jobs of the one queue are in each state."""
    (queue,) = adapter.inspector.snapshot().queues
    return queue.counts


def qtool(
    *arguments: object, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One qtool command to its end; 30 seconds at most."""
    return subprocess.run(
        [str(QTOOL), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **(env or {})},
    )


@contextmanager
def hired(broker: str, *options: str, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process group of its own, which is ended with all that is in it; what it says goes to ``log``."""
    command = [str(QTOOL), "worker", "-b", broker, "-q", "--allow-exec", *options]
    with log.open("ab") as said:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def until(condition: Callable[[], bool], what: str, *, limit: float = 30.0) -> float:
    """Seconds until the condition holds. Raises AssertionError."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, f"{what} did not happen within {limit:g} s"
        time.sleep(0.002)
    return time.monotonic() - began


def judge(adapter: Adapter, sent: list[str], effects: list[str]) -> None:
    """Every job has ended exactly once, and ran at least once and no more often than it was started."""
    runs = Counter(line.split()[0] for line in effects)
    assert len(sent) == len(set(sent))
    for id, job in zip(sent, adapter.inspector.get(sent), strict=True):
        assert job is not None, f"{id} is lost"
        assert job.state is State.SUCCEEDED or crashed_out(job.reason, job.crashes), f"{id} ended as {job}"
        assert runs[id] or job.state is State.DEAD, f"{id} succeeded without having run"
    by_state = counts(adapter)
    assert by_state[State.SUCCEEDED] + by_state[State.DEAD] == len(sent) == sum(by_state.values())
    # The history is written in the transaction that ends a job: a second end would be counted a second time.
    history = adapter.inspector.history(0, time.time() + 1, seconds=3600)
    assert sum(bucket.succeeded for bucket in history) == by_state[State.SUCCEEDED]
    assert sum(bucket.dead for bucket in history) == by_state[State.DEAD]
    assert set(runs) <= set(sent)
    assert adapter.inspector.check() == []
    print(f"{len(effects)} runs of {len(sent)} jobs; {by_state[State.DEAD]} crashed out")


def crashed_out(reason: Reason | None, crashes: int) -> bool:
    """Whether the job was in three processes that were killed: the one way of dying that the storm allows."""
    return reason is Reason.CRASHED and crashes == MAX_CRASHES
