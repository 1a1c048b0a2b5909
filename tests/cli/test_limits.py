"""``qtool limits``, and what other commands tell of limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Bench

Call = Any


def said(call: Call) -> dict[str, tuple[Any, ...]]:
    return {row["name"]: (row["concurrency"], row["rate"], row["burst"]) for row in call("limits").rows}


def test_limits_are_set_changed_and_taken_back(bench: Bench, call: Call) -> None:
    assert call("limits").rows == []
    ran = call("limits", "set", "email", "--concurrency", "5", "--rate", "600/m", "--burst", "20")
    assert ran.code == 0
    assert [(row["scope"], row["name"], row["concurrency"], row["rate"]) for row in ran.rows] == [
        ("queue", "email", 5, 10.0)
    ]
    assert call("limits", "set", "email", "--concurrency", "7").code == 0
    assert said(call) == {"email": (7, 10.0, 20)}
    assert call("limits", "set", "email", "--concurrency", "none").code == 0
    assert said(call) == {"email": (None, 10.0, 20)}
    assert call("limits", "set", "--task", "shop.sync", "--rate", "1/s").code == 0
    assert call("limits", "rm", "email").code == 0
    assert said(call) == {"shop.sync": (None, 1.0, 1)}
    assert call("limits", "rm", "email").code == 4


def test_a_task_s_own_rate_is_lifted_and_comes_back(bench: Bench, call: Call) -> None:
    bench.adapter.operator.declare({"shop.sync": 5.0})
    (row,) = call("limits").rows
    assert (row["name"], row["rate"], row["declared"]) == ("shop.sync", 5.0, True)
    assert call("limits", "set", "--task", "shop.sync", "--rate", "none").code == 0
    (row,) = call("limits").rows
    assert (row["rate"], row["declared"]) == (None, False)
    assert call("limits", "rm", "--task", "shop.sync").code == 0
    assert said(call) == {"shop.sync": (None, 5.0, 1)}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "Name a queue"),
        (("q", "--task", "t", "--rate", "1/s"), "Name a queue, or a task"),
        (("q",), "Say what to limit"),
        (("q", "--rate", "fast"), "--rate: a rate is written 10/s"),
        (("q", "--concurrency", "0"), "At least one job"),
        (("q", "--concurrency", "many"), "'many' is not a number"),
        (("q", "--burst", "3"), "goes with a rate"),
        (("--task", "t", "--concurrency", "3"), "giving them a key"),
        (("a b", "--concurrency", "3"), "it has a space in it"),
    ],
)
def test_what_cannot_be_a_limit_is_refused(bench: Bench, call: Call, words: tuple[str, ...], why: str) -> None:
    ran = call("limits", "set", *words)
    assert ran.code == 2
    assert why in ran.err
    assert call("limits").rows == []


def test_queues_jobs_and_show_tell_who_waits_for_what(bench: Bench, call: Call, terminal: Any) -> None:
    call("limits", "set", "email", "--concurrency", "3", "--rate", "10/s")
    first, second = bench.add(2, queue="email", key="account-7", key_limit=1)
    bench.claim(2, queue="email")
    (queue,) = call("queues").rows
    assert (queue["held"], queue["concurrency"], queue["rate"]) == (1, 3, 10.0)
    (row,) = call("jobs", "-w", "held:key:* key:account-7").rows
    assert (row["id"], row["key"], row["key_limit"], row["held"]) == (second, "account-7", 1, "key:account-7")
    assert [row["id"] for row in call("jobs", "-w", "key:account-7 not held:*").rows] == [first]
    assert "waits for key:account-7" in terminal("jobs", width=120).out
    assert "3, 10/s" in terminal("queues", width=140).out
    card = terminal("show", second).out
    assert "account-7, 1 at once" in card
    assert "for a slot of its key" in card


def test_enqueue_takes_keys(bench: Bench, call: Call, spawn: Any) -> None:
    def keys() -> list[tuple[str | None, int]]:
        return [(job.key, job.key_limit) for job in bench.adapter.inspector.browse(oldest_first=True).jobs]

    call("enqueue", "a.b", "--key", "k", "--key-limit", "2")
    call("enqueue", "a.b", "--key=l")
    spawn("enqueue", "a.b", "--lines", "--key", "account-{}", stdin="7\n8\n")
    envelope = {"task": "c.d", "key": "e", "key_limit": 4}
    spawn("enqueue", "--jsonl", stdin=json.dumps(envelope) + "\n")
    spawn("enqueue", "--jsonl", "--key-limit", "9", stdin=json.dumps(envelope) + "\n")
    spawn("enqueue", "a.b", "--jsonl", "--key", "j", stdin="[1]\n")
    assert keys() == [("k", 2), ("l", 1), ("account-7", 1), ("account-8", 1), ("e", 4), ("e", 9), ("j", 1)]
    for wrong in ({"key": ""}, {"key": 3}, {"key": "k", "key_limit": 0}, {"key": "k", "key_limit": "2"}):
        assert spawn("enqueue", "--jsonl", stdin=json.dumps({"task": "c.d"} | wrong) + "\n").code == 3
    assert call("enqueue", "a.b", "--key-limit", "2").code == 2
    assert call("enqueue", "a.b", "--key", "k", "--key-limit", "0").code == 2
    assert call("enqueue", "a.b", "--key", "").code == 2
    assert len(keys()) == 7
