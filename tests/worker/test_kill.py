"""Cancelling and killing running jobs from another process: what stops is cancelled, what cannot be stopped says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, ROOT, Shop, alive, children_of, eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

GRACE = 0.3


def act(shop: Shop, verb: str, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The verb in a process of its own: exit code, and the report on each job."""
    words = [sys.executable, "-m", "qtool", verb, "-b", shop.url, "-o", "jsonl", *arguments]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, {row["id"]: row for row in map(json.loads, ran.stdout.splitlines())}


def marks(shop: Shop, count: int) -> list[Path]:
    return [shop.directory / f"mark-{n}" for n in range(count)]


def stuck(shop: Shop, kind: str, mark: Path) -> str:
    """A job that ignores every request to stop, and says when it has begun."""
    if kind == "command":
        return shop.command(f"trap '' TERM INT HUP; mkdir {mark}; while :; do sleep 1; done", shell=True)
    return shop.add(kind, str(mark), 600.0)


def running(shop: Shop, kind: str, count: int, **options: Any) -> tuple[subprocess.Popen[bytes], list[str]]:
    """A worker and so many stuck jobs in it; the jobs really run."""
    began = marks(shop, count)
    jobs = [stuck(shop, kind, mark) for mark in began]
    worker = shop.patched(slots=count + 1, grace=GRACE, **options)
    eventually(lambda: all(mark.exists() for mark in began))
    return worker, jobs


@pytest.mark.parametrize("kind", ["command", "call_in_c", "ignores_everything"])
@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_what_ignores_everything_is_cancelled_where_it_can_be_killed(shop: Shop, verb: str, kind: str) -> None:
    worker, jobs = running(shop, kind, 2)
    neighbour = shop.add("sleep", 2.0)
    began = time.monotonic()
    code, told = act(shop, verb, *jobs)
    assert time.monotonic() - began < 8
    assert code == 0
    assert [(told[id]["before"], told[id]["after"], told[id]["note"]) for id in jobs] == [
        ("running", "cancelled", None)
    ] * 2
    assert [(shop.job(id).state, shop.job(id).crashes) for id in jobs] == [(State.CANCELLED, 0)] * 2
    assert shop.until(neighbour).state is State.SUCCEEDED
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert json.loads((shop.directory / "out").read_text().splitlines()[-1])["cancelled"] == 2


def test_a_killed_job_is_not_given_the_grace_of_a_cancelled_one(shop: Shop) -> None:
    mark = marks(shop, 1)[0]
    for kind in ("ignores_everything", "command"):
        job = stuck(shop, kind, mark)
        worker = shop.patched(slots=1, grace=60.0)
        eventually(mark.exists)
        assert act(shop, "cancel", job, "--wait", "300ms")[0] == 3
        # Also one that was asked before, and has not listened.
        code, told = act(shop, "kill", job)
        assert (code, told[job]["after"]) == (0, "cancelled")
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
        mark.rmdir()


def test_kill_ends_all_that_the_job_started(shop: Shop) -> None:
    pids = marks(shop, 2)
    jobs = [
        shop.add("spawn", str(pids[0])),
        shop.command(f"sleep 600 & echo $! > {pids[1]}; wait", shell=True),
    ]
    worker = shop.patched(slots=2, grace=60.0)
    eventually(lambda: all(path.exists() and path.read_text().strip() for path in pids))
    started = [int(path.read_text()) for path in pids]
    assert act(shop, "kill", *jobs)[0] == 0
    eventually(lambda: not any(alive(pid) for pid in started))
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


@pytest.mark.parametrize(("pool", "kind"), [("thread", "call_in_c"), ("async", "blocks_the_loop")])
@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_what_cannot_be_stopped_says_so(shop: Shop, verb: str, pool: str, kind: str) -> None:
    worker, (job,) = running(shop, kind, 1, pool=pool)
    code, told = act(shop, verb, job, "--wait", "1500ms")
    assert code == 3
    assert told[job]["after"] == "running"
    assert "still running: it cannot be stopped" in told[job]["note"]
    assert "cannot be stopped in this pool" in shop.stderr
    for stop in (signal.SIGTERM, signal.SIGQUIT):
        worker.send_signal(stop)
    assert worker.wait(PATIENCE) in (0, 1)
    # It had been asked to stop: it does not run again.
    assert shop.job(job).state is State.CANCELLED


@pytest.mark.parametrize(("pool", "kind"), [("thread", "spin"), ("async", "doze"), ("process", "spin")])
@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_what_listens_is_cancelled_and_its_neighbour_goes_on(shop: Shop, verb: str, pool: str, kind: str) -> None:
    job, neighbour = shop.add(kind, 600.0), shop.add(kind, 2.0)
    worker = shop.patched(slots=2, grace=60.0, pool=pool)
    eventually(lambda: all(shop.job(id).state is State.RUNNING for id in (job, neighbour)))
    code, told = act(shop, verb, job)
    assert (code, told[job]["after"]) == (0, "cancelled")
    assert shop.until(neighbour).state is State.SUCCEEDED
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_jobs_that_are_just_ending_end_once_whatever_is_asked_of_them(shop: Shop, verb: str) -> None:
    worker = shop.patched(slots=4)
    for round in range(6):
        jobs = [shop.add("sleep", 0.005 * (n + round)) for n in range(20)]
        jobs += [shop.command("sleep", f"{0.005 * (n + round)}") for n in range(10)]
        _, told = act(shop, verb, *jobs)
        assert set(told) == set(jobs)
        for id in jobs:
            info = shop.until(id)
            assert info.state in (State.SUCCEEDED, State.CANCELLED)
            assert told[id]["after"] == info.state
            assert info.crashes == 0
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert shop.adapter.inspector.check() == []


@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_the_job_of_a_dead_worker_is_cancelled_though_no_other_worker_is_there(shop: Shop, verb: str) -> None:
    worker, (job,) = running(shop, "call_in_c", 1)
    family = children_of(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    code, told = act(shop, verb, job)
    assert (code, told[job]["before"], told[job]["after"]) == (0, "running", "cancelled")
    assert not any(alive(pid) for pid in family)
