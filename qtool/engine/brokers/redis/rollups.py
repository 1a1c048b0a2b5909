"""The history: what is added to it, at three widths at once, each with a time to live; and how it is read back.

A span is the hash ``qtool:rollup:<width>:<at>``. Its fields are ``<queue>\\n<what>``, where *what* is one of
:data:`~qtool.engine.rollup.COUNTERS`, ``wait`` or ``run`` (the sum, in microseconds, so that every number is whole), or
``wait:<bucket>`` or ``run:<bucket>`` (the histogram). Nothing has to thin them: whoever reads takes the width that the
age of a time calls for, by the arithmetic of every other adapter (:mod:`qtool.engine.rollup`). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.rollup import HISTORY_KEEP, LATENCY_WINDOW, RATE_WINDOW, THINNING, Tally, floor_to, gathered, widths
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MICRO = 1_000_000

SLACK = 3600
"""Seconds that a span is kept beyond its age: readers go by clocks of their own."""

TO_LIVE: dict[int, int] = {
    1: 60 + THINNING[0][1] + SLACK,
    60: 3600 + THINNING[1][1] + SLACK,
    3600: HISTORY_KEEP + SLACK,
}
"""Seconds after which the server forgets a span, by its width."""

AT_ONCE = 4000
"""Spans that the server is asked for in one go, there or not."""


# --- writing -----------------------------------------------------------------------------------------


def sums(tally: Tally) -> dict[str, int]:
    """What is to be added to a span, by field."""
    queue = tally.queue
    found = {f"{queue}\n{counter}": by for counter, by in tally.counters.items() if by}
    for name, histogram, total in (("wait", tally.wait, tally.wait_total), ("run", tally.run, tally.run_total)):
        if histogram:
            found[f"{queue}\n{name}"] = round(total * MICRO)
            found |= {f"{queue}\n{name}:{bucket}": by for bucket, by in histogram.items()}
    return found


def spans(at: float) -> list[tuple[int, int, int]]:
    """The spans that something at this time is added to: width, where it begins, seconds to live."""
    return [(width, floor_to(at, width), seconds) for width, seconds in TO_LIVE.items()]


# --- reading -----------------------------------------------------------------------------------------


class Stretch(Value):
    """Spans of one width that are read together."""

    width: int
    first: int
    """Where the first one begins…"""
    end: int
    """… and the last one has begun before."""
    into: int
    """They are added up to spans so wide; all of them to one where it is 0."""


def stretches(since: float, until: float, seconds: int, now: float) -> list[Stretch]:
    """What to read of the history between two times, in spans of at least ``seconds``; oldest first."""
    found = []
    for width, first, end in widths(now):
        into = gathered(width, seconds)
        # Another host's clock may be ahead.
        last = min(until, now + SLACK if width == 1 else end)
        begin = max(first, floor_to(since, width))
        # In pieces that no wide span lies across.
        step = max(1, AT_ONCE * width // into) * into
        while begin < last:
            turn = min(last, floor_to(begin, into) + step)
            found.append(Stretch(width, begin, -int(-turn // 1), into))
            begin = floor_to(begin, into) + step
    return found


def windows(now: float) -> tuple[list[Stretch], list[Stretch]]:
    """What to read for a snapshot: the last minute's counts, and the last ten minutes' durations.

    The minutes between are read as minutes: a look once a second is to cost little.
    """
    end = int(now) + 1
    minute, begin = end - RATE_WINDOW, end - LATENCY_WINDOW
    whole, last = floor_to(begin + 59, 60), floor_to(end, 60)
    return [Stretch(1, minute, end, 0)], [
        Stretch(1, begin, whole, 0),
        Stretch(60, whole, last, 0),
        Stretch(1, last, end, 0),
    ]


def tallies(at: int, seconds: int, fields: Iterable[tuple[str, int]], queues: Collection[str] = ()) -> list[Tally]:
    """What a span holds, by queue; of these queues only, where some are named."""
    found: dict[str, Tally] = {}
    for field, by in fields:
        queue, _, what = field.rpartition("\n")
        if queues and queue not in queues:
            continue
        if queue not in found:
            found[queue] = Tally(at, seconds, queue)
        _add(found[queue], what, by)
    return list(found.values())


def _add(tally: Tally, what: str, by: int) -> None:
    name, colon, bucket = what.partition(":")
    if name == "wait":
        if colon:
            tally.wait[int(bucket)] = tally.wait.get(int(bucket), 0) + by
        else:
            tally.wait_total += by / MICRO
    elif name == "run":
        if colon:
            tally.run[int(bucket)] = tally.run.get(int(bucket), 0) + by
        else:
            tally.run_total += by / MICRO
    else:
        tally.count(what, by)
