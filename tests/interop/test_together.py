"""Canvases whose tasks run at Celery's worker (queue ``c``) and at qtool's (queue ``q``) in turn."""

from __future__ import annotations

from typing import Any

import celery.exceptions
import pytest
from celery import chain, chord, group

from tests.interop.conftest import Fleet, until

WAIT = 25


@pytest.fixture(scope="module", autouse=True)
def workers(fleet: Fleet) -> None:
    fleet.celery_worker("-P", "solo", "-Q", "c")
    fleet.qtool_worker("-Q", "q", "-j", "2")


def sig(fleet: Fleet, queue: str, name: str, *args: Any) -> Any:
    return fleet.sig(name, *args).set(queue=queue)


@pytest.mark.parametrize("order", ["cqcq", "qcqc"])
def test_a_chain_goes_back_and_forth(fleet: Fleet, order: str) -> None:
    steps = [sig(fleet, queue, "add", n) for n, queue in enumerate(order)]
    steps[0] = sig(fleet, order[0], "add", 1, 1)
    result = chain(*steps).apply_async()
    assert result.get(WAIT) == 8
    assert result.parent.parent.parent.get(WAIT) == 2


@pytest.mark.parametrize("body", "cq")
@pytest.mark.parametrize("last", "cq")
def test_a_chord_is_given_its_parts_by_both(fleet: Fleet, body: str, last: str) -> None:
    """Whoever gives the last part sends the body."""
    header = [sig(fleet, "cq"[n % 2], "add", n, n) for n in range(6)]
    header.append(sig(fleet, last, "sleep", 0.5))
    result = chord(header, sig(fleet, body, "total")).apply_async()
    assert result.get(WAIT) == 30.5
    until(lambda: not _left(fleet))


@pytest.mark.parametrize("last", "cq")
def test_a_chord_breaks_whoever_gives_the_last_part(fleet: Fleet, last: str) -> None:
    first = "q" if last == "c" else "c"
    header = [sig(fleet, first, "boom"), sig(fleet, last, "sleep", 0.5)]
    result = chord(header, sig(fleet, "q", "total")).apply_async()
    error = result.get(WAIT, propagate=False)
    assert isinstance(error, celery.exceptions.ChordError)
    assert str(error).endswith("raised ValueError('boom', {'k': 1})")


@pytest.mark.parametrize("queue", "cq")
def test_callbacks_at_the_other(fleet: Fleet, queue: str) -> None:
    other = "q" if queue == "c" else "c"
    result = fleet.send("add", 1, 2, queue=queue, link=sig(fleet, other, "add", 10))
    assert result.get(WAIT) == 3
    (child,) = result.children
    assert child.get(WAIT) == 13


@pytest.mark.parametrize("queue", "cq")
def test_a_chain_fails_at_the_other(fleet: Fleet, queue: str) -> None:
    other = "q" if queue == "c" else "c"
    steps = sig(fleet, queue, "add", 1, 2), sig(fleet, other, "boom"), sig(fleet, queue, "same")
    result = chain(*steps).apply_async()
    with pytest.raises(ValueError, match="boom"):
        result.get(WAIT)
    # The client raises as soon as one of them has failed.
    until(lambda: (result.state, result.parent.state) == ("FAILURE", "FAILURE"))


@pytest.mark.parametrize("order", ["cqc", "qcq"])
def test_groups_between_tasks(fleet: Fleet, order: str) -> None:
    first, middle, last = list(order)
    parts = group(sig(fleet, queue, "add", n) for n, queue in enumerate(middle + last + middle))
    result = (sig(fleet, first, "add", 1, 2) | parts | sig(fleet, last, "total") | sig(fleet, first, "add", 1)).delay()
    assert result.get(WAIT) == 13


def test_chords_in_chords(fleet: Fleet) -> None:
    inner = chord([sig(fleet, "q", "add", 1, 1), sig(fleet, "c", "add", 2, 2)], sig(fleet, "q", "total"))
    result = chord([inner, sig(fleet, "c", "add", 3, 3)], sig(fleet, "c", "same")).apply_async()
    assert result.get(WAIT) == [[[6, 6]], {}]


def _left(fleet: Fleet) -> list[bytes]:
    """What is left of chords, but for the note that they are done."""
    keys = fleet.app.backend.client.keys(f"{fleet.prefix}celery-taskset-meta-*")
    return [key for key in keys if not key.endswith(b".c")]
