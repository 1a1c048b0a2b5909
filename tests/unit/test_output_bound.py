"""Head and tail of an attempt's output."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.job import Chunk
from qtool.engine.output import bound, since, size


def chunks(text: bytes, piece: int) -> list[Chunk]:
    return [Chunk("stdout", at, text[at : at + piece]) for at in range(0, len(text), piece)]


def test_what_fits_is_kept_as_it_is() -> None:
    whole = chunks(b"0123456789", 3)
    assert bound(whole, head=5, tail=5) == whole


def test_the_middle_is_dropped_and_the_gap_shows_it() -> None:
    assert bound(chunks(b"0123456789", 3), head=4, tail=2) == [
        Chunk("stdout", 0, b"012"),
        Chunk("stdout", 3, b"3"),
        Chunk("stdout", 8, b"8"),
        Chunk("stdout", 9, b"9"),
    ]


def test_one_chunk_longer_than_the_bound_is_cut_in_two() -> None:
    assert bound([Chunk("log", 0, b"0123456789")], head=2, tail=3) == [Chunk("log", 0, b"01"), Chunk("log", 7, b"789")]


def test_a_reader_goes_on_where_it_was() -> None:
    assert since(chunks(b"0123456789", 4), 5) == [Chunk("stdout", 5, b"567"), Chunk("stdout", 8, b"89")]
    assert since(chunks(b"0123456789", 4), 10) == []
    assert since([], 0) == []


@given(st.binary(max_size=80), st.lists(st.integers(1, 9), max_size=40), st.integers(0, 9), st.integers(0, 9))
def test_bounding_as_it_comes_is_bounding_at_the_end(text: bytes, pieces: list[int], head: int, tail: int) -> None:
    kept: list[Chunk] = []
    at = 0
    for piece in [*pieces, len(text)]:
        if at < len(text):
            kept = bound([*kept, Chunk("stdout", at, text[at : at + piece])], head=head, tail=tail)
            at += piece
    whole = {offset: byte for chunk in kept for offset, byte in enumerate(chunk.data, chunk.offset)}
    expected = dict(enumerate(text))
    if len(text) > head + tail:
        expected = {i: byte for i, byte in expected.items() if i < head or i >= len(text) - tail}
    assert whole == expected
    if tail or len(text) <= head:
        assert size(kept) == len(text)
