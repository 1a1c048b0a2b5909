"""The embedded engine's figures, each beside its peers'."""

from __future__ import annotations

import os
import signal
import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import State

from . import peers
from .measure import (
    BIN,
    CORES,
    SCRIPTS,
    Peer,
    Row,
    Setting,
    environment,
    interleaved,
    percentile,
    qtool,
    run,
    running,
    seconds,
    until,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter

COMMANDS = 2000
PEER_TASKS = 3000
LATENCIES = 300
APP = "benchmarks.tasks"


def _env() -> dict[str, str]:
    return environment() | {"PYTHONPATH": str(SCRIPTS)}


def _numbers(setting: Setting, count: int) -> Path:
    path = setting.directory / f"lines-{count}"
    if not path.exists():
        path.write_text("".join(f"{number}\n" for number in range(1, count + 1)))
    return path


def _fill(setting: Setting, count: int, *command: str) -> str:
    """A fresh file with ``count`` jobs, enqueued by the command."""
    path = setting.fresh()
    qtool("enqueue", "-q", "-b", path, *(command or (f"{APP}.noop", "--lines")), stdin=_numbers(setting, count))
    return path


def _burst(path: str, *options: str) -> float:
    command = (str(BIN / "qtool"), "worker", "-b", path, "--burst", "-j", str(CORES), *options)
    return seconds(lambda: run(*command, "-q", env=_env()))


# --- throughput --------------------------------------------------------------------------------------


def enqueue(setting: Setting) -> Iterator[Row]:
    """Lines of stdin to committed, synced jobs; the whole process."""

    def ours() -> float:
        path, source = setting.fresh(), _numbers(setting, setting.jobs)
        return setting.jobs / seconds(
            lambda: qtool("enqueue", "-b", path, f"{APP}.noop", "--lines", "-q", stdin=source)
        )

    _fill(setting, 1000)
    figures = interleaved(
        [
            ours,
            lambda: peers.floor_enqueue(setting),
            lambda: peers.huey_enqueue(setting, PEER_TASKS),
        ],
        setting.repeats,
    )
    yield Row(
        name="enqueue from stdin, synced",
        figure=figures[0],
        unit="jobs/s",
        budget=100_000,
        peers=(Peer(name="raw apsw", figure=figures[1]), Peer(name="Huey, SQLite", figure=figures[2])),
        note="the whole process; raw apsw: one table, no process start, nothing parsed",
    )


def drain(setting: Setting) -> Iterator[Row]:
    """No-op Python tasks through the process pool, results kept."""
    spans: list[float] = []

    def ours() -> float:
        path = _fill(setting, setting.jobs)
        whole = _burst(path, "-A", APP)
        with open_broker(path) as adapter:
            _all_succeeded(adapter, setting.jobs)
            spans.append(setting.jobs / _span(adapter))
        return setting.jobs / whole

    _burst(_fill(setting, 1000), "-A", APP)
    figures = interleaved(
        [
            ours,
            lambda: peers.floor_drain(setting),
            lambda: peers.huey_drain(setting, PEER_TASKS, "process"),
            lambda: peers.huey_drain(setting, PEER_TASKS, "thread"),
        ],
        setting.repeats,
    )
    huey = (Peer(name="Huey, SQLite, processes", figure=figures[2]), Peer(name="… threads", figure=figures[3]))
    yield Row(
        name="drain no-op tasks, whole worker",
        figure=figures[0],
        unit="jobs/s",
        budget=50_000,
        peers=(Peer(name="raw apsw", figure=figures[1]), *huey),
        note="process pool, results kept, from exec to exit; raw apsw: claim and settle, nothing runs",
    )
    yield Row(
        name="… first start to last end",
        figure=statistics.median(spans),
        unit="jobs/s",
        budget=50_000,
        peers=(Peer(name="raw apsw", figure=figures[1]), *huey),
    )


def _all_succeeded(adapter: Adapter, count: int) -> None:
    """Raises RuntimeError unless the file holds ``count`` jobs and all succeeded."""
    counts = adapter.inspector.snapshot().queues[0].counts
    if counts[State.SUCCEEDED] != count or sum(counts.values()) != count:
        raise RuntimeError(f"{count} jobs went in and the worker left {dict(counts)}")


def _span(adapter: Adapter) -> float:
    """Seconds from the first start to the last end."""
    first = adapter.inspector.browse(limit=500, oldest_first=True).jobs
    last = adapter.inspector.browse(limit=500).jobs
    began = min(job.started_at for job in first if job.started_at is not None)
    return max(job.finished_at for job in last if job.finished_at is not None) - began


def commands(setting: Setting) -> Iterator[Row]:
    """Commands with captured output."""
    spans: list[float] = []

    def ours() -> float:
        path = _fill(setting, COMMANDS, "--lines", "--", "/bin/echo", "{}")
        figure = COMMANDS / _burst(path)
        with open_broker(path) as adapter:
            _all_succeeded(adapter, COMMANDS)
            spans.append(COMMANDS / _span(adapter))
        return figure

    few = COMMANDS // 8
    figures = interleaved(
        [
            ours,
            lambda: peers.bare_commands(COMMANDS),
            lambda: peers.xargs(setting, COMMANDS) or 0.0,
            lambda: peers.parallel(setting, few) or 0.0,
        ],
        setting.repeats,
    )
    bare = Peer(name="bare posix_spawn, pipe", figure=figures[1])
    yield Row(
        name="command jobs, output captured, whole worker",
        figure=figures[0],
        unit="jobs/s",
        budget=1000,
        peers=(bare, _installed("xargs -P, not captured", figures[2]), _installed("GNU parallel", figures[3])),
        note="from exec to exit",
    )
    yield Row(
        name="… first start to last end",
        figure=statistics.median(spans),
        unit="jobs/s",
        budget=1000,
        peers=(bare,),
    )


def _installed(name: str, figure: float) -> Peer:
    return Peer(name=name, figure=figure) if figure else Peer(name=f"{name}: not installed", figure=None)


# --- latency, idleness, start ------------------------------------------------------------------------


@contextmanager
def _worker(path: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = (str(BIN / "qtool"), "worker", "-b", path, "-A", APP, *options)
    with running(*command, log=Path(f"{path}.log"), env=_env()) as process:
        yield process


def _send(adapter: Adapter, task: str, *args: object, count: int = 1) -> list[str]:
    now = time.time()
    jobs = [Job(id=new_id(), task=f"{APP}.{task}", args=args, created_at=now) for _ in range(count)]
    return list(adapter.broker.enqueue(jobs).ids)


def _finish(adapter: Adapter, id: str) -> float:
    """The value of a job's result, once it is there."""
    until(lambda: (found := adapter.results.results([id])[0]) is not None and found.state is State.SUCCEEDED, id)
    (result,) = adapter.results.results([id])
    assert result is not None
    assert result.value is not None
    return float(result.value)


def latency(setting: Setting) -> Iterator[Row]:
    """From the call of enqueue to the first line of the task, with a worker that has nothing else to do."""
    figures = []
    path = setting.fresh()
    with open_broker(path) as adapter, _worker(path, "-j", str(CORES)):
        for _ in range(20):
            _finish(adapter, _send(adapter, "now")[0])
        for _ in range(LATENCIES):
            time.sleep(0.02)
            before = time.time()
            figures.append(1000 * (_finish(adapter, _send(adapter, "now")[0]) - before))
    p50, p99 = peers.huey_latency(setting, LATENCIES // 3)
    name = "Huey, SQLite, polling every 10 ms"
    yield Row(
        name="enqueue to start, idle worker, p50",
        figure=percentile(figures, 50),
        unit="ms",
        better="less",
        budget=2.0,
        peers=(Peer(name=name, figure=p50),),
    )
    yield Row(
        name="… p99",
        figure=percentile(figures, 99),
        unit="ms",
        better="less",
        budget=10.0,
        peers=(Peer(name=name, figure=p99),),
    )


def idle(setting: Setting) -> Iterator[Row]:
    """What a worker without work costs."""
    path = setting.fresh()
    with open_broker(path) as adapter, _worker(path, "-j", str(CORES)) as worker:
        _finish(adapter, _send(adapter, "now")[0])
        time.sleep(1.0)
        figure = peers.idle(worker.pid, setting.idle_seconds)
    yield Row(
        name="an idle worker and its children",
        figure=figure,
        unit="% of a core",
        better="less",
        budget=0.5,
        peers=(Peer(name="Huey, SQLite, polling every 10 ms", figure=peers.huey_idle(setting)),),
        note=f"over {setting.idle_seconds:g} s",
    )


def start(setting: Setting) -> Iterator[Row]:
    """One job from the shell: what the whole process costs."""
    path = _fill(setting, 10)

    def ours() -> float:
        return 1000 * seconds(lambda: qtool("enqueue", "-b", path, f"{APP}.noop", "x"))

    for _ in range(3):
        ours()
    figures = interleaved([ours, peers.bare_interpreter], 7 * setting.repeats)
    yield Row(
        name="qtool enqueue, one job, whole process",
        figure=figures[0] / figures[1],
        unit="bare interpreters",
        better="less",
        budget=5.0,
        note=f"medians: {figures[0]:.1f} ms, and {figures[1]:.1f} ms for python -c pass",
    )


# --- rescue ------------------------------------------------------------------------------------------


def rescue(setting: Setting) -> Iterator[Row]:
    """kill -9 of a worker with busy slots while another one waits: until none of its jobs is its own any more."""
    figures = [_rescue(setting, group=round % 2 == 0) for round in range(2 * setting.repeats)]
    yield Row(
        name="worker killed with -9: its jobs are back",
        figure=max(figures),
        unit="s",
        better="less",
        budget=1.0,
        note=f"the slowest of {len(figures)}; by turns the whole process group and the supervisor alone",
    )


def _rescue(setting: Setting, *, group: bool) -> float:
    path = setting.fresh()
    with open_broker(path) as adapter, _worker(path, "-j", str(CORES)) as victim:
        ids = _send(adapter, "hold", 5.0, count=CORES)

        def owners() -> list[str | None]:
            return [
                job.worker if job is not None and job.state is State.RUNNING else None
                for job in adapter.inspector.get(ids)
            ]

        until(lambda: None not in owners(), "every slot busy")
        dead = set(owners())
        with _worker(path, "-j", str(CORES)):
            until(lambda: len(adapter.inspector.snapshot().workers) == 2, "a second worker")
            time.sleep(0.5)
            if group:
                os.killpg(victim.pid, signal.SIGKILL)
            else:
                os.kill(victim.pid, signal.SIGKILL)
            return until(lambda: not dead & set(owners()), "the rescue")
