"""What Celery's own receiver makes of a qtool worker's events: the state that Flower and ``celery events`` show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.conftest import Fleet, until
from tests.interop.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = "told@here"
WITHIN = 20.0


@pytest.fixture(scope="module")
def watch(fleet: Fleet) -> Iterator[Watch]:
    """One that watches a worker which tells of its tasks from the start."""
    made = Watch(fleet.app)
    fleet.qtool_worker("-Q", "celery", "-j", "2", "-E", "-n", NODE)
    try:
        until(lambda: (worker := made.worker(NODE)) and worker.alive)
        yield made
    finally:
        made.close()


def test_a_task_from_its_arrival_to_its_end(fleet: Fleet, watch: Watch) -> None:
    sent = fleet.send("add", 1, 2)
    task = watch.task(sent.id, "SUCCESS")
    assert (task.name, task.args, task.kwargs, task.result) == ("proj.add", "(1, 2)", "{}", "3")
    assert watch.kinds(sent.id) == ["task-received", "task-started", "task-succeeded"]
    assert task.received <= task.started <= task.succeeded
    assert 0 <= task.runtime < WITHIN
    assert (task.worker.hostname, task.root_id, task.retries) == (NODE, sent.id, 0)
    told = [each for each in watch.seen if each.get("uuid") == sent.id]
    assert sorted(each["clock"] for each in told) == [each["clock"] for each in told]


def test_a_task_of_ours(fleet: Fleet, watch: Watch) -> None:
    (id,) = fleet.qtool("enqueue", "proj.same", "é", "-Q", "celery").stdout.split()
    task = watch.task(id, "SUCCESS")
    assert (task.name, task.args, task.result) == ("proj.same", "('é',)", "[['é'], {}]")


def test_a_failure_and_a_retry(fleet: Fleet, watch: Watch) -> None:
    task = watch.task(fleet.send("boom").id, "FAILURE")
    assert task.exception.startswith("ValueError('")
    assert 'raise ValueError("boom"' in task.traceback
    again = fleet.send("flaky", 1)
    watch.task(again.id, "SUCCESS")
    assert watch.kinds(again.id)[2] == "task-retried"
    assert watch.kinds(again.id)[3:] == ["task-received", "task-started", "task-succeeded"]
    unknown = watch.task(fleet.send("nobody_knows").id, "FAILURE")
    assert "nobody_knows" in unknown.exception


def test_what_runs_and_what_is_revoked(fleet: Fleet, watch: Watch) -> None:
    running = [fleet.send("sleep", 60) for _ in range(2)]
    for each in running:
        assert watch.task(each.id, "STARTED").started
    until(lambda: watch.worker(NODE).active == 2)
    waiting = fleet.send("add", 1, 2)
    control = fleet.app.control
    control.revoke(waiting.id, destination=[NODE])
    watch.task(waiting.id, "REVOKED")
    assert "task-started" not in watch.kinds(waiting.id)
    control.revoke([each.id for each in running], terminate=True, destination=[NODE])
    for each in running:
        watch.task(each.id, "REVOKED")
        assert watch.kinds(each.id).count("task-started") == 1
    until(lambda: watch.worker(NODE).active == 0)


def test_what_an_argument_is_shown_as_is_the_senders_word(fleet: Fleet, watch: Watch) -> None:
    sent = fleet.send("same", "secret", argsrepr="('***',)", kwargsrepr="{}")
    assert watch.task(sent.id, "SUCCESS").args == "('***',)"


def test_tasks_are_told_of_while_somebody_wants_it(fleet: Fleet, watch: Watch) -> None:
    control = fleet.app.control

    def switch(method: str) -> str:
        (reply,) = control.broadcast(method, destination=[NODE], reply=True, timeout=WITHIN)
        return str(reply[NODE]["ok"])

    assert switch("enable_events") == "task events already enabled"
    assert switch("disable_events") == "task events disabled"
    assert switch("disable_events") == "task events already disabled"
    unseen = fleet.send("add", 1, 2)
    assert unseen.get(WITHIN) == 3
    before = watch.worker(NODE).processed
    control.broadcast("heartbeat", destination=[NODE])
    until(lambda: any(each.get("freq") == 5 for each in watch.seen))
    assert watch.worker(NODE).processed >= before
    assert watch.kinds(unseen.id) == []
    running = fleet.send("sleep", 60)
    until(lambda: control.inspect([NODE], timeout=WITHIN).active()[NODE])
    assert switch("enable_events") == "task events enabled"
    watch.task(running.id, "STARTED")
    control.revoke(running.id, terminate=True, destination=[NODE])
    watch.task(running.id, "REVOKED")


def test_a_worker_comes_and_goes(fleet: Fleet, watch: Watch) -> None:
    """Without ``-E`` it tells of itself alone; its Celery application may say otherwise."""
    quiet = fleet.qtool_worker("-Q", "apart", "-j", "1", "-n", "quiet@here")
    until(lambda: "quiet@here" in watch.state.workers)
    sent = fleet.send("add", 1, 2, queue="apart")
    assert sent.get(WITHIN) == 3
    quiet.terminate()
    assert quiet.wait(WITHIN) == 0
    told = until(
        lambda: (
            (mine := [each["type"] for each in watch.seen if each["hostname"] == "quiet@here"])
            and mine[-1] == "worker-offline"
            and mine
        )
    )
    assert told[0] == "worker-online"
    assert set(told[1:-1]) <= {"worker-heartbeat"}
    assert not watch.state.workers["quiet@here"].alive
    assert watch.worker(NODE).alive
