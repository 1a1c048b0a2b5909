"""Real servers for tests, each a process that the tests start themselves and nobody else uses.

Fixtures, for every test (:mod:`tests.conftest` takes them in): ``redis_server``, one for the whole run;
``redis_servers``, which makes more of them, with whatever options, for one test; ``redis_url``, an empty place of the
test's own on the first. Where there is no server to start they skip, and fail in continuous integration (``CI=true``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from serving import redis
from serving.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

MakeRedis = Callable[..., RedisServer]
"""A running server with these options of its own; ``password=``, ``tls=``."""

_places = count(1)

_shared: list[RedisServer] = []
"""The one of ``redis_server``, while it is there."""


def need_redis() -> None:
    """Go on only where there is a Redis to start."""
    if redis.program() is None:
        why = "NOTHING IS TESTED ON REDIS: no redis-server here; scripts/services install redis"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that cannot be run are skipped from here, all of them: so they are one line in the summary."""
    asked = set(getattr(item, "fixturenames", ()))
    params = getattr(getattr(item, "callspec", None), "params", {})
    if asked & {"redis_server", "redis_servers", "redis_url"} or "redis" in (params.get("fresh"), params.get("broker")):
        need_redis()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Each module finds the shared server empty: to go over what all before it have left takes ever longer."""
    if nextitem is not None and nextitem.path != item.path:
        for server in _shared:
            server.ask("FLUSHALL")


def place(server: RedisServer) -> str:
    """The address of a part of the server that nothing has used: a prefix of its own."""
    return f"{server.url}/0?prefix=t{next(_places)}:"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The one that tests share; one that stops it starts it again."""
    need_redis()
    # Not pytest's own directory: the path of a unix socket has to be short.
    server = RedisServer(Path(tempfile.mkdtemp(prefix="qtool-redis-")))
    try:
        server.start()
        _shared.append(server)
        yield server
    finally:
        _shared.clear()
        server.remove()


@pytest.fixture
def redis_servers() -> Iterator[MakeRedis]:
    """Servers for one test, to be broken as it likes."""
    need_redis()
    directory = Path(tempfile.mkdtemp(prefix="qtool-redis-"))
    made: list[RedisServer] = []

    def make(*options: str, password: str | None = None, tls: bool = False) -> RedisServer:
        server = RedisServer(directory / str(len(made)), *options, password=password, tls=tls)
        made.append(server)
        server.start()
        return server

    try:
        yield make
    finally:
        for server in made:
            server.remove()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty place on the shared server."""
    return place(redis_server)
