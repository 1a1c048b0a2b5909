"""The peers' figures, and the floor: what SQLite alone allows on this machine."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import apsw
import psutil

from .measure import CORES, SCRIPTS, Setting, environment, percentile, run, running, seconds, until

BATCH = 1000
SCHEMA = """
CREATE TABLE jobs(
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task TEXT NOT NULL, queue TEXT NOT NULL, state TEXT NOT NULL,
    ready_at REAL NOT NULL, token INTEGER, attempt INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL, result TEXT) STRICT;
CREATE INDEX ready ON jobs(queue, ready_at, key) WHERE state = 'ready';
"""


# --- the floor ---------------------------------------------------------------------------------------


def floor_enqueue(setting: Setting) -> float:
    """Rows a second: one table with what a claim needs, batches committed and synced."""
    with closing(_floor(setting.fresh())) as db:
        return setting.jobs / seconds(lambda: _fill(db, setting.jobs))


def floor_drain(setting: Setting) -> float:
    """Rows a second claimed and settled in batches by one process that does nothing else."""
    with closing(_floor(setting.fresh())) as db:
        _fill(db, setting.jobs)
        db.execute("PRAGMA synchronous = NORMAL")
        return setting.jobs / seconds(lambda: _drain(db))


def _floor(path: str) -> apsw.Connection:
    db = apsw.Connection(path)
    db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536")
    db.execute(SCHEMA)
    return db


def _fill(db: apsw.Connection, count: int) -> None:
    insert = "INSERT INTO jobs(id, task, queue, state, ready_at, body) VALUES (?, 'noop', 'default', 'ready', ?, ?)"
    now = time.time()
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        with db:
            db.executemany(insert, [(f"01900000-0000-7000-8000-{n:012x}", now, f'[["{n}"],{{}}]') for n in numbers])


def _drain(db: apsw.Connection) -> None:
    claim = """UPDATE jobs SET state = 'running', token = ?, attempt = attempt + 1 WHERE key IN (
        SELECT key FROM jobs WHERE state = 'ready' AND queue = 'default' ORDER BY ready_at, key LIMIT 256)
        RETURNING key, id, task, body"""
    settle = "UPDATE jobs SET state = 'succeeded', token = NULL, result = 'null' WHERE key = ? AND token = ?"
    token = 0
    while True:
        token += 1
        with db:
            rows = db.execute(claim, (token,)).fetchall()
        if not rows:
            return
        with db:
            db.executemany(settle, [(row[0], token) for row in rows])


# --- Huey --------------------------------------------------------------------------------------------


def _huey(path: str) -> dict[str, str]:
    return environment() | {"HUEY_FILE": path, "PYTHONPATH": str(SCRIPTS)}


def _consumer(kind: str) -> tuple[str, ...]:
    program = (sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.huey_app.huey")
    return (*program, "-w", str(CORES), "-k", kind, "-n", "-d", "0.01")


def _huey_send(path: str, count: int) -> float:
    # Not with -m: Huey would know the tasks as __main__'s.
    script = f"from benchmarks.huey_app import send; print(send({count}))"
    return float(run(sys.executable, "-c", script, env=_huey(path)))


def huey_enqueue(setting: Setting, count: int) -> float:
    """Tasks a second, each its own commit: Huey has no batches."""
    return count / _huey_send(setting.fresh(), count)


def huey_drain(setting: Setting, count: int, kind: str) -> float:
    """Tasks a second from the first result to the last; ``kind`` is process or thread."""
    path = setting.fresh()
    _huey_send(path, count)
    with (
        closing(sqlite3.connect(path)) as db,
        running(*_consumer(kind), log=Path(path + ".log"), env=_huey(path)),
    ):

        def results() -> int:
            return int(db.execute("SELECT count(*) FROM kv").fetchone()[0])

        until(lambda: results() > 0, "Huey's first result")
        before = results()
        return (count - before) / until(lambda: results() == count, "Huey's last result", limit=300, pause=0.02)


def huey_latency(setting: Setting, count: int) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds, from the call to the start of the task by an idle consumer."""
    path = setting.fresh()
    script = (
        "import time\n"
        "from benchmarks.huey_app import now\n"
        "now()(blocking=True, timeout=30)\n"
        f"for _ in range({count}):\n"
        "    time.sleep(0.02)\n"
        "    before = time.time()\n"
        "    print(now()(blocking=True, timeout=30, backoff=1, max_delay=0.005) - before)\n"
    )
    with running(*_consumer("process"), log=Path(path + ".log"), env=_huey(path)):
        figures = [1000 * float(line) for line in run(sys.executable, "-c", script, env=_huey(path)).split()]
    return percentile(figures, 50), percentile(figures, 99)


def huey_idle(setting: Setting) -> float:
    """Per cent of a core that an idle consumer uses."""
    path = setting.fresh()
    with running(*_consumer("process"), log=Path(path + ".log"), env=_huey(path)) as consumer:
        time.sleep(2.0)
        return idle(consumer.pid, setting.idle_seconds)


def idle(pid: int, span: float) -> float:
    """Per cent of a core that the process and its children use over ``span`` seconds."""

    def used() -> float:
        top = psutil.Process(pid)
        times = [process.cpu_times() for process in (top, *top.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    before, began = used(), time.perf_counter()
    time.sleep(span)
    return 100 * (used() - before) / (time.perf_counter() - began)


# --- commands ----------------------------------------------------------------------------------------


def parallel(setting: Setting, count: int) -> float | None:
    """Commands a second by GNU parallel, which keeps each output together; None if it is not installed."""
    return _by("parallel", setting, count, "-j", str(CORES), "echo")


def xargs(setting: Setting, count: int) -> float | None:
    """Commands a second by xargs, which captures nothing; None if it is not installed."""
    return _by("xargs", setting, count, "-P", str(CORES), "-n", "1", "/bin/echo")


def _by(program: str, setting: Setting, count: int, *arguments: str) -> float | None:
    if shutil.which(program) is None:
        return None
    numbers = setting.directory / f"numbers-{count}"
    numbers.write_text("".join(f"{number}\n" for number in range(count)))
    # Its notice on citation would wait in a new HOME.
    env = environment() | {"PARALLEL_HOME": str(setting.directory / "parallel")}
    (setting.directory / "parallel").mkdir(exist_ok=True)
    (setting.directory / "parallel" / "will-cite").touch()
    return count / seconds(lambda: run(program, *arguments, stdin=numbers, env=env))


def bare_commands(count: int) -> float:
    """Commands a second that the system allows: spawn, a pipe read to its end, wait; as many at a time as cores."""
    env = environment()

    def start(number: int) -> tuple[int, int]:
        ours, theirs = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, theirs, 1)]
        pid = os.posix_spawn("/bin/echo", ["echo", str(number)], env, file_actions=actions)
        os.close(theirs)
        return pid, ours

    def end(pid: int, ours: int) -> None:
        while os.read(ours, 65536):
            pass
        os.close(ours)
        os.waitpid(pid, 0)

    def all_of_them() -> None:
        under_way: deque[tuple[int, int]] = deque()
        for number in range(count):
            under_way.append(start(number))
            if len(under_way) == CORES:
                end(*under_way.popleft())
        for each in under_way:
            end(*each)

    return count / seconds(all_of_them)


def bare_interpreter() -> float:
    """Milliseconds from start to end of an interpreter that does nothing."""
    command = [sys.executable, "-c", "pass"]
    env = environment()
    return 1000 * seconds(lambda: subprocess.run(command, env=env, check=True))
