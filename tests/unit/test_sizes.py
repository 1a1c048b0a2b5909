"""Sizes of memory and of workers, as people write them."""

from __future__ import annotations

import pytest

from qtool.engine.sizes import MOST_SLOTS, format_size, parse_size, parse_slots
from qtool.errors import BadSize, BadSlots


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("512", 512),
        ("1k", 1024),
        ("200MB", 200 << 20),
        ("200 MiB", 200 << 20),
        ("1.5G", 3 << 29),
        (".5kb", 512),
        ("7B", 7),
        ("2T", 2 << 40),
    ],
)
def test_a_size_is_read_as_it_is_written(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "0", "-1", "1X", "1 2", "1e9", "0.1B", "99999999999T", "٣MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadSize, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(999, "999 B"), (1024, "1 KB"), (210_000_000, "200 MB"), (3 << 29, "1.5 GB")]
)
def test_a_size_is_told_to_three_digits(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("text", "slots"), [("1", (1, 1)), ("2:8", (2, 8)), ("4:4", (4, 4)), (f"1:{MOST_SLOTS}", (1, MOST_SLOTS))]
)
def test_slots_are_read_as_they_are_written(text: str, slots: tuple[int, int]) -> None:
    assert parse_slots(text) == slots


@pytest.mark.parametrize("text", ["", "0", ":", "2:", ":2", "8:2", "1:2:3", "-1", "two", f"{MOST_SLOTS + 1}", "9" * 99])
def test_what_is_no_number_of_slots_is_refused(text: str) -> None:
    with pytest.raises(BadSlots, match="is not a number of slots"):
        parse_slots(text)
