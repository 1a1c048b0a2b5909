"""A task that only Celery's workers have, met by a worker of qtool's that serves all queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import celery.exceptions
import pytest

from tests.interop.conftest import until

if TYPE_CHECKING:
    from tests.interop.conftest import Fleet


def test_it_ends_as_unknown_is_told_so_and_runs_again_where_it_is_known(fleet: Fleet) -> None:
    result = fleet.send("theirs_only", 1, 2, queue="celery")
    worker = fleet.qtool_worker("-j", "1")
    with pytest.raises(celery.exceptions.NotRegistered):
        result.get(timeout=30)
    shown = fleet.shown(result.id)
    assert (shown["state"], shown["reason"]) == ("dead", "unknown-task")
    until(lambda: "other programs send (celery)" in fleet.said("qtool"))
    rows = json.loads(fleet.qtool("doctor", "-o", "json").stdout)
    (row,) = [row for row in rows if row["check"] == "workers" and row["verdict"] == "warning"]
    assert "other programs send (celery)" in row["found"]
    worker.kill()
    worker.wait()
    done = fleet.qtool("retry", result.id)
    assert done.returncode == 0, done.stderr
    fleet.celery_worker("-P", "solo", "-Q", "celery")
    again = fleet.app.AsyncResult(result.id)
    assert until(lambda: again.state == "SUCCESS" and again.get(timeout=5)) == 3


def test_a_worker_of_named_queues_is_not_warned(fleet: Fleet) -> None:
    before = fleet.said("qtool")
    fleet.qtool_worker("-j", "1", "-Q", "celery,other", "--max-jobs", "1")
    id = fleet.qtool("enqueue", "proj.add", ":=1", ":=1", "-Q", "other", "--wait").stdout.split()[0]
    assert fleet.shown(id)["state"] == "succeeded"
    assert "other programs" not in fleet.said("qtool").removeprefix(before)
