"""qtool on Redis beside its peers there: one private server, the same job, two processes each, by turns.

Each peer has an environment of its own, made when it is first needed and kept in ``.bench/peers``; what it is made of
and how it is started is in ``apps/peers.toml``, its application beside it. A job counts itself (``apps/counted.py``):
what ran is known without asking anybody. A run in which a job is missing, or left over, or without its result, is an
error.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tomllib
import venv
from collections import defaultdict
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from redis import Redis
from serving.redis import RedisServer

from .measure import BIN, SCRIPTS, Peer, Row, Setting, environment, percentile, run, running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

APPS = SCRIPTS / "benchmarks" / "apps"
OURS = "qtool"
ENVIRONMENTS = SCRIPTS.parent / ".bench" / "peers"
ONES = 2000
"""Jobs that are enqueued one at a time."""
LATENCIES = 200
MARK = struct.Struct("<qdd")
FIRST = "Redis: drain, no results, first start to last end"
"""The row that says how many jobs each had."""
LIMIT = 300.0
"""Seconds that a worker may take for its jobs."""


class Contender:
    """One of those in ``peers.toml``."""

    def __init__(self, name: str, said: Mapping[str, Any]) -> None:
        self.name = name
        self.title: str = said["title"]
        self.module: str = said["module"]
        self.worker: list[str] = said["worker"]
        self.left: list[str] = said["left"]
        self.results: str = said["results"]
        self.share: float = said["jobs"]
        self.environment: dict[str, str] = said.get("environment", {})
        self.bin = self._prepare(said["requires"]) if "requires" in said else BIN

    def _prepare(self, requires: list[str]) -> Path:
        """Its environment's programs; made unless they stand. Raises CalledProcessError if pip cannot."""
        said = hashlib.sha256("\n".join([sys.version, *requires]).encode()).hexdigest()
        place = ENVIRONMENTS / said[:16]
        if not (place / "whole").exists():
            print(f"making an environment for {self.title}", file=sys.stderr)
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
            run(str(place / "bin" / "python"), "-m", "pip", "install", "-q", *requires)
            (place / "whole").touch()
        return place / "bin"


class Round:
    """One contender on an empty server, with or without results."""

    def __init__(self, contender: Contender, server: RedisServer, directory: Path, *, results: bool) -> None:
        self.contender, self.server, self.results = contender, server, results
        self.redis: Redis = Redis.from_url(server.url, decode_responses=True, socket_timeout=60)
        self.redis.flushall()
        self.marks = directory / "marks"
        shutil.rmtree(self.marks, ignore_errors=True)
        self.marks.mkdir()
        self.sent = 0
        self.env = environment() | {
            "BENCH_URL": server.url,
            "BENCH_RESULTS": str(int(results)),
            "BENCH_MARKS": str(self.marks),
            "PYTHONPATH": str(APPS),
            "QTOOL_BROKER": f"{server.url}/0",
            "RQ_REDIS_URL": f"{server.url}/0",
            **contender.environment,
        }

    def client(self, verb: str, count: int) -> str:
        """What the contender's client prints."""
        app = APPS / f"{self.contender.module}.py"
        return run(str(self.contender.bin / "python"), str(app), verb, str(count), env=self.env)

    def enqueue(self, verb: str, count: int) -> float:
        """Jobs a second into the queue."""
        seconds = float(self.client(verb, count))
        # The client enqueues one before its clock runs.
        self.sent += count + 1
        return count / seconds

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker, which is ended with all its processes."""
        program, *arguments = self.contender.worker
        command = (str(self.contender.bin / program), *arguments)
        with running(*command, log=self.marks.parent / f"{self.contender.name}.log", env=self.env) as worker:
            try:
                yield
            finally:
                self._end(worker)

    def _end(self, worker: subprocess.Popen[bytes]) -> None:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=5)
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)

    def drain(self) -> tuple[float, float]:
        """Jobs a second from the start of the worker until nothing is left, and from the first start to the last end.

        Raises RuntimeError if what ran or what is kept is not what was sent.
        """
        with self.working():
            whole = until(self._drained, f"{self.contender.title}: the last of {self.sent} jobs", limit=LIMIT)
            # Some write a result after they have acknowledged. Looking takes long: it is not done while the clock runs.
            with suppress(TimeoutError):
                until(lambda: not self.results or self._kept() >= self.sent, "results", limit=5)
            kept = self._kept() if self.results else 0
        count, first, last = self._counted()
        # More is possible: who takes a job twice may run it twice.
        if count < self.sent or kept != (self.sent if self.results else 0):
            raise RuntimeError(f"{self.contender.title}: {self.sent} jobs sent, {count} ran, {kept} results kept")
        return self.sent / whole, self.sent / (last - first)

    def latencies(self) -> tuple[float, float]:
        """Median and 99th percentile of the milliseconds from the call to the first line of the job."""
        log = self.marks / "latencies"

        def lines() -> int:
            return log.read_text().count("\n") if log.exists() else 0

        with self.working():
            self.client("stamp", 20)
            until(lambda: lines() == 20, f"{self.contender.title}: the first starts")
            self.client("stamp", LATENCIES)
            until(lambda: lines() == 20 + LATENCIES, f"{self.contender.title}: the last start")
        figures = [1000 * float(line) for line in log.read_text().split()[20:]]
        return percentile(figures, 50), percentile(figures, 99)

    def _counted(self) -> tuple[int, float, float]:
        """How many ran, the first start and the last end."""
        found = [
            MARK.unpack(content)
            for path in self.marks.iterdir()
            if path.name != "latencies" and len(content := path.read_bytes()) == MARK.size
        ]
        found = [each for each in found if each[0]]
        if not found:
            return 0, 0.0, 0.0
        return sum(each[0] for each in found), min(each[1] for each in found), max(each[2] for each in found)

    def _drained(self) -> bool:
        return self._counted()[0] >= self.sent and not any(self._size(key) for key in self.contender.left)

    def _kept(self) -> int:
        """How many results there are."""
        pattern = self.contender.results
        if "*" not in pattern and "?" not in pattern:
            return self._size(pattern)
        return sum(1 for _ in self.redis.scan_iter(match=pattern, count=10_000))

    def _size(self, key: str) -> int:
        """How many things a key holds, of whatever kind."""
        measures = {"list": "LLEN", "hash": "HLEN", "zset": "ZCARD", "set": "SCARD"}
        kind = cast("str", self.redis.type(key))
        execute: Callable[..., Any] = self.redis.execute_command
        return 0 if kind == "none" else int(execute(measures[kind], key))


def brokers(setting: Setting) -> Iterator[Row]:
    """Everything on Redis."""
    said = tomllib.loads((APPS / "peers.toml").read_text())
    contenders = [Contender(name, each) for name, each in said.items()]
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    server = RedisServer(setting.directory / "redis")
    server.start()
    try:
        for number in range(1, setting.repeats + 1):
            for contender in contenders:
                print(f"brokers: round {number} of {setting.repeats}: {contender.title}", file=sys.stderr)
                for name, figure in _measure(contender, server, setting):
                    figures[name][contender.name].append(figure)
    finally:
        server.remove()
    titles = {contender.name: contender.title for contender in contenders}
    jobs = {contender.name: _jobs(contender, setting) for contender in contenders}
    for name, by in figures.items():
        yield _row(name, {each: statistics.median(taken) for each, taken in by.items()}, titles, jobs)


def _jobs(contender: Contender, setting: Setting) -> int:
    return max(100, int(setting.jobs * contender.share))


def _measure(contender: Contender, server: RedisServer, setting: Setting) -> Iterator[tuple[str, float]]:
    count = _jobs(contender, setting)
    for results in (False, True):
        kind = "results kept" if results else "no results"
        round_ = Round(contender, server, setting.directory, results=results)
        with closing(round_.redis):
            if not results:
                yield "Redis: enqueue, one call a job", round_.enqueue("one", min(ONES, count))
            yield f"Redis: enqueue, the best way, {kind}", round_.enqueue("many", count)
            whole, span = round_.drain()
            yield f"Redis: drain, {kind}, first start to last end", span
            yield f"Redis: drain, {kind}, whole worker", whole
    round_ = Round(contender, server, setting.directory, results=True)
    with closing(round_.redis):
        p50, p99 = round_.latencies()
    yield "Redis: enqueue to start, idle worker, p50", p50
    yield "Redis: enqueue to start, idle worker, p99", p99


def _row(name: str, medians: Mapping[str, float], titles: Mapping[str, str], jobs: Mapping[str, int]) -> Row:
    """Ours beside the peers', the fastest first; the budget is a multiple of the fastest one's."""
    timed = "to start" in name
    peers = sorted((each for each in medians if each != OURS), key=lambda each: medians[each], reverse=not timed)
    best = medians[peers[0]]
    budget: float | None = None
    if timed:
        budget = 5.0 if name.endswith("p50") else None
    elif "best way" in name:
        budget = 5 * best
    elif "first start" in name:
        budget = 3 * best
    return Row(
        name=name,
        figure=medians[OURS],
        unit="ms" if timed else "jobs/s",
        better="less" if timed else "more",
        budget=budget,
        peers=[Peer(name=titles[each], figure=medians[each]) for each in peers],
        note="; ".join(f"{titles[each]}: {jobs[each]} jobs" for each in jobs) if name == FIRST else "",
    )
