"""A worker without modules and jobs that need one."""

from __future__ import annotations

import pytest

from qtool.engine.states import State
from tests.worker.conftest import PATIENCE, Shop, eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("options", [(), ("--burst",)], ids=["service", "burst"])
def test_a_worker_without_modules_gives_a_python_task_back_and_says_what_to_do(
    shop: Shop, options: tuple[str, ...]
) -> None:
    ids = [shop.add("echo", n) for n in range(3)]
    commands = [shop.command("true") for _ in range(3)]
    assert shop.start("-j", "2", *options, apps=False).wait(PATIENCE) == 2
    for id in ids:
        info = shop.job(id)
        assert (info.state, info.attempt, info.crashes, info.error) == (State.READY, 0, 0, None)
    assert "is a Python task, tests.worker.app.echo, and this worker was started without -A" in shop.stderr
    assert {shop.job(id).state for id in commands} <= {State.READY, State.SUCCEEDED}
    assert shop.burst("-j", "2") == 0
    assert shop.count(State.SUCCEEDED) == 6


def test_what_runs_comes_to_its_end_before_such_a_worker_does(shop: Shop) -> None:
    mark, go = shop.directory / "mark", shop.directory / "go"
    script = f"touch {mark}; while [ ! -e {go} ]; do sleep 0.02; done"
    command = shop.command(script, shell=True)
    worker = shop.start("-j", "2", apps=False)
    eventually(mark.exists)
    stranger = shop.add("echo", 1)
    eventually(lambda: "without -A" in shop.stderr)
    assert worker.poll() is None
    eventually(lambda: shop.job(stranger).state is State.READY)
    go.touch()
    assert worker.wait(PATIENCE) == 2
    assert shop.job(command).state is State.SUCCEEDED
    assert (shop.job(stranger).state, shop.job(stranger).attempt) == (State.READY, 0)


def test_a_webhook_needs_no_module(shop: Shop) -> None:
    job = shop.add("qtool.http", "http://127.0.0.1:9/", timeout=1)
    assert shop.burst("-j", "1", apps=False) == 0
    assert shop.job(job).state is State.DEAD
    assert "without -A" not in shop.stderr
