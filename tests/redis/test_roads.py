"""The ways to a server that a URL can name, each gone on a real one: TLS, a Unix socket, a user with few rights.

The conformance suite goes the plain one.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from serving.redis import RedisServer

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.errors import BrokerDenied, BrokerUnreachable, QtoolError, UsageError
from tests.faults.tools import hired, qtool, until
from tests.redis.proj import application
from tests.services import need_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services import MakeRedis

PASSWORD = "p@ss/w0rd"
SECRET = "s3cret"
RIGHTS = f"on >{SECRET} ~shop:* &shop:* +@all -@dangerous -@admin"
"""What a server that others use as well gives away: a part of the keys and channels, and no command that hurts."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """TLS on its port, a password, and a user of few rights."""
    need_redis()
    made = RedisServer(Path(tempfile.mkdtemp(prefix="qtool-redis-")), password=PASSWORD, tls=True)
    try:
        made.start()
        made.ask(f"AUTH {PASSWORD}", f"ACL SETUSER clerk {RIGHTS}", "FLUSHALL")
        yield made
    finally:
        made.remove()


def roads(server: RedisServer) -> dict[str, str]:
    """URLs that lead there."""
    ca = f"ssl_ca_certs={quote(str(server.authority), safe='')}"
    return {
        "tls": f"{server.url}/1?{ca}",
        "celery": f"{server.url}/2?ssl_cert_reqs=CERT_REQUIRED&{ca}",
        "unix": f"redis+socket://:{quote(PASSWORD, safe='')}@{server.unix_socket}?db=3",
        "clerk": f"rediss://clerk:{SECRET}@127.0.0.1:{server.port}/4?prefix=shop:&{ca}",
    }


@pytest.mark.parametrize("road", ["tls", "unix", "clerk"])
def test_jobs_and_their_results_go_every_way(server: RedisServer, road: str, tmp_path: Path) -> None:
    """A producer, an idle worker that is woken, a look at it all; and the password stands nowhere."""
    url = roads(server)[road]
    log = tmp_path / "log"
    with open_broker(url) as adapter, hired(url, "-A", "examples.tasks", "-v", log=log) as worker:
        until(lambda: worker.pid in {each.pid for each in adapter.inspector.snapshot().workers}, "the first beat")
        for number in range(2):
            done = qtool("enqueue", "-b", url, "examples.tasks.add", f":={number}", ":=1", "--wait")
            assert done.returncode == 0, done.stderr
            assert json.loads(qtool("result", "-b", url, done.stdout.strip()).stdout) == number + 1
        for look in ("queues", "workers", "doctor"):
            done = qtool(look, "-b", url)
            assert (done.returncode, done.stderr) == (0, "")
            assert PASSWORD not in done.stdout
            assert quote(PASSWORD, safe="") not in done.stdout
            assert SECRET not in done.stdout
        worker.terminate()
        assert worker.wait(timeout=20) == 0
    said = log.read_text()
    assert "Traceback" not in said
    assert not any(secret in said for secret in (PASSWORD, quote(PASSWORD, safe=""), SECRET))


def test_a_celery_client_and_a_worker_of_ours_meet_over_tls(server: RedisServer, tmp_path: Path) -> None:
    url = roads(server)["celery"]
    app = application(url, "")
    with hired(url, "-A", "examples.tasks", log=tmp_path / "log"):
        assert app.send_task("examples.tasks.add", (2, 3)).get(timeout=30) == 5
    app.close()


def test_a_user_kept_from_celerys_channels_has_workers_without_remote_control(
    server: RedisServer, tmp_path: Path
) -> None:
    """They run jobs, and say what they lack."""
    url = roads(server)["clerk"].replace("clerk:", "mute:")
    server.ask(f"AUTH {PASSWORD}", f"ACL SETUSER mute {RIGHTS} resetchannels &shop:qtool:*")
    log = tmp_path / "log"
    with hired(url, "-A", "examples.tasks", log=log) as worker:
        until(lambda: "no remote control" in log.read_text(), "the line")
        until(lambda: "do not see this worker" in log.read_text(), "the other line")
        done = qtool("enqueue", "-b", url, "examples.tasks.add", ":=1", ":=1", "--wait")
        assert done.returncode == 0, done.stderr
        worker.terminate()
        assert worker.wait(timeout=20) == 0
    assert log.read_text().count("do not see") == 1


# --- bells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("road", ["tls", "unix"])
def test_no_ring_is_missed(server: RedisServer, road: str) -> None:
    """Also where many arrive at once, more than one read takes."""
    url = roads(server)[road]
    with open_broker(url) as other, open_broker(url) as adapter, closing(adapter.broker.listen("ready")) as bell:
        queues = [f"q{number}" for number in range(500)]
        adapter.broker.claim("w", queues, 1)
        while bell.wait(0.1):
            continue
        other.broker.enqueue([Job(id=new_id(), task="t", queue=queue, created_at=0.0) for queue in queues])
        assert bell.wait(20)
        while bell.wait(0.5):
            continue
        for _ in range(20):
            other.broker.enqueue([Job(id=new_id(), task="t", queue="q7", created_at=0.0)])
            assert bell.wait(20)
            while bell.wait(0.02):
                continue


@contextmanager
def standing_still(server: RedisServer, seconds: float) -> Iterator[None]:
    """It takes nothing for a while."""
    assert server.process is not None
    pid = server.process.pid
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize("road", ["tls", "unix"])
def test_a_server_that_takes_its_time_to_listen_keeps_its_bell(server: RedisServer, road: str) -> None:
    """More is asked than the network holds: the rest goes when there is room."""
    url = roads(server)[road]
    with open_broker(url) as adapter, closing(adapter.broker.listen("ready")) as bell:
        while bell.wait(0.1):
            continue
        queues = [f"{number}{'q' * 5000}" for number in range(1000)]
        with standing_still(server, 0.5):
            adapter.broker.claim("w", queues, 1)
        assert not bell.wait(0.2), "its connection is another"


def test_the_card_says_what_a_user_may_not_see(server: RedisServer) -> None:
    with open_broker(roads(server)["clerk"]) as adapter:
        assert dict(adapter.capabilities.weakened)[2] == (
            "the server does not show whether it throws jobs away when its memory is full"
        )
        assert list(adapter.capabilities.hazards) == []


# --- what is said where a way is closed --------------------------------------------------------------


def refusals(server: RedisServer) -> dict[str, tuple[str, type[Exception], str]]:
    """By what is wrong: a URL, and how it is refused."""
    plain, ca = f"127.0.0.1:{server.port}", f"ssl_ca_certs={server.authority}"
    secret = quote(PASSWORD, safe="")
    return {
        "unknown": (
            f"{server.url}/0",
            BrokerUnreachable,
            "its certificate is refused: self-signed certificate (?ssl_c",
        ),
        "another's": (
            f"rediss://:{secret}@127.1:{server.port}/0?{ca}",
            BrokerUnreachable,
            "its certificate is refused: Hostname mismatch, certificate is not valid for '127.1'.",
        ),
        "no file": (f"{server.url}/0?ssl_ca_certs=/no/such", UsageError, "ssl_ca_certs names '/no/such', which cannot"),
        "no certificate": (f"{server.url}/0?ssl_ca_certs={__file__}", BrokerUnreachable, "no certificate or crl found"),
        "no TLS here": (
            f"redis://:{secret}@{plain}/0",
            BrokerUnreachable,
            "cannot be reached: Connection reset by peer",
        ),
        "password": (f"rediss://:n0pe@{plain}/0?{ca}", BrokerDenied, "invalid username-password pair"),
        "no password": (f"rediss://{plain}/0?{ca}", BrokerDenied, "Authentication required"),
        "user": (f"rediss://nobody:n0pe@{plain}/0?{ca}", BrokerDenied, "invalid username-password pair"),
        "keys": (
            f"rediss://clerk:{SECRET}@{plain}/0?prefix=other:&{ca}",
            BrokerDenied,
            "can't access at least one of the keys",
        ),
        "no socket": (
            "redis+socket:///no/such.sock",
            BrokerUnreachable,
            "cannot be reached: No such file or directory",
        ),
        "socket": (f"redis+socket://{server.unix_socket}", BrokerDenied, "Authentication required"),
    }


@pytest.mark.parametrize("wrong", refusals(RedisServer(Path("/"))))
def test_a_closed_way_is_one_clear_line(server: RedisServer, wrong: str) -> None:
    url, kind, said = refusals(server)[wrong]
    with pytest.raises(QtoolError) as raised, open_broker(url) as adapter:
        adapter.broker.enqueue([Job(id=new_id(), task="t", created_at=0.0)])
    assert type(raised.value) is kind
    told = str(raised.value)
    assert said in told
    assert "n0pe" not in told
    assert SECRET not in told
    assert PASSWORD not in told
    assert quote(PASSWORD, safe="") not in told


def test_tls_where_there_is_none(redis_server: RedisServer) -> None:
    with (
        pytest.raises(BrokerUnreachable, match="no answer in TLS"),
        open_broker(f"rediss://127.0.0.1:{redis_server.port}/0?timeout=0.5") as adapter,
    ):
        adapter.inspector.snapshot()


def test_a_server_that_wants_a_certificate_gets_one(redis_servers: MakeRedis) -> None:
    """Without one it hangs up; its reason may be lost then."""
    server = redis_servers(tls=True)
    trusted = f"{server.url}/0?ssl_ca_certs={server.authority}"
    assert server.ask("CONFIG SET tls-ca-cert-file certificate.pem tls-auth-clients yes") == b"+OK\r\n"
    with (
        pytest.raises(BrokerUnreachable, match=r"wants a certificate of yours|reset by peer|Broken pipe"),
        open_broker(trusted) as adapter,
    ):
        adapter.inspector.snapshot()
    shown = f"{trusted}&ssl_certfile={server.authority}&ssl_keyfile={server.key}"
    with open_broker(shown) as adapter, closing(adapter.broker.listen("ready")):
        assert adapter.inspector.snapshot().queues == ()
