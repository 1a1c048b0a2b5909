"""The history in Redis, read as any other: kept at three widths, taken at the one that its age calls for."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from qtool.engine.brokers.redis.rollups import AT_ONCE, TO_LIVE, Stretch, spans, stretches, sums, tallies, windows
from qtool.engine.rollup import HISTORY_KEEP, Tally, gather, thin, widths

NOW = 1_700_000_000.0
DAY = 86400


class Kept:
    """The spans as a server has them; what they are asked for together is added up as the script does."""

    def __init__(self) -> None:
        self.spans: dict[tuple[int, int], Counter[str]] = {}

    def add(self, tally: Tally) -> None:
        for width, at, _ in spans(tally.at):
            self.spans.setdefault((width, at), Counter()).update(sums(tally))

    def read(self, stretch: Stretch) -> list[Tally]:
        found: dict[int, Counter[str]] = {}
        for at in range(stretch.first, stretch.end, stretch.width):
            start = at - at % stretch.into if stretch.into else stretch.first
            if (stretch.width, at) in self.spans:
                found.setdefault(start, Counter()).update(self.spans[stretch.width, at])
        return [tally for at in sorted(found) for tally in tallies(at, stretch.into, found[at].items())]


def happened(count: int, span: float, seed: int) -> list[Tally]:
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        tally = Tally(int(NOW - chance.random() ** 3 * span), 1, chance.choice("ab"))
        tally.count(chance.choice(["enqueued", "dead"]), chance.randrange(1, 5))
        tally.waited(chance.random())
        tally.ran(chance.random() * 100)
        found.append(tally)
    return found


@pytest.mark.parametrize("seconds", [1, 7, 60, 90, 300, 3600, 5000, 86400])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("span", [600.0, 5 * 3600.0, 20 * DAY, 500 * DAY])
def test_it_is_that_of_a_history_that_is_thinned(seconds: int, together: bool, span: float) -> None:
    events, kept = happened(300, span, seconds), Kept()
    for tally in events:
        kept.add(tally)
    read = [tally for stretch in stretches(0, NOW + 1, seconds, NOW) for tally in kept.read(stretch)]
    found = [tally.bucket() for tally in gather(read, seconds, together=together)]
    expected = [tally.bucket() for tally in gather(thin(events, NOW), seconds, together=together)]
    assert [(b.at, b.seconds, b.queue, b.enqueued, b.dead) for b in found] == [
        (b.at, b.seconds, b.queue, b.enqueued, b.dead) for b in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.run is not None
        assert other.run is not None
        assert (one.run.count, one.run.p50) == (other.run.count, other.run.p50)
        assert one.run.mean == pytest.approx(other.run.mean, abs=1e-5)


def test_nothing_is_asked_for_at_length() -> None:
    found = stretches(0, 1e11, 1, NOW)
    assert all((each.end - each.first) / each.width <= AT_ONCE for each in found)
    assert all(one.end <= other.first for one, other in itertools.pairwise(found))
    assert sum((each.end - each.first) // each.width for each in found) < 40_000


def test_the_widths_leave_no_gap() -> None:
    for now in (NOW, NOW + 0.5, NOW + 1799, 3600.0 * 500_000):
        found = widths(now)
        assert [width for width, _, _ in found] == [3600, 60, 1]
        assert [end for _, _, end in found[:-1]] == [first for _, first, _ in found[1:]]
        assert all(first % width == 0 for width, first, _ in found)


@pytest.mark.parametrize("now", [NOW, NOW + 59.9, NOW + 0.2, 60.0 * 28_333_333])
def test_a_snapshot_sees_the_last_minute_and_the_last_ten(now: float) -> None:
    minute, recent = windows(now)
    seen = Counter(
        second
        for each in recent
        for at in range(each.first, each.end, each.width)
        for second in range(at, at + each.width)
    )
    assert set(seen) == set(range(int(now) - 599, int(now) + 1))
    assert set(seen.values()) == {1}
    assert [(each.first, each.end) for each in minute] == [(int(now) - 59, int(now) + 1)]
    assert sum((each.end - each.first) // each.width for each in recent) < 140


def test_a_span_lives_as_long_as_it_is_read() -> None:
    for width, first, _ in widths(NOW):
        assert NOW - first < TO_LIVE[width]
    assert TO_LIVE[3600] > HISTORY_KEEP
