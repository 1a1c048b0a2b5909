"""A Celery deployment on a real server, and qtool's eyes on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from qtool.engine.brokers.redis import open_redis
from tests.redis.proj import application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

    from qtool.engine.broker import Adapter, Inspector, ResultStore


@dataclass
class Deployment:
    """A Celery application, its server, and an Inspector that has never been there."""

    url: str
    """With the prefix, as qtool takes it."""
    prefix: str
    app: Celery
    server: Redis
    """A client of its own, that answers in bytes."""
    adapter: Adapter

    @property
    def inspector(self) -> Inspector:
        return self.adapter.inspector

    @property
    def results(self) -> ResultStore:
        return self.adapter.results

    def send(self, task: str, *args: object, **options: Any) -> str:
        """Publish a task; its id."""
        return str(self.app.send_task(task, args, **options).id)

    @contextmanager
    def worker(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A real worker; stopped at the end."""
        here = {"CELERY_URL": self.url.partition("?")[0], "CELERY_PREFIX": self.prefix}
        command = [sys.executable, "-m", "celery", "-A", "tests.redis.proj", "worker", "--pool", "solo", *words]
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
            env={**os.environ, **here},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def celery(redis_url: str) -> Iterator[Deployment]:
    server, _, prefix = redis_url.partition("?prefix=")
    app = application(server, prefix)
    client = Redis.from_url(server)
    with open_redis(redis_url) as adapter:
        yield Deployment(redis_url, prefix, app, client, adapter)
    app.close()
    client.close()


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition, with a bound."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
