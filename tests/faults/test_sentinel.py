"""Servers that sentinels watch: the master goes, a replica becomes the master, and everybody goes on by themselves."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from serving.redis import RedisServer
from serving.sentinel import SERVICE, RedisSentinel

from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED
from qtool.errors import BrokerDenied, BrokerError, BrokerUnreachable, ExitCode
from tests.services import need_redis

from .tools import counts, hired, jobs, judge, qtool, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter

TASK = "tests.faults.effects.effect"
APP = "tests.faults.effects"
PASSWORD = "s3rver"
WATCHWORD = "w4tch"
"""The sentinels' own password."""
PATIENCE = 60.0


class Watched:
    """A master, a replica in step with it, and sentinels that have found each other and both."""

    def __init__(self, directory: Path, stack: ExitStack, sentinels: int, *options: str) -> None:
        shared = ("--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *options)
        self._stack = stack
        self.master = RedisServer(directory / "a", *shared, password=PASSWORD)
        self._start(self.master)
        follows = ("--replicaof", f"127.0.0.1 {self.master.port}")
        self.replica = RedisServer(directory / "b", *shared, *follows, password=PASSWORD)
        self._start(self.replica)
        until(lambda: self.follows(self.replica), "a replica in step")
        quorum = sentinels // 2 + 1
        self.sentinels = [
            RedisSentinel(directory / f"s{number}", self.master, quorum=quorum, password=WATCHWORD)
            for number in range(sentinels)
        ]
        for each in self.sentinels:
            self._start(each)
        until(lambda: all(each.knows() == (1, sentinels - 1) for each in self.sentinels), "sentinels that know all")

    def _start(self, server: RedisServer) -> None:
        self._stack.callback(server.remove)
        server.start()

    def url(self, *, password: str = PASSWORD, watchword: str = WATCHWORD, service: str = SERVICE) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"sentinel://:{password}@{hosts}/{service}/0?sentinel_password={watchword}&timeout=1"

    def follows(self, server: RedisServer) -> bool:
        """Whether it is a replica with all that its master has."""
        try:
            said = server.ask(f"AUTH {PASSWORD}", "INFO replication")
        except OSError:
            # Its clients are sent away when it becomes one.
            return False
        return b"role:slave" in said and b"master_link_status:up" in said

    def leads(self, server: RedisServer) -> bool:
        """Whether every sentinel says that this one is the master."""
        return all(each.leads() == server.port for each in self.sentinels)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def directory(stack: ExitStack) -> Path:
    # Not pytest's own: the path of a unix socket has to be short.
    need_redis()
    path = Path(tempfile.mkdtemp(prefix="qtool-sentinel-"))
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def finished(adapter: Adapter) -> bool:
    try:
        return not any(counts(adapter)[state] for state in UNFINISHED)
    except BrokerError:
        return False


@pytest.mark.slow
def test_workers_follow_the_master(directory: Path, tmp_path: Path, stack: ExitStack) -> None:
    """One steps down in good order, the next is killed: what a replica had of it runs, and nothing ends twice."""
    watched = Watched(directory, stack, 3)
    url, log, effects = watched.url(), tmp_path / "log", tmp_path / "effects"
    effects.touch()
    adapter = stack.enter_context(open_broker(url))
    seconds = {"QTOOL_EFFECTS": str(effects), "QTOOL_EFFECT_SECONDS": "0.02"}
    worker = stack.enter_context(hired(url, "-A", APP, "-j", "2", "--lease", "3s", log=log, **seconds))
    until(lambda: worker.pid in {each.pid for each in adapter.inspector.snapshot().workers}, "the first beat")
    sent: list[str] = []

    def send(server: RedisServer) -> None:
        made = jobs(200, TASK)
        adapter.broker.enqueue(made)
        sent.extend(job.id for job in made)
        server.ask(f"AUTH {PASSWORD}", "WAIT 1 5000")

    send(watched.master)
    watched.sentinels[0].ask(f"AUTH {WATCHWORD}", f"SENTINEL FAILOVER {SERVICE}")
    until(lambda: watched.leads(watched.replica), "the replica as master", limit=PATIENCE)
    # As the sentinels do within ten seconds.
    watched.master.ask(f"AUTH {PASSWORD}", f"REPLICAOF 127.0.0.1 {watched.replica.port}", "CLIENT KILL TYPE normal")
    until(lambda: watched.follows(watched.master), "the master as replica", limit=PATIENCE)
    until(lambda: finished(adapter), "the last job", limit=PATIENCE)

    send(watched.replica)
    watched.replica.kill()
    done = qtool("queues", "-b", url)
    assert done.returncode == ExitCode.UNREACHABLE
    assert done.stderr.startswith("qtool: The broker at sentinel://127.0.0.1:")
    assert done.stderr.count("\n") == 1
    until(lambda: watched.leads(watched.master), "the first master again", limit=PATIENCE)
    until(lambda: finished(adapter), "the last job", limit=PATIENCE)
    for look in ("queues", "doctor", "workers"):
        done = qtool(look, "-b", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert PASSWORD not in done.stdout
        assert WATCHWORD not in done.stdout

    assert worker.poll() is None, "it gave up"
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    judge(adapter, sent, effects.read_text().split("\n")[:-1])
    said = log.read_text()
    print(said)
    assert "Traceback" not in said
    assert said.count("tries again") == said.count("answers again") in (1, 2)
    assert PASSWORD not in said


@pytest.mark.slow
def test_an_empty_replica_becomes_the_master(directory: Path, tmp_path: Path, stack: ExitStack) -> None:
    """What stood is gone, and the worker says so once; then it serves what comes."""
    watched = Watched(directory, stack, 1, "--replica-read-only", "no")
    url, log, effects = watched.url(), tmp_path / "log", tmp_path / "effects"
    effects.touch()
    adapter = stack.enter_context(open_broker(url))
    worker = stack.enter_context(hired(url, "-A", APP, "--lease", "3s", log=log, QTOOL_EFFECTS=str(effects)))
    until(lambda: worker.pid in {each.pid for each in adapter.inspector.snapshot().workers}, "the first beat")
    watched.replica.ask(f"AUTH {PASSWORD}", "FLUSHALL")
    watched.master.kill()
    until(lambda: "has lost everything" in log.read_text(), "a word about it", limit=PATIENCE)
    made = jobs(20, TASK)
    adapter.broker.enqueue(made)
    until(lambda: finished(adapter), "the last job", limit=PATIENCE)
    judge(adapter, [job.id for job in made], effects.read_text().split("\n")[:-1])
    assert log.read_text().count("has lost everything") == 1


def test_sentinels_that_cannot_help_are_one_clear_line(directory: Path, stack: ExitStack) -> None:
    watched = Watched(directory, stack, 1)

    def refusal(url: str) -> BrokerError:
        with pytest.raises(BrokerError) as raised, open_broker(url) as adapter:
            adapter.inspector.snapshot()
        assert not any(word in str(raised.value) for word in (PASSWORD, WATCHWORD, "n0pe"))
        return raised.value

    def told(url: str, kind: type[BrokerError]) -> str:
        error = refusal(url)
        assert type(error) is kind
        return str(error)

    assert "the sentinels want a password of their own" in told(watched.url(watchword="n0pe"), BrokerDenied)
    assert "invalid username-password pair" in told(watched.url(password="n0pe"), BrokerDenied)
    strange = told(watched.url(service="other"), BrokerUnreachable)
    assert "the sentinels know no master named 'other' that is alive" in strange
    watched.sentinels[0].kill()
    assert "no sentinel answers" in told(watched.url(), BrokerUnreachable)
