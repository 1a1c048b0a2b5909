"""Thresholds held against a snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from qtool.engine.alerts import Thresholds, evaluate
from qtool.engine.broker import QueueStats, Snapshot, WorkerInfo
from qtool.engine.states import State

NOW = 1_000_000.0


def queue(name: str = "email", *, ready: int = 0, dead: int = 0, **more: Any) -> QueueStats:
    counts = dict.fromkeys(State, 0) | {State.READY: ready, State.DEAD: dead}
    still: dict[str, Any] = {
        "paused": False,
        "held": 0,
        "concurrency": None,
        "rate": None,
        "oldest_ready_at": None,
        "in_rate": 0.0,
        "out_rate": 0.0,
        "failed_rate": 0.0,
        "wait": None,
        "run": None,
    }
    return QueueStats(name=name, counts=counts, **(still | more))


def worker(*queues: str, **more: Any) -> WorkerInfo:
    known: dict[str, Any] = {
        "id": "w",
        "host": "h",
        "pid": 1,
        "queues": queues,
        "pool": "process",
        "slots": 4,
        "busy": 0,
        "started_at": NOW,
        "seen_at": NOW,
    }
    return WorkerInfo(**(known | more))


def alerts(*parts: Any, **thresholds: Any) -> list[str]:
    queues = tuple(each for each in parts if isinstance(each, QueueStats))
    workers = tuple(each for each in parts if isinstance(each, WorkerInfo))
    return [alert.text for alert in evaluate(Snapshot(NOW, queues, workers), Thresholds(**thresholds))]


@pytest.mark.parametrize(
    ("limit", "well", "ill", "text"),
    [
        (
            {"max_age": 300.0},
            {"oldest_ready_at": NOW - 300},
            {"oldest_ready_at": NOW - 301},
            "email: the oldest has been waiting 5m01s, over 5m00s",
        ),
        ({"max_depth": 1000}, {"ready": 1000}, {"ready": 1001}, "email: 1,001 ready, over 1,000"),
        (
            {"drain_within": 60.0},
            {"ready": 60, "out_rate": 1.0},
            {"ready": 61, "out_rate": 1.0},
            "email: drains in 1m01s, over 1m00s",
        ),
        (
            {"drain_within": 60.0},
            {"ready": 0, "in_rate": 1.0},
            {"ready": 1, "in_rate": 1.0},
            "email: does not drain; it should within 1m00s",
        ),
        (
            {"max_failures_per_minute": 6},
            {"failed_rate": 0.1},
            {"failed_rate": 0.2},
            "email: 12 died in the last minute, over 6",
        ),
        ({"max_dead": 0}, {"dead": 0}, {"dead": 1}, "email: 1 dead, over 0"),
    ],
)
def test_a_threshold_is_still_well_and_what_passes_it_is_not(
    limit: dict[str, Any], well: dict[str, Any], ill: dict[str, Any], text: str
) -> None:
    assert alerts(queue(**well), **limit) == []
    assert alerts(queue(**ill), **limit) == [text]
    assert alerts(queue(**ill)) == []
    assert alerts(queue(**ill), **limit, queues=("others",)) == []


def test_workers_are_counted_in_all_or_by_queue() -> None:
    assert alerts(min_workers=1) == ["no worker, under 1"]
    assert alerts(worker("web"), min_workers=1) == []
    assert alerts(worker("web"), min_workers=2) == ["1 worker, under 2"]
    assert alerts(worker("web"), min_workers=1, queues=("web", "email")) == ["email: no worker, under 1"]
    assert alerts(worker(), min_workers=1, queues=("web", "email")) == []
    assert alerts(worker(gone=True), worker(stopping=True), min_workers=1) == ["no worker, under 1"]


def test_an_alert_is_the_same_one_while_its_numbers_change() -> None:
    limits = Thresholds(max_depth=1)
    first, second = (evaluate(Snapshot(NOW, (queue(ready=count),), ()), limits)[0] for count in (5, 6))
    assert first.text != second.text
    assert first.key == second.key == ("max_depth", "email")
