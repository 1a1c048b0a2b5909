"""The producer's hook: what it may change of a job, and what it may not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from qtool import Client, Job, before_enqueue, task
from qtool.engine import hooks
from qtool.errors import BadName

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "producers", [])


def test_every_job_from_python_passes_and_may_be_changed(client: Client) -> None:
    @before_enqueue
    def stamp(job: Job) -> Job:
        return replace(job, tags={**job.tags, "by": "test"}, queue="slow" if job.args == (2,) else job.queue)

    @task(name="shop.count", tags={"kind": "number"})
    def count(number: int) -> int:
        return number

    handles = [count.delay(1), *count.map([2, 3]), client.enqueue("shop.other", 4)]
    infos = [handle.info() for handle in handles]
    assert [info.tags["by"] for info in infos] == ["test"] * 4
    assert [info.queue for info in infos] == ["default", "slow", "default", "default"]
    assert infos[0].tags == {"kind": "number", "by": "test"}


def test_hooks_pass_the_job_on_in_their_order(client: Client) -> None:
    def adding(word: str) -> Callable[[Job], Job]:
        return lambda job: replace(job, args=(*job.args, word))

    before_enqueue(adding("a"))
    before_enqueue(adding("b"))
    assert client.enqueue("shop.count", "x").info().args == ("x", "a", "b")


def test_what_it_raises_the_caller_gets_and_nothing_is_sent(client: Client) -> None:
    @before_enqueue
    def refuse(job: Job) -> Job:
        raise PermissionError("not today")

    with pytest.raises(PermissionError, match="not today"):
        client.enqueue("shop.count", 1)
    assert client.adapter().inspector.snapshot().queues == ()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda job: None, TypeError),
        (lambda job: replace(job, id="another"), ValueError),
        (lambda job: replace(job, priority=11), ValueError),
        (lambda job: replace(job, queue="two words"), BadName),
        (lambda job: replace(job, tags={"": "x"}), BadName),
    ],
)
def test_a_job_that_cannot_be_sent_is_refused(client: Client, change: Any, error: type[Exception]) -> None:
    before_enqueue(change)
    with pytest.raises(error):
        client.enqueue("shop.count", 1)


def test_what_is_no_function_is_no_hook() -> None:
    with pytest.raises(TypeError):
        before_enqueue("stamp")  # type: ignore[type-var]
