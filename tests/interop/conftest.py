"""A real server, a real Celery application on it, and workers of both kinds."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.registry import open_broker
from tests.interop.proj import application
from tests.services import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving.redis import RedisServer

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


def until(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What the condition gives, once it is true."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return value


def hang_up(app: Any) -> None:
    """Let go of what a Celery application holds open, but for the pools that it shares with others of its URL."""
    # Results that are collected later would tell the server that nobody waits for them.
    consumer = app.backend.result_consumer
    consumer.subscribed_to.clear()
    consumer.stop()
    app.backend.client.connection_pool.disconnect()
    app.close()
    with warnings.catch_warnings():
        # What is still open is not to be found anywhere.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Fleet:
    """One place on a server, and who works there."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.server, _, self.prefix = url.partition("?prefix=")
        self.app: Any = application(self.server, self.prefix)
        self.adapter = open_broker(url)
        self.processes: list[subprocess.Popen[bytes]] = []

    def send(self, name: str, *args: Any, **options: Any) -> Any:
        """As a Celery client sends a task that it knows by name only."""
        return self.app.send_task(f"proj.{name}", args, **options)

    def sig(self, name: str, *args: Any, **options: Any) -> Any:
        return self.app.signature(f"proj.{name}", args, **options)

    def qtool(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """A command of qtool's, on this server."""
        command = [sys.executable, "-m", "qtool", words[0], "-b", self.url, *words[1:]]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, **more)

    def shown(self, id: str) -> Any:
        """What ``qtool show`` prints of a job."""
        done = self.qtool("show", id, "-o", "json")
        assert done.returncode == 0, done.stderr
        (job,) = json.loads(done.stdout)
        return job

    def qtool_worker(self, *words: str, app: str = "tests.interop.tasks") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "qtool", "worker", "-b", self.url, "-A", app, *words]
        return self._start("qtool", command)

    def celery_worker(self, *words: str) -> subprocess.Popen[bytes]:
        """One that is at work: before it is, nobody knows that its queues are Celery's."""
        command = [sys.executable, "-m", "celery", "-A", "tests.interop.proj", "worker"]
        log = self.directory / f"celery-{len(self.processes)}.log"
        process = self._start("celery", [*command, "--without-gossip", "--without-mingle", "-l", "INFO", *words])
        until(lambda: " ready." in log.read_text())
        return process

    def _start(self, kind: str, command: list[str]) -> subprocess.Popen[bytes]:
        name = f"{kind}-{len(self.processes)}.log"
        here = {**os.environ, "CELERY_URL": self.server, "CELERY_PREFIX": self.prefix}
        with (self.directory / name).open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=here, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def said(self, kind: str) -> str:
        """What the workers of a kind have written."""
        return "\n".join(path.read_text() for path in sorted(self.directory.glob(f"{kind}-*.log")))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        hang_up(self.app)
        self.adapter.close()


@pytest.fixture(scope="module")
def fleet(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One for all tests of a module."""
    made = Fleet(place(redis_server), tmp_path_factory.mktemp("fleet"))
    try:
        yield made
    finally:
        made.close()
