"""The bound on captured output: of each attempt the head and the tail are kept. Pure; stdlib only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.job import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = 64 * 1024
"""Bytes kept from the start of an attempt's output."""

TAIL = 64 * 1024
"""Bytes kept from its end."""


def cut(chunk: Chunk, start: int, end: int) -> Chunk | None:
    """The part of ``chunk`` between two offsets of the whole output; None when it has none there."""
    first, last = max(chunk.offset, start), min(chunk.offset + len(chunk.data), end)
    if first >= last:
        return None
    if first == chunk.offset and last == chunk.offset + len(chunk.data):
        return chunk
    return Chunk(chunk.stream, first, chunk.data[first - chunk.offset : last - chunk.offset])


def size(chunks: Iterable[Chunk]) -> int:
    """How long the whole output is, in bytes, whatever of it was dropped."""
    return max((chunk.offset + len(chunk.data) for chunk in chunks), default=0)


def bound(chunks: Iterable[Chunk], *, head: int = HEAD, tail: int = TAIL) -> list[Chunk]:
    """The first ``head`` and the last ``tail`` bytes of an attempt's output; the gap says what was dropped."""
    kept = list(chunks)
    end = size(kept)
    if end <= head + tail:
        return kept
    parts = [part for chunk in kept for part in (cut(chunk, 0, head), cut(chunk, end - tail, end))]
    return sorted((part for part in parts if part is not None), key=lambda part: part.offset)


def since(chunks: Iterable[Chunk], after: int) -> list[Chunk]:
    """What lies at byte ``after`` and beyond."""
    chunks = list(chunks)
    end = size(chunks)
    return [part for chunk in chunks if (part := cut(chunk, after, end)) is not None]
