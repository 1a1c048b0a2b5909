"""What becomes of jobs that fail, at a real worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.job import Policy
from qtool.engine.states import Event, Reason, State
from tests.worker.conftest import PATIENCE, Shop, eventually

if TYPE_CHECKING:
    from qtool.engine.job import JobInfo

pytestmark = pytest.mark.slow

APP = "tests.worker.policies"


def run(shop: Shop, task: str, *args: Any, pool: str = "process", **said: Any) -> JobInfo:
    id = shop.add(f"{APP}.{task}", *args, **said)
    shop.start("-j", "1", "--pool", pool, "-A", APP, apps=False)
    return shop.until(id)


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_each_class_of_errors_gets_its_answer(shop: Shop, pool: str) -> None:
    cases = {"Slow": 3, "Busy": 5, "Stale": 9, "Value": 9, "Lookup": 9}
    ids = {name: shop.add(f"{APP}.errs", str(shop.directory / name), name, until) for name, until in cases.items()}
    shop.start("-j", "2", "--pool", pool, "-A", APP, apps=False)
    ends = {name: shop.until(id) for name, id in ids.items()}
    starts = {name: (shop.directory / name).stat().st_size for name in cases}
    assert starts == {"Slow": 3, "Busy": 5, "Stale": 1, "Value": 1, "Lookup": 3}
    assert {name: (info.state, info.reason) for name, info in ends.items()} == {
        "Slow": (State.SUCCEEDED, None),
        "Busy": (State.SUCCEEDED, None),
        "Stale": (State.DEAD, Reason.DISCARDED),
        "Value": (State.DEAD, Reason.FAILED),
        "Lookup": (State.DEAD, Reason.DISCARDED),
    }
    # A snooze gives the attempt back; a retry spends one.
    assert (ends["Busy"].attempt, ends["Busy"].failures) == (1, 0)
    assert (ends["Slow"].attempt, ends["Slow"].failures) == (3, 2)


def test_every_attempt_is_kept_with_its_error_worker_and_times(shop: Shop) -> None:
    info = run(shop, "errs", str(shop.directory / "log"), "Slow", 9)
    assert (info.state, info.reason, info.attempt, info.failures) == (State.DEAD, Reason.FAILED, 3, 3)
    attempts = shop.adapter.inspector.attempts(info.id)
    assert [(each.attempt, each.event, each.state) for each in attempts] == [
        (1, Event.ERROR, State.RETRY),
        (2, Event.ERROR, State.RETRY),
        (3, Event.ERROR, State.DEAD),
    ]
    for number, each in enumerate(attempts, 1):
        assert each.error is not None
        assert str(each.error) == f"{APP}.Slow: start {number}"
        assert 'raise kinds[name](f"start {starts}")' in (each.error.traceback or "")
        assert each.worker == info.worker
        assert (info.created_at or 0) <= each.started_at <= each.finished_at
    assert [each.finished_at for each in attempts] == sorted(each.finished_at for each in attempts)

    words = [sys.executable, "-m", "qtool", "show", info.id, "-b", shop.url, "-o"]
    shown = json.loads(subprocess.run([*words, "json"], capture_output=True, check=True, timeout=30).stdout)[0]
    assert [each["attempt"] for each in shown["attempts"]] == [1, 2, 3]
    assert all(each["error"]["traceback"].startswith("Traceback") for each in shown["attempts"])
    assert {each["worker"] for each in shown["attempts"]} == {info.worker}
    assert all(each["started_at"] <= each["finished_at"] for each in shown["attempts"])
    wide = {**os.environ, "COLUMNS": "300"}
    card = subprocess.run([*words, "table"], capture_output=True, text=True, check=True, timeout=30, env=wide).stdout
    assert re.findall(r"attempt (\d) .* on (\S+): \S+\.Slow: start (\d)", card) == [
        (number, info.worker, number) for number in "123"
    ]


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_task_chooses_by_raising(shop: Shop, pool: str) -> None:
    ids = {what: shop.add(f"{APP}.asks", str(shop.directory / what), what) for what in ("retry", "snooze", "discard")}
    shop.start("-j", "1", "--pool", pool, "-A", APP, apps=False)
    for id in ids.values():
        shop.until(id)
    assert shop.result(ids["retry"]) == 3
    assert shop.result(ids["snooze"]) == 1
    assert [each.event for each in shop.adapter.inspector.attempts(ids["retry"])] == [Event.ERROR, Event.ERROR]
    assert shop.adapter.inspector.attempts(ids["snooze"]) == []
    discarded = shop.job(ids["discard"])
    assert (discarded.state, discarded.reason, discarded.attempt) == (State.DEAD, Reason.DISCARDED, 1)
    assert str(discarded.error) == "Discard: the account is closed"


def test_the_calls_retries_win_over_the_tasks(shop: Shop) -> None:
    info = run(shop, "errs", str(shop.directory / "log"), "Slow", 9, policy=Policy(retries=0))
    assert (info.state, info.attempt) == (State.DEAD, 1)


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_crash_is_the_end_where_the_task_says_so(shop: Shop, pool: str) -> None:
    info = run(shop, "crashes", pool=pool)
    assert (info.state, info.reason, info.crashes, info.attempt) == (State.DEAD, Reason.CRASHED, 1, 1)


def test_the_call_may_say_otherwise(shop: Shop) -> None:
    info = run(shop, "crashes", policy=Policy(on_crash="retry"))
    assert (info.state, info.reason, info.crashes, info.attempt) == (State.DEAD, Reason.CRASHED, 3, 3)


def test_what_must_not_run_twice_does_not_when_its_whole_worker_was_killed(shop: Shop) -> None:
    """Whoever takes it back does not know its task; whoever would start it again does."""
    log = shop.directory / "log"
    ids = [
        shop.add(f"{APP}.charge", str(log)),
        shop.command(f"printf x >> {log}; sleep 600", shell=True, policy=Policy(on_crash="dead")),
    ]
    worker = shop.start("-j", "2", "-A", APP, apps=False)
    eventually(lambda: log.exists() and log.stat().st_size == 2)
    worker.kill()
    worker.wait(PATIENCE)
    shop.start("-j", "2", "-A", APP, apps=False)
    for id in ids:
        info = shop.until(id)
        assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 1)
        assert shop.adapter.operator.retry([id])[0].after is State.READY
    # A person may want it run all the same.
    eventually(lambda: log.stat().st_size == 4)


def test_nor_when_its_lease_ran_out_and_nobody_knows_what_it_did(shop: Shop) -> None:
    log = shop.directory / "log"
    policy = Policy(on_crash="dead")
    ids = [shop.add(f"{APP}.charge", str(log)), shop.command("touch", str(log), policy=policy)]
    assert len(shop.adapter.broker.claim("gone", (), 2, 0.05)) == 2
    eventually(lambda: shop.adapter.broker.maintain().rescued)
    shop.start("-j", "2", "-A", APP, apps=False)
    for id in ids:
        info = shop.until(id)
        assert (info.state, info.reason, info.crashes) == (State.DEAD, Reason.CRASHED, 1)
    assert not log.exists()


def test_celerys_two_limits_are_the_end_of_its_time_and_the_kill(shop: Shop) -> None:
    log = shop.directory / "log"
    info = run(shop, "deaf", str(log))
    assert (info.state, info.reason, info.attempt) == (State.DEAD, Reason.TIMEOUT, 1)
    assert str(info.error) == "JobTimeout: the attempt ran longer than 0.1 s and was killed 0.2 s later"
    assert log.exists()
    assert info.started_at is not None
    assert info.finished_at is not None
    assert 0.3 <= info.finished_at - info.started_at < 4


def test_a_command_gets_the_grace_it_was_given(shop: Shop) -> None:
    policy = Policy(timeout=0.1, grace=0.2)
    id = shop.command("trap '' TERM; sleep 60 & while :; do wait; done", shell=True, policy=policy)
    assert shop.burst("-j", "1", apps=False) == 0
    info = shop.job(id)
    assert (info.state, info.reason) == (State.DEAD, Reason.TIMEOUT)
    assert info.started_at is not None
    assert info.finished_at is not None
    assert 0.3 <= info.finished_at - info.started_at < 4
