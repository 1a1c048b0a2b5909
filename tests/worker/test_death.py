"""kill -9, at the worst of moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import State
from qtool.engine.worker.session import members
from tests.worker.conftest import PATIENCE, ROOT, Shop, alive, children_of, eventually

pytestmark = pytest.mark.slow


def test_nothing_outlives_a_killed_supervisor(shop: Shop) -> None:
    pids = [shop.directory / name for name in ("task", "command")]
    task = shop.add("spawn", str(pids[0]))
    command = shop.command(f"echo $$ > {pids[1]}; exec sleep 600", shell=True)
    unstarted = [shop.add("sleep", 600) for _ in range(3)]
    worker = shop.start("-j", "2")
    eventually(lambda: all(path.exists() and path.read_text().strip() for path in pids))
    family = [*children_of(worker.pid), *(int(path.read_text()) for path in pids)]
    assert len(family) >= 5
    worker.kill()
    worker.wait()
    killed_at = time.monotonic()
    eventually(lambda: not any(alive(pid) for pid in family), within=2)
    eventually(lambda: shop.adapter.broker.maintain().rescued or shop.job(task).state is not State.RUNNING, within=2)
    assert time.monotonic() - killed_at < 1.5
    for id in (task, command):
        info = shop.job(id)
        assert (info.crashes, info.state in (State.RETRY, State.READY)) == (1, True)
    for id in unstarted:
        assert shop.job(id).crashes == 0


def test_a_killed_child_is_replaced(shop: Shop) -> None:
    first = shop.add("sleep", 600)
    worker = shop.start("-j", "1")
    eventually(lambda: any(event["kind"] == "started" for event in shop.events))
    child = next(pid for pid in children_of(worker.pid) if b"worker.child" in Path(f"/proc/{pid}/cmdline").read_bytes())
    shop.adapter.operator.cancel([first])
    os.kill(child, signal.SIGKILL)
    shop.until(first)
    after = shop.add("echo", 1)
    assert shop.until(after).state is State.SUCCEEDED


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_process_may_die_between_a_request_to_stop_and_its_killing(shop: Shop, pool: str) -> None:
    asked = shop.directory / "asked"
    task = shop.add("undaunted", str(asked), policy=Policy(timeout=0.2))
    worker = shop.patched(slots=1, pool=pool, grace=0.5)
    eventually(asked.exists)
    child = next(pid for pid in children_of(worker.pid) if b"worker.child" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(child, signal.SIGKILL)
    shop.until(task)
    after = shop.add("sleep", 0.8)
    assert shop.until(after).state is State.SUCCEEDED
    assert (shop.job(after).attempt, worker.poll()) == (1, None)


def test_killed_children_leave_no_descriptor_behind(shop: Shop) -> None:
    worker = shop.patched(slots=1)
    shop.until(shop.add("echo", 0))
    before = len(os.listdir(f"/proc/{worker.pid}/fd"))
    for _ in range(4):
        shop.until(shop.add("crash", "kill", policy=Policy(on_crash="dead")))
        shop.until(shop.add("echo", 0))
    assert len(os.listdir(f"/proc/{worker.pid}/fd")) <= before


def test_a_killed_launcher_is_replaced(shop: Shop) -> None:
    pid_file = shop.directory / "pid"
    command = shop.command(f"echo $$ > {pid_file}; exec sleep 600", shell=True)
    worker = shop.start("-j", "1", apps=False)
    pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text().strip()))
    pid_file.unlink()
    launcher = children_of(worker.pid)[0]
    os.kill(launcher, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    again = int(eventually(lambda: pid_file.exists() and pid_file.read_text().strip()))
    assert again != pid
    assert shop.job(command).crashes == 1


def more_lines(log: Path, count: int) -> bool:
    return len(log.read_text().split()) > count


def ended(session: int) -> bool:
    return not alive(session) and not members(session)


def test_no_command_outlives_a_launcher_that_is_killed_while_it_starts_others(shop: Shop) -> None:
    log = shop.directory / "pids"
    log.touch()
    for _ in range(6):
        worker = shop.start("-j", "8", apps=False)
        ids = [shop.command(f"echo $$ >> {log}; exec sleep 600", shell=True) for _ in range(8)]
        # Some have begun, others are about to.
        eventually(partial(more_lines, log, len(log.read_text().split()) + random.randrange(4)))
        (launcher,) = children_of(worker.pid)
        os.kill(launcher, signal.SIGKILL)
        eventually(partial(ended, launcher))
        shop.adapter.operator.kill(ids)
        worker.send_signal(signal.SIGQUIT)
        worker.wait(PATIENCE)
    assert not any(alive(int(pid)) for pid in log.read_text().split())


FROZEN = """
import sys
from qtool.engine.registry import open_broker
from qtool.engine.worker.options import WorkerOptions
from qtool.engine.worker.supervisor import Worker
with open_broker(sys.argv[1]) as adapter:
    options = WorkerOptions(apps=("tests.worker.app",), lease=1.0, burst=True)
    print(Worker(adapter, options).run().late, flush=True)
"""


def test_an_outcome_after_the_lease_is_refused(shop: Shop) -> None:
    """A worker is frozen and its job taken over; what it has to say when it thaws changes nothing."""
    log = shop.directory / "log"
    job = shop.add("which_attempt", str(log))
    worker = subprocess.Popen([sys.executable, "-c", FROZEN, shop.url], cwd=ROOT, stdout=subprocess.PIPE)
    shop.workers.append(worker)
    shop.until(job, State.RUNNING)
    # Only the supervisor: its child goes on, and ends the job while nobody listens.
    os.kill(worker.pid, signal.SIGSTOP)
    eventually(lambda: log.exists() and log.read_text() == "1\n")
    eventually(lambda: shop.adapter.broker.maintain().rescued)
    info = shop.job(job)
    assert (info.crashes, info.state in (State.RETRY, State.READY)) == (1, True)
    os.kill(worker.pid, signal.SIGCONT)
    out, _ = worker.communicate(timeout=20)
    info = shop.job(job)
    assert (info.state, info.attempt, info.crashes) == (State.SUCCEEDED, 2, 1)
    assert shop.result(job) == 2
    assert log.read_text() == "1\n2\n"
    assert int(out) == 1
