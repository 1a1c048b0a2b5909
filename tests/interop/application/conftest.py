"""A Celery client without the project's code, and the project's workers: Celery's own, and qtool's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from tests.interop.conftest import hang_up
from tests.worker.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.redis import RedisServer

HERE = Path(__file__).parent
WORKERS = ("celery", "qtool")


class Fleet:
    """A worker of one make, on a database of its own, and a client of it."""

    def __init__(self, make: str, url: str, log: Path) -> None:
        self.make = make
        self.url = url
        self.log = log
        self.redis: redis.Redis = redis.Redis.from_url(url, decode_responses=True)
        self.app = Celery("client", broker=url, backend=url, set_as_current=False)
        self.app.conf.update(broker_connection_retry_on_startup=True)
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the worker, with options that both makes have."""
        base = ("-A", "proj.celery", "worker", "-c2", "-lWARNING", "--without-gossip", "--without-mingle")
        command = [sys.executable, "-m", "celery", *base, "--without-heartbeat", "-Qcelery,other"]
        if self.make == "qtool":
            command = [sys.executable, "-m", "qtool", "worker", "-A", "proj.celery", "-Q", "celery,other", "-j2"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("QTOOL_")}
        environ |= {"PROJ_BROKER": self.url, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(HERE)}
        with self.log.open("ab") as log:
            self.worker = subprocess.Popen(
                [*command, *options], cwd=HERE, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """End it as a service manager would."""
        if self.worker is None:
            return
        self.worker.terminate()
        try:
            self.worker.wait(20)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()
        self.worker = None

    def close(self) -> None:
        """Stop, and let go of every connection."""
        self.stop()
        hang_up(self.app)
        self.redis.close()

    def task(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A signature of one of the project's tasks."""
        return self.app.signature(f"proj.tasks.{name}", args=args, kwargs=kwargs)

    def notes(self, key: str, count: int = 0) -> list[str]:
        """What a task wrote down, once there are so many lines of it."""
        return eventually(lambda: len(found := self._notes(key)) >= count and (found or [""])) if count else []

    def _notes(self, key: str) -> list[str]:
        lines: Any = self.redis.lrange(f"note:{key}", 0, -1)
        return list(lines)


@pytest.fixture(scope="module", params=WORKERS)
def fleet(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Each make in turn, running."""
    url = f"{redis_server.url}/{1 + WORKERS.index(request.param)}"
    made = Fleet(request.param, url, tmp_path_factory.mktemp(request.param) / "worker.log")
    made.redis.flushdb()
    made.start()
    try:
        yield made
    finally:
        made.close()
        sys.stderr.write(made.log.read_text(errors="replace"))
