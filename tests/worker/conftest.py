"""A real worker over a real file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import UNSAID, Job, JobInfo, Policy
from qtool.engine.registry import open_broker
from qtool.engine.states import FINAL, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.broker import Adapter

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


def eventually(condition: Callable[[], Any], *, within: float = PATIENCE) -> Any:
    """What ``condition`` gives, once it is true."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Shop:
    """A broker with jobs, by default a file, and workers over it."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.url = url or f"sqlite://{directory}/shop.db"
        self.adapter: Adapter = open_broker(self.url, key=os.environ.get("QTOOL_KEY"))
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_many(self, task: str, count: int) -> list[str]:
        """As many jobs, each with its number as its argument."""
        now = time.time()
        jobs = [
            Job(id=id, task=f"tests.worker.app.{task}", args=(n,), created_at=now)
            for n, id in enumerate(new_id.batch(count))
        ]
        return list(self.adapter.broker.enqueue(jobs).ids)

    def add(self, task: str, *args: Any, policy: Policy | None = None, queue: str = "default", **kwargs: Any) -> str:
        name = task if "." in task else f"tests.worker.app.{task}"
        job = Job(
            id=new_id(),
            task=name,
            args=args,
            kwargs=kwargs,
            queue=queue,
            created_at=time.time(),
            policy=policy or UNSAID,
        )
        self.adapter.broker.enqueue([job])
        return job.id

    def command(self, *words: str, policy: Policy | None = None, **kwargs: Any) -> str:
        return self.add("qtool.exec", *words, policy=policy, **kwargs)

    def start(self, *options: str, apps: bool = True) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "qtool", "worker", "-b", self.url, "--allow-exec", *options]
        words += ["-A", "tests.worker.app"] if apps else []
        with (self.directory / "out").open("ab") as out, (self.directory / "err").open("ab") as err:
            worker = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.workers.append(worker)
        return worker

    def patched(self, **options: Any) -> subprocess.Popen[bytes]:
        """A worker of :mod:`tests.worker.patched`."""
        words = [sys.executable, "-m", "tests.worker.patched", self.url, json.dumps(options)]
        with (self.directory / "out").open("ab") as out, (self.directory / "err").open("ab") as err:
            worker = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.workers.append(worker)
        return worker

    @contextmanager
    def failing(self, method: str, error: str) -> Iterator[None]:
        """While it lasts, a method of the patched workers' broker raises this error."""
        switch = self.directory / f"{method}.{error}"
        switch.touch()
        yield
        switch.unlink()

    def count(self, state: State) -> int:
        """How many jobs are in ``state``."""
        return sum(queue.counts[state] for queue in self.adapter.inspector.snapshot().queues)

    def gate(self) -> Path:
        """Enqueue a job that runs from when this directory exists until it is removed."""
        path = self.directory / f"gate-{new_id()}"
        self.add("gate", str(path))
        return path

    def burst(self, *options: str, apps: bool = True) -> int:
        return self.start("--burst", *options, apps=apps).wait(PATIENCE)

    def job(self, id: str) -> JobInfo:
        info = self.adapter.inspector.get([id])[0]
        assert info is not None
        return info

    def until(self, id: str, *states: State) -> JobInfo:
        eventually(lambda: self.job(id).state in (states or FINAL))
        return self.job(id)

    def result(self, id: str) -> Any:
        result = self.adapter.results.results([id])[0]
        assert result is not None
        assert result.state is State.SUCCEEDED, (result, self.stderr)
        return json.loads(result.value) if result.value is not None else None

    def output(self, id: str, stream: str | None = None) -> bytes:
        return b"".join(c.data for c in self.adapter.results.output(id) if stream in (None, c.stream))

    @property
    def stderr(self) -> str:
        return (self.directory / "err").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "out").read_text().splitlines()]

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
        self.adapter.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def children_of(pid: int) -> list[int]:
    """Direct children, living ones."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if alive(int(each))]
