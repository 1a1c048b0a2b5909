"""A Redis that goes away, comes back, answers late, refuses or is another one: workers go on by themselves.

Every job that was confirmed runs, no outcome is recorded twice, and each outage is one clear line. ``QTOOL_SEED``
repeats the choices of the random runs, ``QTOOL_STORMS`` sets how many seconds of bad weather the long one has.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from serving.private import LOOPBACK

from qtool.engine.registry import open_broker
from qtool.engine.states import UNFINISHED, State
from qtool.errors import BrokerError, ExitCode

from .proxy import Proxy, storm
from .tools import counts, hired, jobs, judge, qtool, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving.redis import RedisServer

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Job
    from tests.services import MakeRedis

TASK = "tests.faults.effects.effect"
APP = "tests.faults.effects"
BATCH = 50
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
LAST = 60.0
"""Seconds within which everything is over once the weather is good."""
TIMEOUT = 0.5
"""Seconds that an answer may take in these tests."""


class Fleet:
    """Two workers that reach the server through a network of their own, and a producer that insists."""

    def __init__(self, server: RedisServer, directory: Path, stack: ExitStack, *, workers: int = 2) -> None:
        self.server = server
        self.effects = directory / "effects"
        self.effects.touch()
        self.logs = [directory / f"worker-{number}.log" for number in range(workers)]
        self.network = stack.enter_context(Proxy(server.port))
        self.adapter: Adapter = stack.enter_context(open_broker(f"{server.url}/0"))
        self.through = f"{server.url}/0?timeout={TIMEOUT}".replace(str(server.port), str(self.network.port))
        self.producer: Adapter = stack.enter_context(open_broker(self.through))
        self.sent: list[str] = []
        seconds = {"QTOOL_EFFECTS": str(self.effects), "QTOOL_EFFECT_SECONDS": "0.005"}
        options = ("-A", APP, "-j", "2", "--lease", "3s")
        self.workers: list[subprocess.Popen[bytes]] = [
            stack.enter_context(hired(self.through, *options, log=log, **seconds)) for log in self.logs
        ]
        pids = {worker.pid for worker in self.workers}
        until(
            lambda: pids <= {info.pid for info in self.adapter.inspector.snapshot().workers}, "the workers' first beat"
        )

    def insist(self, made: list[Job], *, limit: float = 60.0) -> None:
        """Enqueue the jobs, and again until it is confirmed: the same ids, so that none stands twice."""
        until(lambda: self._enqueued(made), "a confirmation", limit=limit)
        self.sent += [job.id for job in made]

    def _enqueued(self, made: list[Job]) -> bool:
        try:
            self.producer.broker.enqueue(made)
        except BrokerError:
            time.sleep(0.02)
            return False
        return True

    def load(self) -> None:
        """Keep a few hundred jobs ahead of the workers."""
        if self._ready() < 4 * BATCH:
            self.insist(jobs(BATCH, TASK))

    def _ready(self) -> int:
        try:
            return counts(self.adapter)[State.READY] if self.sent else 0
        except BrokerError:
            return 0

    def finished(self) -> bool:
        try:
            return not any(counts(self.adapter)[state] for state in UNFINISHED)
        except BrokerError:
            return False

    def lines(self) -> list[str]:
        """What the jobs have noted of their runs."""
        return self.effects.read_text().split("\n")[:-1]

    def said(self) -> list[str]:
        """What each worker has said so far."""
        return [log.read_text() for log in self.logs]

    def end(self) -> None:
        """All jobs end, the same workers that began are asked to end and do, and the oracle finds nothing."""
        try:
            until(self.finished, "the last job", limit=LAST)
        finally:
            print(counts(self.adapter), *self.said(), sep="\n")
        for worker in self.workers:
            assert worker.poll() is None, "a worker gave up"
            worker.terminate()
        assert [worker.wait(timeout=20) for worker in self.workers] == [0, 0][: len(self.workers)]
        judge(self.adapter, self.sent, self.lines())
        for said in self.said():
            assert "Traceback" not in said, said
            # One line when it begins, one when it is over: never one for every try.
            assert said.count("tries again") - said.count("answers again") in (0, 1), said


@pytest.fixture
def choose() -> random.Random:
    """What the random runs choose by; it prints its seed."""
    seed = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# --- the server goes, and comes back -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_server_is_killed_again_and_again(
    redis_servers: MakeRedis, tmp_path: Path, choose: random.Random, stack: ExitStack
) -> None:
    fleet = Fleet(redis_servers(*DURABLE), tmp_path, stack)
    for _ in range(4):
        ends = time.monotonic() + 0.3 + choose.random()
        while time.monotonic() < ends:
            fleet.load()
        fleet.server.kill()
        time.sleep(choose.random())
        fleet.server.start()
    fleet.end()
    assert all("answers again" in said for said in fleet.said())


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_server_that_is_told_to_end_and_starts_again(
    redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack
) -> None:
    """What it says at its end is an error of its own kind, and so is what it says while it reads its disk."""
    fleet = Fleet(redis_servers(*DURABLE), tmp_path, stack)
    for _ in range(3):
        fleet.load()
        fleet.server.restart()
    fleet.end()


# --- the network -------------------------------------------------------------------------------------


def weather(fleet: Fleet, choose: random.Random, seconds: float) -> None:
    """So many seconds of cuts, half-open connections, refusals and delays, under load."""
    over = threading.Event()
    happened: list[object] = []
    storming = threading.Thread(
        target=lambda: happened.append(storm(fleet.network, choose, over.is_set, longest=1.5 * TIMEOUT))
    )
    storming.start()
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            fleet.load()
    finally:
        over.set()
        storming.join()
    print(*happened)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_bad_weather(redis_servers: MakeRedis, tmp_path: Path, choose: random.Random, stack: ExitStack) -> None:
    fleet = Fleet(redis_servers(), tmp_path, stack)
    weather(fleet, choose, 8.0)
    fleet.end()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_long_bad_weather(redis_servers: MakeRedis, tmp_path: Path, choose: random.Random, stack: ExitStack) -> None:
    fleet = Fleet(redis_servers(*DURABLE), tmp_path, stack)
    ends = time.monotonic() + float(os.environ.get("QTOOL_STORMS", "300"))
    while time.monotonic() < ends:
        weather(fleet, choose, 10.0)
        fleet.server.kill()
        time.sleep(choose.random())
        fleet.server.start()
    fleet.end()


@pytest.mark.slow
def test_a_half_open_connection_is_noticed_and_replaced(
    redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack
) -> None:
    fleet = Fleet(redis_servers(), tmp_path, stack)
    fleet.insist(jobs(BATCH, TASK))
    fleet.network.stall()
    until(lambda: all("no answer within" in said for said in fleet.said()), "a word about it")
    fleet.network.cut()
    fleet.network.resume()
    fleet.insist(jobs(BATCH, TASK))
    fleet.end()


@pytest.mark.slow
def test_an_idle_worker_notices_that_its_connections_are_dead(
    redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack
) -> None:
    """Nothing is told of their end, so what they would have told of is looked for."""
    fleet = Fleet(redis_servers(), tmp_path, stack, workers=1)
    fleet.insist(jobs(1, TASK))
    until(fleet.finished, "the first job")
    fleet.network.stall()
    until(lambda: "no answer within" in fleet.said()[0], "a word about it")
    fleet.network.cut()
    fleet.network.resume()
    until(lambda: "answers again" in fleet.said()[0], "a word that it is over")
    for _ in range(3):
        fleet.insist(jobs(1, TASK))
        assert until(fleet.finished, "a job after it") < 2.0
    fleet.end()


@pytest.mark.slow
def test_a_slow_server_is_waited_for(redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack) -> None:
    fleet = Fleet(redis_servers("--enable-debug-command", "local"), tmp_path, stack)
    for _ in range(5):
        fleet.insist(jobs(BATCH, TASK))
        fleet.server.ask(f"DEBUG SLEEP {TIMEOUT / 2}")
    fleet.network.delay(TIMEOUT / 50)
    fleet.insist(jobs(BATCH, TASK))
    fleet.end()
    assert all("tries again" not in said for said in fleet.said())


# --- the server refuses ------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_memory_left(redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack) -> None:
    fleet = Fleet(redis_servers("--maxmemory-policy", "noeviction"), tmp_path, stack)
    fleet.insist(jobs(4 * BATCH, TASK))
    fleet.server.ask("CONFIG SET maxmemory 1")
    with pytest.raises(BrokerError, match="no memory left"):
        fleet.producer.broker.enqueue(jobs(1, TASK))
    until(lambda: all("no memory left" in said for said in fleet.said()), "a word about it")
    fleet.server.ask("CONFIG SET maxmemory 0")
    fleet.end()


@pytest.mark.slow
def test_a_password_that_is_changed_under_way(redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack) -> None:
    fleet = Fleet(redis_servers(password="f1rst"), tmp_path, stack)
    fleet.insist(jobs(4 * BATCH, TASK))
    fleet.server.ask("AUTH f1rst", "CONFIG SET requirepass s3cond")
    fleet.network.cut()
    until(lambda: all("does not let you in" in said for said in fleet.said()), "a word about it")
    assert fleet.server.ask("AUTH s3cond", "CONFIG SET requirepass f1rst") == b"+OK\r\n"
    fleet.end()
    assert not any("f1rst" in said for said in fleet.said())


@pytest.mark.slow
def test_a_replica_that_takes_over(redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack) -> None:
    """While it only reads, workers wait; once it is told to lead, they go on with all that stood."""
    master = redis_servers()
    replica = redis_servers("--replicaof", f"127.0.0.1 {master.port}")
    fleet = Fleet(master, tmp_path, stack)
    fleet.insist(jobs(4 * BATCH, TASK))
    for worker in fleet.workers:
        # Nothing is under way when the master goes, or it might be lost with it: replication is asynchronous.
        worker.send_signal(signal.SIGSTOP)
    master.ask("WAIT 1 5000")
    until(lambda: _offset(master) == _offset(replica), "the replica has all")
    fleet.network.lead_to(replica.port)
    master.kill()
    for worker in fleet.workers:
        worker.send_signal(signal.SIGCONT)
    until(lambda: all("read-only replica" in said for said in fleet.said()), "a word about it")
    replica.ask("REPLICAOF NO ONE")
    fleet.adapter = stack.enter_context(open_broker(f"{replica.url}/0"))
    fleet.end()


def _offset(server: RedisServer) -> str:
    found = re.search(rb"(?:master|slave)_repl_offset:(\d+)", server.ask("INFO replication"))
    assert found
    return found[1].decode()


@pytest.mark.slow
def test_an_empty_server_takes_over(redis_servers: MakeRedis, tmp_path: Path, stack: ExitStack) -> None:
    """What stood is gone, and every worker says so once; then it serves what comes."""
    fleet = Fleet(redis_servers(), tmp_path, stack)
    fleet.insist(jobs(20 * BATCH, TASK))
    empty = redis_servers()
    fleet.network.lead_to(empty.port)
    until(lambda: all("has lost everything" in said for said in fleet.said()), "a word about it")
    fleet.adapter, fleet.server, fleet.sent = stack.enter_context(open_broker(f"{empty.url}/0")), empty, []
    fleet.insist(jobs(4 * BATCH, TASK))
    until(fleet.finished, "the last job")
    judge(fleet.adapter, fleet.sent, [line for line in fleet.lines() if line.split()[0] in set(fleet.sent)])
    pids = {worker.pid for worker in fleet.workers}
    until(lambda: {info.pid for info in fleet.adapter.inspector.snapshot().workers} == pids, "the next beats")
    assert all(said.count("has lost everything") == 1 for said in fleet.said())


# --- what commands say -------------------------------------------------------------------------------

COMMANDS = (("queues",), ("enqueue", "some.task"), ("worker", "--burst"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_password_is_one_line_without_it(redis_servers: MakeRedis, command: tuple[str, ...]) -> None:
    server = redis_servers(password="right")
    done = qtool(*command, "-b", server.url.replace("right", "wr0ng") + "/0")
    assert done.returncode == ExitCode.REFUSED
    assert "does not let you in" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "wr0ng" not in done.stderr


def test_a_replica_is_looked_at_and_not_written_to(redis_servers: MakeRedis) -> None:
    master = redis_servers("--repl-diskless-sync-delay", "0")
    assert qtool("enqueue", "some.task", "-Q", "work", "-b", f"{master.url}/0").returncode == 0
    replica = redis_servers("--replicaof", f"127.0.0.1 {master.port}")
    until(lambda: b"master_link_status:up" in replica.ask("INFO replication"), "a replica in step")
    url = f"{replica.url}/0"
    for look in (("queues",), ("jobs",), ("doctor",)):
        done = qtool(*look, "-b", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert '"work' in done.stdout
    for change in (("enqueue", "some.task"), ("worker", "--burst"), ("pause", "work")):
        done = qtool(*change, "-b", url)
        assert done.returncode == ExitCode.REFUSED, done
        assert "the server is a read-only replica" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_server_that_evicts_is_refused_by_the_doctor_and_warned_of(redis_servers: MakeRedis) -> None:
    server = redis_servers("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    url = f"{server.url}/0"
    for command, code in ((("doctor",), ExitCode.FAILED), (("worker", "--burst"), ExitCode.OK)):
        done = qtool(*command, "-b", url)
        assert done.returncode == code
        assert "throws jobs away when its memory is full: maxmemory-policy is allkeys-lru" in done.stdout + done.stderr
    for harmless in ("maxmemory-policy volatile-lru", "maxmemory-policy noeviction"):
        server.ask(f"CONFIG SET {harmless}")
        assert qtool("doctor", "-b", url).returncode == 0
        assert "throws jobs away" not in qtool("worker", "--burst", "-b", url).stderr


def speak_http(client: socket.socket) -> None:
    client.recv(1000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client.recv(1000)


def speak_first(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    client.recv(1000)


def speak_nonsense(client: socket.socket) -> None:
    client.recv(1000)
    client.sendall(bytes(range(256)) * 10)
    client.recv(1000)


def say_nothing(client: socket.socket) -> None:
    while client.recv(1000):
        continue


def hang_up(client: socket.socket) -> None:
    client.close()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("behaviour", [speak_http, speak_first, speak_nonsense, say_nothing, hang_up])
def test_what_listens_is_no_redis(behaviour: Callable[[socket.socket], None], command: tuple[str, ...]) -> None:
    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    behaviour(client)

    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        done = qtool(*command, "-b", f"redis://{LOOPBACK}:{listener.getsockname()[1]}/0?timeout={TIMEOUT}")
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == ExitCode.UNREACHABLE, done
    assert "cannot be reached" in done.stderr
    assert done.stderr.count("\n") == 1


def test_nobody_listens(redis_servers: MakeRedis) -> None:
    server = redis_servers()
    server.kill()
    for command in COMMANDS:
        done = qtool(*command, "-b", f"{server.url}/0")
        assert done.returncode == ExitCode.UNREACHABLE
        assert done.stderr.count("\n") == 1
