"""Command jobs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import Reason, State
from tests.worker.conftest import Shop, alive, eventually

pytestmark = pytest.mark.slow


def test_exit_codes_signals_and_output(shop: Shop) -> None:
    good = shop.command("sh", "-c", "echo out; echo err >&2")
    bad = shop.command("sh", "-c", "exit 3")
    shot = shop.command("sh", "-c", "kill -9 $$")
    script = shop.command("printf 'a\\nb\\n' | wc -l; echo $0", shell=True)
    odd = shop.command("printf", "\\377\\033[31m")
    assert shop.burst("-j", "2", apps=False) == 0
    assert shop.result(good) == {"exit_code": 0}
    assert (shop.output(good, "stdout"), shop.output(good, "stderr")) == (b"out\n", b"err\n")
    assert shop.output(script, "stdout").split()[0] == b"2"
    assert shop.output(odd) == b"\xff\x1b[31m"
    for id, kind, code, signum in ((bad, "ExitCode", 3, None), (shot, "Signal", None, 9)):
        info = shop.job(id)
        assert info.state is State.DEAD
        assert info.error is not None
        assert (info.error.type, info.error.exit_code, info.error.signal) == (kind, code, signum)


def test_what_cannot_be_started(shop: Shop) -> None:
    retried = Policy(retries=5)
    jobs = {
        shop.command("no-such-command-here", policy=retried): ("CommandNotFound", 127),
        shop.command("/etc/passwd", policy=retried): ("CannotExecute", 126),
        shop.command("true", cwd="/no/such/place", policy=retried): ("NoDirectory", 126),
    }
    broken = shop.add("qtool.exec", 1, 2)
    assert shop.burst(apps=False) == 0
    for id, (kind, code) in jobs.items():
        info = shop.job(id)
        assert (info.state, info.attempt) == (State.DEAD, 1)
        assert info.error is not None
        assert (info.error.type, info.error.exit_code) == (kind, code)
    assert shop.job(broken).reason is Reason.UNDECODABLE


def test_where_it_runs_and_with_what(shop: Shop) -> None:
    place = shop.directory / "place"
    place.mkdir()
    (place / "here").write_text("#!/bin/sh\npwd\n")
    (place / "here").chmod(0o755)
    there = shop.command("./here", cwd=str(place))
    home = shop.command("pwd")
    said = shop.command("sh", "-c", 'echo "$COLOUR $QTOOL_JOB_ID $QTOOL_ATTEMPT $QTOOL_QUEUE"', env={"COLOUR": "red"})
    path = shop.command("here", env={"PATH": str(place)})
    long = shop.command("sh", "-c", 'echo "${#1}"', "sh", "x" * 100_000)
    assert shop.burst("-j", "1", apps=False) == 0
    assert shop.output(there) == f"{place}\n".encode()
    assert shop.output(home).strip() == str(Path(__file__).parents[2]).encode()
    assert shop.output(said) == f"red {said} 1 default\n".encode()
    assert shop.output(long) == b"100000\n"
    assert shop.job(path).state is State.SUCCEEDED


def test_a_time_limit_stops_the_whole_group(shop: Shop) -> None:
    pid_file = shop.directory / "pid"
    polite = shop.command("sleep", "60", policy=Policy(timeout=0.2))
    deaf = shop.command(f"trap '' TERM; sleep 60 & echo $! > {pid_file}; wait; wait", shell=True)
    shop.start("-j", "2", apps=False)
    assert shop.until(polite).reason is Reason.TIMEOUT
    eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    shop.adapter.operator.cancel([deaf])
    assert shop.until(deaf).state is State.CANCELLED
    eventually(lambda: not alive(int(pid_file.read_text())))


def test_a_flood_is_bounded(shop: Shop) -> None:
    job = shop.command("sh", "-c", "head -c 100000000 /dev/zero; echo end")
    worker = shop.start("--burst", "-q", apps=False)
    peak = 0
    while worker.poll() is None:
        status = Path(f"/proc/{worker.pid}/status")
        peak = max([peak, *(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)])
        time.sleep(0.01)
    assert worker.returncode == 0
    assert peak < 100_000
    chunks = shop.adapter.results.output(job)
    assert chunks[-1].offset + len(chunks[-1].data) == 100_000_004
    assert shop.output(job).endswith(b"\0end\n")
    assert sum(len(chunk.data) for chunk in chunks) <= 132_000


def test_what_it_leaves_behind_does_not_hold_it_up(shop: Shop) -> None:
    job = shop.command("sh", "-c", "sleep 20 & echo started")
    start = time.monotonic()
    assert shop.burst(apps=False) == 0
    assert time.monotonic() - start < 10
    assert shop.output(job) == b"started\n"


def test_many_at_once_and_never_more_than_the_slots(shop: Shop) -> None:
    log = shop.directory / "log"
    script = f"echo + >> {log}; sleep 0.02; echo - >> {log}"
    jobs = [shop.command(script, shell=True) for _ in range(40)]
    assert shop.burst("-j", "3", apps=False) == 0
    assert all(shop.job(id).state is State.SUCCEEDED for id in jobs)
    running = most = 0
    for line in log.read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert 2 <= most <= 3


def test_a_burst_over_nothing_ends_at_once(shop: Shop) -> None:
    assert shop.burst(apps=False) == 0
    said = re.search(r"qtool: 0 jobs; ([\d.]+)ms", shop.stderr)
    assert said is not None
    assert float(said[1]) < 400
