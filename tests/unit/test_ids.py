"""Ids: UUIDs of version 7 that sort by the time they were made."""

from __future__ import annotations

import uuid

import pytest

from qtool.engine.ids import IdSource, new_id


class Wall:
    def __init__(self, now: float = 1_700_000_000.123) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def milliseconds(id: str) -> int:
    return int(id[:8] + id[9:13], 16)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_ids_are_uuids_of_version_7(count: int) -> None:
    for id in new_id.batch(count):
        parsed = uuid.UUID(id)
        assert str(parsed) == id
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


@pytest.mark.parametrize("noise", [b"\0", b"\xff"])
def test_randomness_stays_out_of_version_and_variant(noise: bytes) -> None:
    source = IdSource(random=lambda count: noise * count)
    for id in source.batch(3):
        assert (uuid.UUID(id).version, uuid.UUID(id).variant) == (7, uuid.RFC_4122)


def test_every_random_byte_is_used() -> None:
    source = IdSource(random=lambda count: bytes(range(count)))
    first, second = source.batch(2)
    assert first.replace("-", "")[16:] == "8001020304050607"
    assert second.replace("-", "")[16:] == "88090a0b0c0d0e0f"


def test_an_id_tells_when_it_was_made() -> None:
    wall = Wall()
    source = IdSource(wall)
    assert milliseconds(source()) == int(wall.now * 1000)
    wall.now += 1
    later = source()
    assert milliseconds(later) == int(wall.now * 1000)
    assert later[14:18] == "7000", "each millisecond counts from the start"


def test_ids_of_one_moment_increase() -> None:
    source = IdSource(Wall())
    ids = [source() for _ in range(50)] + source.batch(50)
    assert ids == sorted(ids)
    assert len(set(ids)) == 100


@pytest.mark.parametrize("count", [4096, 4097, 10_000])
def test_more_than_fit_in_a_millisecond_borrow_from_the_next(count: int) -> None:
    wall = Wall()
    source = IdSource(wall)
    ids = source.batch(count) + source.batch(2)
    assert ids == sorted(ids)
    assert len(set(ids)) == count + 2
    assert milliseconds(ids[-1]) - milliseconds(ids[0]) == (count + 1) // 4096


def test_a_clock_that_goes_back_makes_no_smaller_ids() -> None:
    wall = Wall()
    source = IdSource(wall)
    before = source()
    wall.now -= 100
    assert source() > before
    wall.now += 100.5
    assert source() > before


def test_sources_do_not_make_the_same_ids() -> None:
    wall = Wall()
    assert IdSource(wall)() != IdSource(wall)()
