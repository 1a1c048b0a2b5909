"""A real worker for a user's test."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import qtool
from qtool.client import default_client
from qtool.testing import in_memory, real_worker
from tests.faults.tools import until
from tests.worker.conftest import alive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

APP = "tests.worker.app"


@pytest.fixture(autouse=True)
def nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTOOL_BROKER_REQUIRED", "1")
    monkeypatch.setenv("QTOOL_CONTEXT", "work")
    monkeypatch.delenv("QTOOL_BROKER", raising=False)


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_it_serves_what_names_no_broker(pool: str) -> None:
    with real_worker(APP, slots=1, pool=pool) as worker:
        assert default_client().enqueue(f"{APP}.echo", 3).result(timeout=30) == 3
        assert qtool.connect().url == worker.url == worker.client.url
        words = [sys.executable, "-m", "qtool", "enqueue", "--wait", f"{APP}.echo", "x"]
        assert subprocess.run(words, check=False, timeout=30, capture_output=True).returncode == 0
        (info,) = worker.client.adapter().inspector.snapshot().workers
        assert (info.pid, info.pool, info.slots) == (worker.pid, pool, 1)
    assert not alive(worker.pid)
    assert not os.path.exists(worker.url.removeprefix("sqlite://"))
    assert (os.environ.get("QTOOL_BROKER"), os.environ["QTOOL_CONTEXT"]) == (None, "work")
    with pytest.raises(qtool.QtoolError):
        qtool.connect()


def test_it_may_stand_inside_jobs_in_memory() -> None:
    with in_memory() as jobs:
        with real_worker():
            assert default_client().enqueue("qtool.exec", "true").result(timeout=30) == {"exit_code": 0}
        assert default_client() is jobs.client
    assert jobs.all == []


def test_options_reach_it() -> None:
    with real_worker(APP, options=["-Q", "mail,bulk"]) as worker:
        assert worker.client.adapter().inspector.snapshot().workers[0].queues == ("mail", "bulk")


def test_an_app_that_does_not_import_is_told() -> None:
    with pytest.raises(RuntimeError, match="there is no module 'nowhere'"), real_worker("nowhere") as worker:
        until(lambda: not alive(worker.pid), "the end of the worker")


def test_a_test_that_fails_gets_the_log_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails() -> None:
        with real_worker(APP) as worker:
            (tmp_path / "pid").write_text(str(worker.pid))
            default_client().enqueue(f"{APP}.echo", 3).result(timeout=30)
            raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong") as caught:
        fails()
    assert f'"task":"{APP}.echo"' in caught.value.__notes__[0].replace(" ", "")
    assert not alive(int((tmp_path / "pid").read_text()))
