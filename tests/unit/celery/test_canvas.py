"""Chains, callbacks, groups and chords: what Celery's client publishes, worked off without a server.

A toy of a worker runs the messages one after another, by what :mod:`qtool.engine.celery.canvas` says is owed; what it
ends with is what Celery itself ends with.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.backends.base import KeyValueStoreBackend
from hypothesis import given, settings
from hypothesis import strategies as st

from qtool.engine.celery import canvas
from qtool.engine.celery.message import Message, decode_message
from qtool.engine.celery.results import decode_result, ended
from qtool.engine.job import Failure
from qtool.engine.states import State


class Sizes(KeyValueStoreBackend):
    """Keeps what a client of Celery's tells its backend about chords."""

    supports_native_join = True

    def __init__(self, app: Any) -> None:
        super().__init__(app=app)
        self.sizes: dict[str, int] = {}
        self.nested: dict[str, bytes] = {}

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        self.sizes[group_id] = chord_size

    def apply_chord(self, header_result_args: Any, body: Any, **_: Any) -> None:
        result = self.app.GroupResult(*header_result_args)
        if any(hasattr(each, "results") for each in result.results):
            self.nested[result.id] = json.dumps({"result": result.as_tuple()}).encode()


app = Celery("proj", broker="memory://", set_as_current=False)
backend = app._local.backend = Sizes(app)


@app.task(shared=False, name="add")
def add(x: Any, y: int) -> Any:
    return [*x, y] if isinstance(x, list) else x + y


@app.task(shared=False, name="total")
def total(values: Any) -> Any:
    return sum(total.run(each) for each in values) if isinstance(values, list) else values


@app.task(shared=False, name="same")
def same(value: Any) -> Any:
    return value


@app.task(shared=False, name="boom")
def boom(*args: Any) -> None:
    raise ValueError("boom", 1)


@app.task(shared=False, name="seen")
def seen(*args: Any) -> Any:
    return list(args)


@pytest.fixture(autouse=True)
def nothing_published() -> None:
    """That broker is one for the whole process: other tests leave things there."""
    app.connection_for_write().default_channel._purge("celery")


class Toy:
    """Works off what is published, oldest first."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque()
        self.sizes, self.nested = backend.sizes, backend.nested
        self.arrived: dict[str, dict[tuple[str, int | None], str]] = {}
        self.results: dict[str, bytes] = {}
        self.ran: list[tuple[str, tuple[Any, ...]]] = []
        self.messages: dict[str, Message] = {}
        self.queues: dict[str, str] = {}
        ids = count()
        self.desk = canvas.Desk(1e9, lambda: f"new-{next(ids)}")
        self.channel = app.connection_for_write().default_channel

    def fetch(self) -> None:
        while self.channel._size("celery"):
            self.queue.append(json.dumps(self.channel._get("celery")).encode())

    def work(self) -> Toy:
        self.fetch()
        while self.queue:
            self.step(decode_message(self.queue.popleft()))
        return self

    def step(self, message: Message) -> None:
        args, kwargs = json.loads(message.body)
        self.messages[message.id] = message
        self.ran.append((message.task, tuple(args)))
        try:
            value = app.tasks[message.task].run(*args, **kwargs)
        except ValueError as error:
            exc = {"exc_type": "ValueError", "exc_message": list(error.args), "exc_module": "builtins"}
            owed = canvas.on_failure(message, exc, "Traceback", "celery", self.desk)
            failure = Failure(type="ValueError", message=str(error), traceback="Traceback")
            mine = ended(message.id, State.DEAD, 1e9, error=failure, of=message)
        else:
            owed = canvas.on_success(message, json.dumps(value), "celery", self.desk)
            mine = ended(message.id, State.SUCCEEDED, 1e9, value=json.dumps(value), of=message, children=owed.children)
        self.settle(owed)
        assert mine is not None
        self.results[message.id] = mine

    def settle(self, owed: canvas.Owed) -> None:
        self.sizes |= dict(owed.sizes)
        for sent in owed.publications:
            self.queue.append(sent.raw)
            self.queues[sent.id] = sent.routing_key
        self.results |= dict(owed.results)
        for part in owed.parts:
            arrived = self.arrived.setdefault(part.group_id, {})
            arrived[part.task_id, part.index] = part.member
            if len(arrived) == self.sizes.get(part.group_id):
                order = sorted(arrived, key=lambda at: at[1] or 0)
                self.settle(
                    canvas.complete(part, [arrived[at] for at in order], self.nested.get(part.group_id), self.desk)
                )

    def value(self, id: str) -> Any:
        read = decode_result(self.results[id])
        assert read.error is None, read.error
        return json.loads(read.value or "null")

    def tell(self, result: Any) -> Any:
        """The value of a result of Celery's."""
        if hasattr(result, "results"):
            return [self.tell(each) for each in result.results]
        return self.value(result.id)


def worked(signature: Any) -> tuple[Toy, Any]:
    result = signature.apply_async()
    toy = Toy()
    return toy.work(), result


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        (chain(add.s(1, 2), add.s(3), add.s(4)), 10),
        (chain(add.s(1, 2), same.si(7)), 7),
        (chord([add.s(1, 2), add.s(3, 4)], total.s()), 10),
        (chord([chain(add.s(1, 2), add.s(3)), add.s(4, 5)], same.s()), [6, 9]),
        (group(add.s(1, 2), add.s(3, 4)) | total.s() | add.s(5), 15),
        (add.s(1, 2) | group(add.s(3), add.s(4)), [6, 7]),
        (add.s(1, 2) | group(add.s(3), add.s(4)) | total.s(), 13),
        (add.s(1, 2) | group(add.s(3), add.s(4)) | total.s() | group(add.s(5), add.s(6)) | same.s(), [18, 19]),
        (chord([add.s(1, 2)], chain(total.s(), add.s(3))), 6),
        (chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)], same.s()), [6, 6]),
        (group(chain(add.s(1, 2), add.s(3)), add.s(4, 5)), [6, 9]),
        (chord([add.s(1, 2), add.s(3, 4)], group(same.s(), total.s())), [[3, 7], 10]),
        (add.s(1, 2) | chord([add.s(3), add.s(4)], total.s()), 13),
        (chain(same.s(0), group(add.s(1), chain(add.s(2), group(add.s(3), add.s(4)), total.s())), same.s()), [1, 11]),
        (chord([], total.s()), 0),
    ],
)
def test_it_ends_as_it_does_with_celery(signature: Any, value: Any) -> None:
    toy, result = worked(signature)
    assert toy.tell(result) == value


tasks = st.sampled_from([add.s(1), same.s(), same.si(3)])
heads = st.sampled_from([add.s(1, 2), same.s(4), same.si(5)])
canvases = st.recursive(
    tasks,
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(lambda each: chain(*each))
        | st.lists(inner, min_size=2, max_size=3).map(lambda each: group(*each) | total.s())
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(heads, st.lists(canvases, min_size=1, max_size=3))
def test_any_canvas_ends_as_it_does_with_celery(head: Any, rest: list[Any]) -> None:
    signature = chain(head.clone(), *[each.clone() for each in rest])
    expected = signature.clone().apply().get()
    toy, result = worked(signature)
    assert toy.tell(result) == expected


def test_callbacks_go_out_before_the_result_and_are_its_children() -> None:
    toy, result = worked(add.s(1, 2).set(link=[add.s(10)]))
    (child,) = decode_result(toy.results[result.id]).children
    ((id, parent), below) = child
    assert (parent, below, toy.value(id)) == (None, None, 13)
    assert decode_result(toy.results[id]).parent_id == result.id
    assert toy.messages[id].headers["root_id"] == result.id


def test_several_callbacks_are_a_group() -> None:
    toy, result = worked(add.s(1, 2).set(link=[add.s(10), same.si("mine"), group(add.s(20), add.s(30))]))
    groups = decode_result(toy.results[result.id]).children
    values = [[toy.value(id) for (id, _), _ in below] for (_, _), below in groups]
    assert values == [[23, 33], [13, "mine"]]
    ((gid, _), members) = groups[1]
    assert {toy.messages[id].headers["group"] for (id, _), _ in members} == {gid}


def test_options_of_a_signature_are_options_of_its_message() -> None:
    toy = Toy()
    told = same.s().set(
        queue="other",
        priority=6,
        countdown=60,
        expires=120,
        time_limit=9,
        soft_time_limit=4,
        shadow="shown",
        ignore_result=True,
        headers={"my": "own"},
        link_error=boom.s(),
    )
    told.options |= {"stamped_headers": ["tenant"], "tenant": ["a"]}
    add.apply_async((1, 2), link=told)
    toy.fetch()
    toy.step(decode_message(toy.queue.popleft()))
    (sent,) = toy.queue
    message = decode_message(sent)
    assert (message.queue, message.priority, message.eta, message.expires) == ("other", 6, 1e9 + 60, 1e9 + 120)
    assert (message.timelimit, message.headers["shadow"], message.headers["ignore_result"]) == ((9, 4), "shown", True)
    assert (message.headers["my"], message.headers["stamps"]) == ("own", {"tenant": ["a"]})
    assert message.content.embed["errbacks"][0]["task"] == "boom"
    assert sent.startswith(b'{"properties":{"delivery_tag":"')


def test_an_error_ends_the_rest_of_the_chain() -> None:
    toy, result = worked(chain(add.s(1, 2), boom.s(), add.s(3), add.s(4)))
    assert [task for task, _ in toy.ran] == ["add", "boom"]
    for id in (result.id, result.parent.id, result.parent.parent.id):
        read = decode_result(toy.results[id])
        assert read.error == Failure(type="ValueError", message="('boom', 1)", traceback="Traceback")


def test_an_error_calls_the_errbacks() -> None:
    toy, result = worked(boom.s().set(link_error=[seen.s("a"), seen.si("b")]))
    assert toy.ran[1:] == [("seen", (result.id, "a")), ("seen", ("b",))]
    assert all(toy.messages[id].headers["parent_id"] == result.id for id in list(toy.messages)[1:])


def test_a_part_that_fails_breaks_its_chord() -> None:
    body = total.s().set(link_error=[seen.s()])
    toy, result = worked(chord([add.s(1, 2), boom.s()], body))
    assert ("total", ([3],)) not in toy.ran
    read = decode_result(toy.results[result.id])
    (failed,) = (id for id, message in toy.messages.items() if message.task == "boom")
    assert read.error is not None
    assert read.error.type == "celery.exceptions.ChordError"
    assert read.error.message == f"Dependency {failed} raised ValueError('boom', 1)"
    assert toy.ran[-1][0] == "seen"


def test_a_chain_that_fails_in_a_header_breaks_the_chord() -> None:
    toy, result = worked(chord([chain(boom.s(), add.s(1)), add.s(1, 2)], total.s()))
    read = decode_result(toy.results[result.id])
    assert read.error is not None
    assert read.error.type == "celery.exceptions.ChordError"
    assert [task for task, _ in toy.ran] == ["boom", "add"]


def test_what_is_revoked_only_gives_its_part() -> None:
    toy = Toy()
    chord([add.s(1, 2)], total.s()).apply_async()
    chain(add.s(1, 2).set(link_error=boom.s()), add.s(3)).apply_async()
    toy.fetch()
    exc = {"exc_type": "TaskRevokedError", "exc_message": ["expired"], "exc_module": "celery.exceptions"}
    first, second = (
        canvas.on_failure(decode_message(raw), exc, None, "celery", toy.desk, revoked=True) for raw in toy.queue
    )
    assert second == canvas.NOTHING_OWED
    (part,) = first.parts
    assert json.loads(part.member)[2] == "REVOKED"
    (broken,) = canvas.complete(part, [part.member], None, toy.desk).results
    assert b"TaskRevokedError('expired')" in broken[1]


def test_a_body_that_cannot_be_sent_breaks_the_chord() -> None:
    part = canvas.Part(
        group_id="g", task_id="t", index=0, member='[1,"t","SUCCESS",1]', body={"options": {"task_id": "b"}}, queue="q"
    )
    ((id, raw),) = canvas.complete(part, [part.member], None, Toy().desk).results
    assert id == "b"
    assert "names no task" in str(decode_result(raw).error)


def test_nothing_is_owed_for_nothing() -> None:
    toy = Toy()
    add.apply_async((1, 2))
    toy.fetch()
    message = decode_message(toy.queue.popleft())
    assert not canvas.owes(message)
    assert canvas.on_success(message, "3", "celery", toy.desk) is canvas.NOTHING_OWED
    assert canvas.on_failure(message, {}, None, "celery", toy.desk) is canvas.NOTHING_OWED


@pytest.mark.parametrize("sent", [5, {}, {"task": 7}, {"subtask_type": "chord"}, {"subtask_type": "chain"}, "add"])
def test_what_is_no_signature_says_so(sent: Any) -> None:
    embed = {"callbacks": [sent], "errbacks": None, "chain": None, "chord": None}
    from tests.unit.celery.test_message import published

    with pytest.raises(ValueError, match=r"signature|body|tasks"):
        canvas.on_success(decode_message(published([[], {}, embed])), "1", "celery", Toy().desk)
