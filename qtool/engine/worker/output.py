"""What runs wrote and have not yet stored: bounded to the head and the tail, whatever they write."""

from __future__ import annotations

from qtool.engine.job import Chunk
from qtool.engine.output import HEAD, TAIL, bound

_SLACK = HEAD + 2 * TAIL


class Output:
    """The output of one attempt, on its way to the store."""

    __slots__ = ("_fresh", "_held", "offset")

    def __init__(self) -> None:
        self.offset = 0
        """Bytes written so far, kept or not."""
        self._fresh: list[Chunk] = []
        self._held = 0

    def add(self, stream: str, data: bytes, skipped: int = 0) -> None:
        """Append; ``skipped`` bytes before it were dropped where it was written."""
        self.offset += skipped
        self._fresh.append(Chunk(stream, self.offset, data))
        self.offset += len(data)
        self._held += len(data)
        if self._held > _SLACK:
            self._trim()

    def _trim(self) -> None:
        """Keep what lies in the attempt's head, and the tail."""
        end = self.offset
        kept = bound(self._fresh, tail=TAIL)
        self._fresh = [chunk for chunk in kept if chunk.offset < HEAD or chunk.offset >= end - TAIL]
        self._held = sum(len(chunk.data) for chunk in self._fresh)

    def __bool__(self) -> bool:
        return bool(self._fresh)

    def take(self) -> tuple[Chunk, ...]:
        """What is not stored yet, neighbours of one stream joined; it is the caller's from now on."""
        if self._held > TAIL:
            self._trim()
        fresh, self._fresh, self._held = self._fresh, [], 0
        if len(fresh) < 2:
            return tuple(fresh)
        joined: list[tuple[str, int, list[bytes]]] = []
        end = -1
        for chunk in fresh:
            if joined and joined[-1][0] == chunk.stream and chunk.offset == end:
                joined[-1][2].append(chunk.data)
            else:
                joined.append((chunk.stream, chunk.offset, [chunk.data]))
            end = chunk.offset + len(chunk.data)
        return tuple([Chunk(stream, offset, b"".join(parts)) for stream, offset, parts in joined])
