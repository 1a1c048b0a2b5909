"""How a worker's number of slots follows its load, and where its slots stand on the slate."""

from __future__ import annotations

import random

import pytest

from qtool.engine.worker.places import Places
from qtool.engine.worker.scale import GROW_AFTER, SHRINK_AFTER, Pressure, Size, rescale
from qtool.engine.worker.wear import START_UP, nearly_spent

LONG = 1000.0
"""Seconds: an instant in the life of a worker."""


@pytest.mark.parametrize(
    ("why", "full_for", "window", "peak", "slots", "active", "waiting", "expected"),
    [
        ("nothing to do", None, 1.0, 0, 2, 0, 0, 2),
        ("full, but nothing waits", None, 1.0, 2, 2, 2, 0, 2),
        ("jobs wait, but a slot is free", None, 1.0, 1, 2, 1, 9, 2),
        ("jobs begin to wait", None, 1.0, 2, 2, 2, 9, 2),
        ("they have waited, but not long", GROW_AFTER * 0.9, 1.0, 2, 2, 2, 9, 2),
        ("they have waited long enough", GROW_AFTER, 1.0, 2, 2, 2, 9, 4),
        ("one slot more is all they need", GROW_AFTER, 1.0, 4, 4, 4, 1, 5),
        ("no more than there may be", GROW_AFTER, 1.0, 6, 6, 6, 99, 8),
        ("as many as there may be", GROW_AFTER, 1.0, 8, 8, 8, 99, 8),
        ("idle, but not for long", None, SHRINK_AFTER * 0.9, 1, 8, 0, 0, 8),
        ("idle long enough", None, SHRINK_AFTER, 0, 8, 0, 0, 2),
        ("as many as were busy are kept", None, SHRINK_AFTER, 5, 8, 0, 0, 5),
        ("busy just now", None, SHRINK_AFTER, 3, 8, 7, 0, 7),
        ("all were busy once in the window", None, SHRINK_AFTER, 8, 8, 0, 0, 8),
    ],
)
def test_the_slots_follow_the_load(
    why: str, full_for: float | None, window: float, peak: int, slots: int, active: int, waiting: int, expected: int
) -> None:
    full_since = LONG - full_for if full_for is not None else None
    seen = Pressure(full_since=full_since, since=LONG - window, peak=peak)
    got, after = rescale(seen, now=LONG, slots=slots, least=2, most=8, active=active, waiting=waiting)
    assert got == expected, why
    if got > slots:
        # What has just grown is neither grown again at once nor judged by what was before.
        assert (after.full_since, after.since) == (LONG, LONG)


def test_a_load_that_comes_and_goes_does_not_shake_the_pool() -> None:
    seen, slots, sizes = Pressure(since=0.0), 4, []
    for tick in range(400):
        now = tick * 0.25
        busy = tick // 8 % 2 == 0
        slots, seen = rescale(seen, now=now, slots=slots, least=1, most=4, active=4 if busy else 0, waiting=0)
        sizes.append(slots)
    assert set(sizes) == {4}


@pytest.mark.parametrize("seed", range(20))
def test_the_slots_stay_between_the_least_and_the_most(seed: int) -> None:
    draw = random.Random(seed)
    least = draw.randrange(1, 5)
    most = least + draw.randrange(0, 20)
    seen, slots, now = Pressure(since=0.0), least, 0.0
    for _ in range(300):
        now += draw.random() * 3
        active, waiting = draw.randrange(0, slots + 1), draw.choice([0, 1, 100])
        slots, seen = rescale(seen, now=now, slots=slots, least=least, most=most, active=active, waiting=waiting)
        assert least <= slots <= most


def test_a_size_tells_when_it_changes_and_keeps_to_its_bounds() -> None:
    size = Size(2, 8)
    told: list[int] = []
    size.on_change(told.append)
    size.set(2)
    size.set(5)
    size.bound(6, 9)
    size.bound(1, 9)
    size.bound(1, 3)
    assert told == [5, 6, 3]
    assert (size.now, size.least, size.most) == (3, 1, 3)


def test_a_successor_is_started_when_the_last_jobs_take_no_longer_than_it_does() -> None:
    assert nearly_spent(0, 60.0)
    assert not nearly_spent(1, 60.0)
    assert nearly_spent(int(START_UP / 0.001), 0.001)
    assert not nearly_spent(int(START_UP / 0.001) + 10, 0.001)


# --- places ------------------------------------------------------------------------------------------


def test_places_are_handed_out_from_the_lowest() -> None:
    places = Places(10)
    assert [places.take(4), places.take(), places.take(4)] == [0, 4, 5]
    assert places.take(2) is None
    places.give(4)
    assert places.take() == 4


@pytest.mark.parametrize("seed", range(10))
def test_no_place_is_handed_out_twice_and_all_come_back(seed: int) -> None:
    draw = random.Random(seed)
    places, held = Places(64), dict[int, int]()
    for _ in range(500):
        if held and draw.random() < 0.5:
            first = draw.choice([*held])
            places.give(first, held.pop(first))
            continue
        count = draw.choice([1, 1, 3, 8])
        if (place := places.take(count)) is not None:
            taken = {n for first, size in held.items() for n in range(first, first + size)}
            assert not taken & {*range(place, place + count)}
            assert place + count <= 64
            held[place] = count
    for first, count in held.items():
        places.give(first, count)
    assert places.take(64) == 0
