"""The servers that other tests rely on: private, empty, and there again after every kind of end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from serving.private import NotServing

from tests.services import need_redis, place

if TYPE_CHECKING:
    from serving.redis import RedisServer

    from tests.services import MakeRedis

SERVICES = Path(__file__).parents[1] / "scripts" / "services"


def test_a_server_keeps_what_it_was_told_to_when_it_is_killed(redis_servers: MakeRedis) -> None:
    server = redis_servers("--appendonly", "yes", "--appendfsync", "always")
    assert server.ask("SET k v") == b"+OK\r\n"
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        server.ask("PING")
    server.restart()
    assert server.ask("GET k") == b"$1\r\nv\r\n"
    server.restart()
    assert server.ask("GET k") == b"$1\r\nv\r\n"


def test_servers_share_nothing(redis_servers: MakeRedis, redis_server: RedisServer) -> None:
    one, other = redis_servers(), redis_servers()
    one.ask("SET k v")
    assert other.ask("DBSIZE") == b":0\r\n"
    assert len({one.port, other.port, redis_server.port}) == 3
    assert place(redis_server) != place(redis_server)
    assert one.unix_socket.is_socket()


def test_a_password_and_tls(redis_servers: MakeRedis) -> None:
    server = redis_servers(password="p@ss/word", tls=True)
    assert server.ask("GET k").startswith(b"-NOAUTH")
    assert server.url == f"rediss://:p%40ss%2Fword@127.0.0.1:{server.port}"


def test_a_server_that_cannot_start_says_why(redis_servers: MakeRedis) -> None:
    with pytest.raises(NotServing, match="no-such-option"):
        redis_servers("--no-such-option", "1")


def test_the_script_starts_one_server_however_often_and_stops_it(tmp_path: Path) -> None:
    need_redis()

    def services(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "QTOOL_SERVICES": str(tmp_path)}
        return subprocess.run([str(SERVICES), *arguments], capture_output=True, text=True, check=False, env=env)

    assert services("status").returncode == 3
    try:
        first = services("start")
        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith("export QTOOL_TEST_REDIS='redis://127.0.0.1:")
        assert services("start", "redis").stdout == first.stdout == services("status").stdout
        noted = json.loads(services("status", "--json").stdout)["redis"]
        assert os.path.exists(f"/proc/{noted['pid']}") or not os.path.exists("/proc")
    finally:
        stopped = services("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "redis is stopped" in stopped.stderr
    assert services("status").returncode == 3
    assert list(tmp_path.glob("redis/*")) == []
