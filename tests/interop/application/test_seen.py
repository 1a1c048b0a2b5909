"""What Celery's tools see of an application's tasks and of its worker: of Celery's own, and of qtool's, alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.application.conftest import WORKERS, Fleet
from tests.interop.conftest import until
from tests.interop.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.redis import RedisServer

WITHIN = 20.0


@pytest.fixture(scope="module", params=WORKERS)
def fleet(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Each make in turn, telling of its tasks."""
    url = f"{redis_server.url}/{4 + WORKERS.index(request.param)}"
    made = Fleet(request.param, url, tmp_path_factory.mktemp(request.param) / "worker.log")
    made.redis.flushdb()
    made.start("-E")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def node(fleet: Fleet) -> str:
    """The name of the worker."""
    # Nothing is said to it before it hears: both makes pass over an empty message.
    channel = f"/{fleet.url.rpartition('/')[2]}.celery.pidbox"
    until(lambda: fleet.redis.publish(channel, ""))
    (reply,) = fleet.app.control.broadcast("ping", reply=True, limit=1, timeout=WITHIN)
    return str(next(iter(reply)))


@pytest.fixture(scope="module")
def watch(fleet: Fleet, node: str) -> Iterator[Watch]:
    """One that watches it."""
    made = Watch(fleet.app)
    try:
        # It hears nothing before it has subscribed.
        until(lambda: fleet.app.control.broadcast("heartbeat", destination=[node]) or made.worker(node))
        yield made
    finally:
        made.close()


def ask(fleet: Fleet, node: str, method: str, **arguments: Any) -> Any:
    replies = fleet.app.control.broadcast(method, arguments, destination=[node], reply=True, timeout=WITHIN)
    return replies[0][node]


def test_its_tasks_and_settings_are_the_applications(fleet: Fleet, node: str) -> None:
    assert {"proj.tasks.add", "proj.tasks.flaky"} <= set(ask(fleet, node, "registered"))
    conf = ask(fleet, node, "conf")
    assert conf["task_default_queue"] == "celery"
    assert "proj.tasks" in conf["include"]
    assert fleet.task("where").delay().get(timeout=WITHIN) == node
    assert {each["name"] for each in ask(fleet, node, "active_queues")} == {"celery", "other"}
    assert ask(fleet, node, "stats")["pool"]["max-concurrency"] == 2
    assert ask(fleet, node, "rate_limit", task_name="proj.tasks.none", rate_limit="1/s") == {"error": "unknown task"}


BEGUN = ["task-received", "task-started"]


@pytest.mark.parametrize(
    ("name", "args", "state", "kinds"),
    [
        ("add", (1, 2), "SUCCESS", [*BEGUN, "task-succeeded"]),
        ("fail", (), "FAILURE", [*BEGUN, "task-failed"]),
        ("flaky", (1,), "SUCCESS", [*BEGUN, "task-retried", *BEGUN, "task-succeeded"]),
        ("ignored", (), "STARTED", BEGUN),
        ("soft", (False,), "FAILURE", [*BEGUN, "task-failed"]),
    ],
)
def test_a_tasks_way(
    fleet: Fleet, watch: Watch, name: str, args: tuple[Any, ...], state: str, kinds: list[str]
) -> None:
    sent = fleet.task(name, *args).apply_async()
    task = watch.task(sent.id, state)
    assert task.name == f"proj.tasks.{name}"
    # A retry is on its way, and may arrive, before its worker says that there is one.
    until(lambda: sorted(watch.kinds(sent.id)) == sorted(kinds))
    if state == "FAILURE":
        assert type(sent.result).__name__ in task.exception


def test_a_child_knows_its_parent(fleet: Fleet, watch: Watch) -> None:
    sent = (fleet.task("add", 1, 2) | fleet.task("double")).apply_async()
    task = watch.task(sent.id, "SUCCESS")
    assert (task.parent_id, task.root_id) == (sent.parent.id, sent.parent.id)
    assert task.result == "6"
