"""Events as Celery's own receivers read them."""

from __future__ import annotations

from typing import Any

import pytest
from celery.events.state import State as Seen
from celery.events.state import Task

from qtool.engine.celery import events
from qtool.engine.celery.envelope import unwrap
from qtool.engine.celery.events import Source, ends
from qtool.engine.celery.lamport import Lamport
from qtool.engine.job import Failure, Lease, Settlement
from qtool.engine.states import Event, Reason, State

ALIVE: dict[str, Any] = {
    "freq": 2.0,
    "active": 1,
    "processed": 2,
    "loadavg": (0.1, 0.2, 0.3),
    "sw_ident": "qtool",
    "sw_ver": "1",
    "sw_sys": "Linux",
}


def lease(body: str = "[[1],{}]", options: str | None = None) -> Lease:
    return Lease("id", "task", "queue", 1, 1, 0, 0, body, options, 1, 0.0)


def settlement(state: State, **more: Any) -> Settlement:
    return Settlement(lease(), Event.SUCCESS, state, 12.0, **{"started_at": 10.0} | more)


def source() -> Source:
    return Source("w1@host", 7, Lamport())


def told(event: events.TaskEvent) -> dict[str, Any]:
    """It as it is read."""
    key, message = source().messages([event], "celeryev", "tag")
    headers, (read,) = unwrap(message)
    assert key == "task.multi"
    assert headers == {"hostname": "w1@host"}
    found: dict[str, Any] = read
    return found


def test_a_sign_of_life_has_a_routing_key_of_its_own() -> None:
    made, seen = source(), Seen()
    for kind, name in ((events.Online, "online"), (events.Heartbeat, "heartbeat"), (events.Offline, "offline")):
        key, message = made.message(made.worker(kind, 5.0, ALIVE), "celeryev", "tag")
        assert key == f"worker.{name}"
        _, read = unwrap(message)
        assert read["type"] == f"worker-{name}"
        seen.event(read | {"local_received": 5.0})
        assert seen.workers["w1@host"].sw_ident == "qtool"


def test_the_clock_goes_on() -> None:
    clock = Lamport()
    made = Source("w1@host", 7, clock)
    first, second = made.started("a", 1.0), made.started("b", 1.0)
    clock.adjust(100)
    assert first.clock < second.clock < 100 < made.started("c", 1.0).clock


@pytest.mark.parametrize(
    ("body", "args", "kwargs"),
    [
        ("[[],{}]", "()", "{}"),
        ('[["a",1.5,null,true],{"k":[1]}]', "('a', 1.5, None, True)", "{'k': [1]}"),
        ('[["a"],{},{"chain":null}]', "('a',)", "{}"),
        ("[[NaN],{}]", "(nan,)", "{}"),
        ('[["\\ud800"],{}]', "('\\ud800',)", "{}"),
        ("nonsense", "()", "{}"),
        ("[1]", "()", "{}"),
    ],
)
def test_arguments_are_shown_as_python_shows_them(body: str, args: str, kwargs: str) -> None:
    event = source().received(lease(body), 1.0)
    assert (event.args, event.kwargs) == (args, kwargs)
    assert told(event)["uuid"] == "id"


def test_arguments_of_any_size_are_shown_briefly() -> None:
    event = source().received(lease(f'[["{"x" * 1_000_000}"],{{}}]'), 1.0)
    assert len(event.args) <= 1024


def test_what_a_message_of_celerys_says_goes_before() -> None:
    headers = '{"argsrepr":"(***)","kwargsrepr":"{}","parent_id":"p","root_id":"r","eta":null,"shadow":"other"}'
    event = source().received(lease(options=f'{{"celery":{{"headers":{headers},"properties":{{}}}}}}'), 1.0)
    assert (event.name, event.args, event.root_id, event.parent_id) == ("other", "(***)", "r", "p")
    plain = source().received(lease(options='{"retries":3}'), 1.0)
    assert (plain.name, plain.args, plain.root_id, plain.parent_id) == ("task", "(1,)", "id", None)
    broken = source().received(lease(options='{"celery":{"headers":[1],"properties":7}}'), 1.0)
    assert broken.name == "task"


FAILURE = Failure(type="proj.errors.Odd", message="how", traceback="Traceback…")


@pytest.mark.parametrize(
    ("end", "kind", "state", "fields"),
    [
        ({"state": State.SUCCEEDED, "result": '"x"'}, "task-succeeded", "SUCCESS", {"result": "'x'", "runtime": 2.0}),
        ({"state": State.SUCCEEDED}, "task-succeeded", "SUCCESS", {"result": "None"}),
        ({"state": State.SUCCEEDED, "result": "-1.5e3"}, "task-succeeded", "SUCCESS", {"result": "-1.5e3"}),
        ({"state": State.DEAD, "failure": FAILURE}, "task-failed", "FAILURE", {"exception": "Odd('how')"}),
        ({"state": State.RETRY, "failure": FAILURE}, "task-retried", "RETRY", {"traceback": "Traceback…"}),
        ({"state": State.CANCELLED}, "task-revoked", "REVOKED", {"terminated": True, "signum": 15}),
        ({"state": State.CANCELLED, "started_at": 12.0}, "task-revoked", "REVOKED", {"terminated": False}),
        (
            {"state": State.DEAD, "reason": Reason.UNKNOWN_TASK, "failure": Failure(type="UnknownTask", message="no")},
            "task-failed",
            "FAILURE",
            {"exception": "NotRegistered('task')"},
        ),
    ],
)
def test_every_end_is_one_that_celery_knows(end: dict[str, Any], kind: str, state: str, fields: dict[str, Any]) -> None:
    ended = settlement(**end)
    assert ends(ended)
    read = told(source().ended(ended))
    assert read["type"] == kind
    assert fields.items() <= read.items()
    seen = Seen()
    seen.event(read | {"local_received": 12.0})
    task: Task = seen.tasks["id"]
    assert task.state == state


@pytest.mark.parametrize("state", [State.READY, State.SCHEDULED])
def test_what_goes_back_has_not_ended(state: State) -> None:
    assert not ends(settlement(state))
    assert not ends(settlement(State.DEAD, reason=Reason.DISCARDED))


def test_text_that_is_no_utf_8_is_spelled_out() -> None:
    failure = Failure(type="Odd", message="\udcff")
    assert "udcff" in told(source().ended(settlement(State.DEAD, failure=failure)))["exception"]
