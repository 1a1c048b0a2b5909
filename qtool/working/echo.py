"""``--echo``: what jobs write, copied to the worker's stderr line by line as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtool.engine.job import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtool.engine.job import Lease, Settlement

LONGEST = 16 * 1024
"""Bytes of a line that wait for its end; then it goes on in another."""

MOST = 10_000
"""Unfinished lines; the oldest is forgotten first, for a run whose lease was lost never ends here."""


class Line(NamedTuple):
    """A line of a job's output."""

    lease: Lease
    stream: str
    text: str


class Echo:
    """Puts the pieces of jobs' output together to lines."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, int, str], bytes] = {}

    def lines(self, news: Sequence[Report | Settlement]) -> Iterator[Line]:
        """The lines that are complete by now, or that no more will come of."""
        for each in news:
            lease = each.lease
            for chunk in each.output:
                key = (lease.key, lease.token, chunk.stream)
                *whole, rest = (self._begun.pop(key, b"") + chunk.data).split(b"\n")
                for line in whole:
                    yield _line(lease, chunk.stream, line)
                while len(rest) > LONGEST:
                    yield _line(lease, chunk.stream, rest[:LONGEST])
                    rest = rest[LONGEST:]
                if rest:
                    if len(self._begun) >= MOST:
                        del self._begun[next(iter(self._begun))]
                    self._begun[key] = rest
            if self._begun and not isinstance(each, Report):
                yield from self._end(lease)

    def _end(self, lease: Lease) -> Iterator[Line]:
        for stream in ("stdout", "stderr", "log"):
            if rest := self._begun.pop((lease.key, lease.token, stream), b""):
                yield _line(lease, stream, rest)


def _line(lease: Lease, stream: str, data: bytes) -> Line:
    return Line(lease, stream, data.removesuffix(b"\r").decode("utf-8", "backslashreplace"))
