"""Hooks and middleware at a real worker, in every pool."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from qtool.engine.states import State
from tests.worker.conftest import Shop, eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

APP = ("-A", "tests.worker.hooked")
POOLS = pytest.mark.parametrize("pool", ["process", "thread", "async"])


@pytest.fixture
def log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = shop.directory / "hooked"
    monkeypatch.setenv("HOOKED", str(path))
    return path


def words(log: Path) -> list[str]:
    """What was noted, without the process ids."""
    return [line.partition(" ")[2] for line in log.read_text().splitlines()]


@POOLS
def test_hooks_run_once_a_process_and_around_its_jobs(shop: Shop, log: Path, pool: str) -> None:
    gates = [shop.gate() for _ in range(2)]
    worker = shop.start(*APP, "-j", "2", "--pool", pool)
    # Two at once: both processes of the process pool serve.
    eventually(lambda: all(gate.exists() for gate in gates))
    for gate in gates:
        gate.rmdir()
    jobs = [shop.add("tests.worker.hooked.work") for _ in range(4)]
    for id in jobs:
        shop.until(id, State.SUCCEEDED)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    by_process: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        by_process.setdefault(line.split()[0], []).append(line.partition(" ")[2])
    assert len(by_process) == (2 if pool == "process" else 1)
    for said in by_process.values():
        assert said[0] == "start"
        assert said[-2:] == ["stop", "last"]
        assert set(said[1:-2]) <= {"job"}
    assert sum(said.count("job") for said in by_process.values()) == 4
    assert "said at the end" in shop.stderr


@POOLS
def test_hooks_run_at_the_end_of_a_burst(shop: Shop, log: Path, pool: str) -> None:
    shop.add("tests.worker.hooked.work")
    assert shop.burst(*APP, "-j", "1", "--pool", pool, apps=False) == 0
    assert words(log) == ["start", "job", "stop", "last"]


@POOLS
def test_a_start_hook_that_fails_ends_the_worker_and_is_named(
    shop: Shop, log: Path, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKED_FAILS", "start")
    job = shop.add("tests.worker.hooked.work")
    assert shop.burst(*APP, "--pool", pool, apps=False) == 1
    assert "tests.worker.hooked.first failed" in shop.stderr
    assert "RuntimeError: start went wrong" in shop.stderr
    assert "hooked.py, line" in shop.stderr
    assert shop.job(job).state is State.READY


def test_a_stop_hook_that_fails_is_told_and_the_others_run(
    shop: Shop, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKED_FAILS", "stop")
    shop.add("tests.worker.hooked.work")
    assert shop.burst(*APP, "-j", "1", apps=False) == 0
    assert words(log) == ["start", "job", "last"]
    assert "tests.worker.hooked.stop failed at the end of its process" in shop.stderr
    assert "RuntimeError: stop went wrong" in shop.stderr


def test_a_stop_hook_that_never_ends_is_killed_after_the_grace(
    shop: Shop, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKED_FAILS", "never ends")
    shop.add("tests.worker.hooked.work")
    worker = shop.patched(apps=["tests.worker.hooked"], burst=True, grace=0.3)
    assert worker.wait(20) == 0
    assert "1 of the pool's processes did not end within 0.3 s" in shop.stderr
    assert words(log) == ["start", "job", "stop"]


@pytest.mark.parametrize("pool", ["process", "async"])
def test_async_hooks_share_the_loop_of_the_jobs(
    shop: Shop, log: Path, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKED_FAILS", "async")
    job = shop.add("tests.worker.hooked.wait")
    assert shop.burst(*APP, "-j", "1", "--pool", pool, apps=False) == 0
    assert shop.result(job)[0] == "same loop: True"
    assert words(log) == ["start", "job", "same loop: True", "stop", "last"]


def test_an_async_hook_in_the_thread_pool_is_refused(shop: Shop, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKED_FAILS", "async hook")
    shop.add("tests.worker.hooked.work")
    assert shop.burst(*APP, "--pool", "thread", apps=False) == 1
    assert "needs the process or the async pool" in shop.stderr


@POOLS
def test_middleware_of_app_and_operator_goes_around_tasks(
    shop: Shop, log: Path, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shop.directory / "config.toml"
    config.write_text('[worker]\nmiddleware = ["tests.worker.hooked:outside"]\n')
    monkeypatch.setenv("QTOOL_CONFIG", str(config))
    plain, awaited = shop.add("tests.worker.hooked.work"), shop.add("tests.worker.hooked.wait")
    assert shop.burst(*APP, "-j", "1", "--pool", pool, apps=False) == 0
    assert shop.result(plain) == ["default", "plain", "outside"]
    assert shop.result(awaited) == ["default", "awaited", "plain", "outside"]


def test_middleware_that_cannot_be_imported_ends_the_worker_and_is_named(
    shop: Shop, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shop.directory / "config.toml"
    config.write_text('[worker]\nmiddleware = "tests.worker.hooked:nowhere"\n')
    monkeypatch.setenv("QTOOL_CONFIG", str(config))
    shop.add("tests.worker.hooked.work")
    assert shop.burst(*APP, apps=False) == 2
    assert "tests.worker.hooked:nowhere" in shop.stderr


@POOLS
def test_what_a_job_leaves_in_its_context_no_other_job_finds(shop: Shop, log: Path, pool: str) -> None:
    jobs = [shop.add("tests.worker.hooked.leave", str(n)) for n in range(5)]
    # Claimed ahead: each waits at the door while the one before it runs.
    assert shop.patched(apps=["tests.worker.hooked"], pool=pool, ahead=8, burst=True).wait(30) == 0
    assert [shop.result(id)[0] for id in jobs] == ["nothing"] * 5
