"""How a worker ends: in stages, whatever comes when, with nothing lost."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, ROOT, Shop, eventually

pytestmark = pytest.mark.slow

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def started(shop: Shop) -> int:
    return sum(event["kind"] == "started" for event in shop.events)


def test_a_drain_has_its_time_and_then_what_runs_goes_back(shop: Shop) -> None:
    job, command = shop.add("sleep", 600.0), shop.command("sleep", "600")
    worker = shop.start("-j", "2", "--drain-timeout", "300ms")
    eventually(lambda: started(shop) == 2)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert "for at most 0.3 s" in shop.stderr
    for id in (job, command):
        assert (shop.job(id).state, shop.job(id).attempt, shop.job(id).crashes) == (State.READY, 0, 0)


def test_a_drain_that_ends_in_time_cuts_nothing_short(shop: Shop) -> None:
    gate = shop.gate()
    worker = shop.start("-j", "1", "--drain-timeout", "1h")
    eventually(gate.exists)
    worker.terminate()
    eventually(lambda: "for at most 3600 s" in shop.stderr)
    gate.rmdir()
    assert worker.wait(PATIENCE) == 0
    assert shop.count(State.SUCCEEDED) == 1


@pytest.mark.parametrize("deaf", ["task", "command"])
def test_what_ignores_every_signal_is_killed_after_the_grace_period(shop: Shop, deaf: str) -> None:
    if deaf == "task":
        job = shop.add("deaf", 600.0, policy=Policy(timeout=0.2))
    else:
        job = shop.command("trap '' TERM INT HUP; while :; do sleep 1; done", shell=True, policy=Policy(timeout=0.2))
    assert shop.patched(slots=1, grace=0.3, burst=True).wait(PATIENCE) == 0
    info = shop.job(job)
    assert (info.state, info.reason, info.crashes) == (State.DEAD, "timeout", 0)


POLITE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"
"""A command that ends with 0 when it is asked to stop, half done or not."""


def test_a_command_over_its_limit_has_not_succeeded_whatever_it_exits_with(shop: Shop) -> None:
    job = shop.command(POLITE, shell=True, policy=Policy(timeout=0.3))
    assert shop.burst("-j", "1", apps=False) == 0
    assert (shop.job(job).state, shop.job(job).reason) == (State.DEAD, "timeout")


def test_a_command_that_was_asked_to_stop_has_not_succeeded_whatever_it_exits_with(shop: Shop) -> None:
    jobs = [shop.command(POLITE, shell=True) for _ in range(2)]
    worker = shop.start("-j", "2", apps=False)
    eventually(lambda: all(shop.output(job) == b"up\n" for job in jobs))
    shop.adapter.operator.cancel(jobs[:1])
    assert shop.until(jobs[0]).state is State.CANCELLED
    for stop in (signal.SIGTERM, signal.SIGINT):
        worker.send_signal(stop)
    assert worker.wait(PATIENCE) == 0
    assert (shop.job(jobs[1]).state, shop.job(jobs[1]).attempt) == (State.READY, 0)
    assert "2 jobs" not in shop.stderr
    assert "1 job: 1 cancelled; 1 stopped and given back" in shop.stderr


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_quit_kills_at_once_and_gives_everything_back(shop: Shop, pool: str) -> None:
    jobs = [shop.add("deaf" if pool == "process" else "stubborn", 600.0) for _ in range(2)]
    jobs.append(shop.command("trap '' TERM; while :; do sleep 1; done", shell=True))
    waiting = [shop.add("echo", n) for n in range(5)]
    worker = shop.start("-j", "3", "--pool", pool)
    eventually(lambda: started(shop) == 3)
    began = time.monotonic()
    worker.send_signal(signal.SIGQUIT)
    assert worker.wait(PATIENCE) == 1
    assert time.monotonic() - began < 4
    assert [shop.job(id).state for id in (*jobs, *waiting)] == [State.READY] * 8
    assert all((shop.job(id).attempt, shop.job(id).crashes) == (0, 0) for id in (*jobs, *waiting))
    assert "Killing 3 running" in shop.stderr
    assert "Stopping" not in shop.stderr
    assert "0 jobs; 3 killed and given back" in shop.stderr


def test_a_job_that_was_claimed_and_has_not_started_is_cancelled_at_once(shop: Shop) -> None:
    log = shop.directory / "log"
    gate = shop.gate()
    ahead = [shop.add("note", str(log), str(n)) for n in range(10)]
    worker = shop.patched(slots=1, ahead=32)
    eventually(gate.exists)
    eventually(lambda: shop.job(ahead[-1]).state is State.RUNNING)
    changes = shop.adapter.operator.cancel(ahead[3:7])
    assert {change.note for change in changes} == {"asked to stop"}
    eventually(lambda: all(shop.job(id).state is State.CANCELLED for id in ahead[3:7]))
    assert not log.exists()
    gate.rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 1 + 6)
    assert sorted(map(int, log.read_text().split())) == [0, 1, 2, 7, 8, 9]
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


def test_a_command_that_was_claimed_and_has_not_started_is_cancelled_at_once(shop: Shop) -> None:
    gate = shop.directory / "gate"
    shop.command(f"mkdir {gate}; while [ -e {gate} ]; do sleep 0.01; done", shell=True)
    ahead = [shop.command("false") for _ in range(4)]
    worker = shop.patched(slots=1, ahead=32, apps=[])
    eventually(gate.exists)
    eventually(lambda: shop.job(ahead[-1]).state is State.RUNNING)
    shop.adapter.operator.cancel(ahead)
    eventually(lambda: all(shop.job(id).state is State.CANCELLED for id in ahead))
    gate.rmdir()
    eventually(lambda: shop.count(State.SUCCEEDED) == 1)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert all(shop.job(id).state is State.CANCELLED for id in ahead)


@pytest.mark.parametrize("options", [("-j", "3"), ("-j", "2", "--max-jobs", "1")])
def test_so_many_jobs_are_started_and_no_more(shop: Shop, options: tuple[str, ...]) -> None:
    """Tasks and commands together, with one that blocks a slot so that what was claimed ahead is given back."""
    gate = shop.gate()
    for n in range(100):
        shop.add("echo", n)
        shop.command("true")
    limit = 1 if "--max-jobs" in options else 51
    worker = shop.start(*options, *(() if limit == 1 else ("--max-jobs", str(limit))))
    eventually(gate.exists)
    if limit > 1:
        eventually(lambda: shop.count(State.SUCCEEDED) == limit - 1)
    gate.rmdir()
    assert worker.wait(PATIENCE) == 0
    assert (started(shop), shop.count(State.SUCCEEDED), shop.count(State.READY)) == (limit, limit, 201 - limit)


def test_what_was_to_be_ignored_when_it_was_started_ends_no_worker(shop: Shop) -> None:
    """As nohup and a shell's ``&`` ask for: it works on when the terminal is closed, and TERM still ends it."""
    words = [sys.executable, "-m", "qtool", "worker", "-b", shop.url]
    with (shop.directory / "err").open("ab") as err:
        worker = subprocess.Popen(
            ["sh", "-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
    shop.workers.append(worker)
    eventually(lambda: shop.adapter.inspector.snapshot().workers)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        worker.send_signal(number)
        assert shop.until(shop.command("true")).state is State.SUCCEEDED
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


BECAME = ("succeeded", "dead", "retried", "cancelled", "snoozed", "unstarted", "stopped", "killed", "late", "abandoned")


@pytest.mark.parametrize("storm", range(6))
def test_the_worker_s_account_adds_up_wherever_it_is_stopped(shop: Shop, storm: int) -> None:
    """What it claimed is what it says became of it, and that is what the store says."""
    print(f"QTOOL_SEED={SEED}")
    draw = random.Random(SEED + storm)
    again, for_ever = Policy(retries=3, backoff=0.01), Policy(retries=9, backoff=3600)
    jobs = shop.add_many("echo", 1500)
    for _ in range(25):
        jobs += [
            shop.add("fail", "x", policy=again),
            shop.add("fail", "x", policy=for_ever),
            shop.add("put_off_for", "snooze", "3600"),
            shop.add("sleep", 0.05),
            shop.command("exit 3", policy=for_ever),
            shop.command("sleep", "0.05"),
        ]
    jobs += [shop.add("stubborn", 600.0), shop.command("trap '' TERM; while :; do sleep 0.1; done", shell=True)]
    if storm % 2:
        jobs = draw.sample(jobs, len(jobs))
    worker = shop.patched(slots=4, grace=0.3, drain_timeout=0.5 if storm % 3 else None)
    enough = draw.randrange(1500)
    eventually(lambda: shop.count(State.SUCCEEDED) > enough)
    time.sleep(draw.random() * 0.5)
    for job in draw.sample(jobs, 50):
        if draw.random() < 0.5:
            shop.adapter.operator.cancel([job])
        else:
            shop.adapter.operator.kill([job])
    deadline = time.monotonic() + PATIENCE
    while worker.poll() is None:
        assert time.monotonic() < deadline
        worker.send_signal(draw.choice((*STOPS, *STOPS, signal.SIGQUIT)))
        time.sleep(draw.random() * draw.choice((0.01, 0.5)))
    told = json.loads((shop.directory / "out").read_text().splitlines()[-1])
    assert told["claimed"] == sum(told[name] for name in BECAME), told
    assert worker.returncode == (1 if told["killed"] else 0)
    assert (told["late"], told["abandoned"], told["running"]) == (0, 0, 0)
    assert shop.count(State.RUNNING) == 0
    assert told["succeeded"] == shop.count(State.SUCCEEDED)
    assert told["dead"] == shop.count(State.DEAD)
    history = shop.adapter.inspector.history(0, time.time() + 1, seconds=3600)
    assert told["retried"] == sum(bucket.retried for bucket in history)
    assert sum(bucket.started for bucket in history) == told["claimed"]


SEED = int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))


@pytest.mark.parametrize("storm", range(8))
def test_a_storm_of_signals_loses_nothing(shop: Shop, storm: int) -> None:
    """Into the start, the flow of commits, the drain and the end: every job ends once, and the worker signs off."""
    print(f"QTOOL_SEED={SEED}")
    draw = random.Random(SEED + storm)
    jobs = shop.add_many("echo", 3000)
    jobs += [shop.command("true") for _ in range(30)]
    worker = shop.start("-q", "-j", "2")
    if storm:
        enough = draw.randrange(2500)
        eventually(lambda: shop.count(State.SUCCEEDED) > enough)
    else:
        eventually(lambda: shop.adapter.inspector.snapshot().workers)
    while worker.poll() is None:
        worker.send_signal(draw.choice(STOPS))
        time.sleep(draw.random() * draw.choice((0.0, 0.001, 0.02)))
    assert worker.returncode in (0, 1), shop.stderr
    assert "Traceback" not in shop.stderr
    # Nothing is left to be rescued: it signed off.
    assert shop.adapter.inspector.snapshot().workers == ()
    assert shop.count(State.RUNNING) == 0
    assert shop.count(State.SUCCEEDED) + shop.count(State.READY) == len(jobs)
    assert shop.burst("-q") == 0
    assert shop.count(State.SUCCEEDED) == len(jobs)
    assert all(info is not None and (info.attempt, info.crashes) == (1, 0) for info in shop.adapter.inspector.get(jobs))
    history = shop.adapter.inspector.history(0, time.time() + 1, seconds=3600)
    assert sum(bucket.succeeded for bucket in history) == len(jobs)
    assert shop.adapter.inspector.check() == []


@pytest.mark.parametrize("signals", [1, 2, 5])
def test_the_line_of_a_terminal_is_left_clean(shop: Shop, signals: int) -> None:
    """The live line is gone, each sentence has a line of its own, and the last one is the summary."""
    shop.command("trap '' TERM; sleep 600 & wait; wait" if signals > 2 else "exec sleep 600", shell=True)
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "qtool", "worker", "-b", shop.url, "-j", "1", "--drain-timeout", "1s"]
    worker = subprocess.Popen(
        words, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}
    )
    shop.workers.append(worker)
    os.close(slave)
    screen = bytearray()

    def seen(text: bytes) -> bool:
        with suppress(OSError):
            screen.extend(os.read(master, 65536))
        return text in screen

    eventually(lambda: seen(b"1 running"))
    answers = iter((b"Once more stops", b"Once more kills"))
    for _ in range(signals):
        worker.send_signal(signal.SIGINT)
        if answer := next(answers, None):
            eventually(lambda answer=answer: seen(answer))  # type: ignore[misc]
    with suppress(OSError):
        while data := os.read(master, 65536):
            screen.extend(data)
    assert worker.wait(PATIENCE) == (1 if signals > 2 else 0)
    os.close(master)
    lines = [visible(line) for line in screen.decode().split("\n")]
    assert lines[-1] == ""
    assert re.fullmatch(r"qtool: 0 jobs.*", lines[-2]), lines
    assert all(line == "" or line.startswith("qtool: ") for line in lines), lines


def visible(line: str) -> str:
    """What a terminal shows of a line in the end."""
    shown = ""
    for part in line.rstrip("\r").split("\r"):
        wiped = part.startswith("\x1b[2K")
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", part)
        cut = wiped or "\x1b[K" in part
        shown = text if cut else text + shown[len(text) :]
    return shown
