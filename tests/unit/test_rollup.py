"""Histograms, quantiles and thinning."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine import rollup
from qtool.engine.rollup import Tally, bucket_of, bucket_value, floor_to, gather, latency, quantile, thin, width_for

DAY = 86400


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 1e-6])
def test_what_is_too_short_to_measure_falls_into_the_first_bucket(seconds: float) -> None:
    assert bucket_of(seconds) == 0


def test_buckets_are_a_quarter_of_a_power_of_two_wide() -> None:
    assert bucket_of(2.1e-6) == 4
    assert bucket_of(4.1e-6) == 8
    assert bucket_of(1.0) == int(4 * math.log2(1e6))


@pytest.mark.parametrize("seconds", [1e300, math.inf])
def test_the_last_bucket_takes_whatever_is_longer(seconds: float) -> None:
    assert bucket_of(seconds) == rollup.LAST_BUCKET


def test_a_duration_that_is_no_number_counts_as_none() -> None:
    assert bucket_of(math.nan) == 0


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_bucket_stands_for_its_durations_within_a_tenth(seconds: float) -> None:
    assert bucket_value(bucket_of(seconds)) == pytest.approx(seconds, rel=0.1)


@given(st.integers(min_value=0, max_value=rollup.LAST_BUCKET))
def test_a_buckets_value_lies_in_it(index: int) -> None:
    assert bucket_of(bucket_value(index)) == index


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
def test_longer_is_never_in_an_earlier_bucket(one: float, other: float) -> None:
    assert bucket_of(min(one, other)) <= bucket_of(max(one, other))


def test_quantiles_are_those_of_the_observations() -> None:
    histogram = {bucket_of(0.010): 94, bucket_of(1.0): 5, bucket_of(100.0): 1}
    assert quantile(histogram, 0.50) == pytest.approx(0.010, rel=0.1)
    assert quantile(histogram, 0.94) == pytest.approx(0.010, rel=0.1)
    assert quantile(histogram, 0.95) == pytest.approx(1.0, rel=0.1)
    assert quantile(histogram, 1.0) == pytest.approx(100.0, rel=0.1)


def test_the_middle_of_three_is_the_second() -> None:
    assert quantile({0: 1, 40: 1, 80: 1}, 0.5) == bucket_value(40)


def test_latency_tells_the_middle_and_the_tail() -> None:
    found = latency({0: 90, 80: 10}, 5.0)
    assert found is not None
    assert (found.p50, found.p95) == (bucket_value(0), bucket_value(80))


def test_latency_of_one_observation() -> None:
    found = latency({bucket_of(0.5): 1}, 0.5)
    assert found is not None
    assert (found.count, found.mean) == (1, 0.5)
    assert found.p50 == found.p95 == pytest.approx(0.5, rel=0.1)


def test_no_observation_has_no_latency() -> None:
    assert latency({}, 0.0) is None
    assert latency({3: 0}, 0.0) is None
    assert quantile({}, 0.5) == 0.0


def test_spans_begin_at_multiples_of_their_width() -> None:
    assert floor_to(119.9, 60) == 60
    assert floor_to(120.0, 60) == 120
    assert floor_to(-0.5, 60) == -60


@pytest.mark.parametrize(
    ("age", "width"),
    [(0, 1), (2 * 3600, 1), (2 * 3600 + 1, 60), (7 * DAY, 60), (7 * DAY + 1, 3600), (399 * DAY, 3600)],
)
def test_old_spans_are_wide(age: int, width: int) -> None:
    assert width_for(age) == width


def tally(at: int, seconds: int = 1, queue: str = "q", *, started: int = 1, wait: float = 0.1) -> Tally:
    made = Tally(at, seconds, queue)
    made.count("started", started)
    for _ in range(started):
        made.waited(wait)
        made.ran(2 * wait)
    return made


def test_a_tally_becomes_a_bucket() -> None:
    bucket = tally(120, 60, started=3, wait=0.1).bucket()
    assert (bucket.at, bucket.seconds, bucket.queue, bucket.started, bucket.dead) == (120.0, 60, "q", 3, 0)
    assert bucket.wait is not None
    assert bucket.run is not None
    assert bucket.wait.count == bucket.run.count == 3
    assert bucket.wait.mean == pytest.approx(0.1)
    assert bucket.run.mean == pytest.approx(0.2)


def test_a_clock_that_jumped_back_makes_no_negative_wait() -> None:
    made = Tally(0, 1, "q")
    made.waited(-5.0)
    made.ran(-5.0)
    assert (made.wait, made.wait_total, made.run, made.run_total) == ({0: 1}, 0.0, {0: 1}, 0.0)


def test_gather_adds_up_by_time_and_queue_and_leaves_its_input_alone() -> None:
    given_ = [tally(61), tally(59), tally(0), tally(3, queue="p")]
    merged = gather(given_, 60)
    assert [(t.at, t.seconds, t.queue, t.counters["started"]) for t in merged] == [
        (0, 60, "p", 1),
        (0, 60, "q", 2),
        (60, 60, "q", 1),
    ]
    assert given_[2].counters == {"started": 1}
    both = merged[1].bucket()
    assert both.wait is not None
    assert both.run is not None
    assert [both.wait.count, both.run.count, both.wait.mean, both.run.mean] == pytest.approx([2, 2, 0.1, 0.2])


def test_gather_keeps_what_is_wider_already_and_rounds_up_to_whole_spans() -> None:
    assert [(t.at, t.seconds) for t in gather([tally(3600, 3600)], 60)] == [(3600, 3600)]
    assert [(t.at, t.seconds) for t in gather([tally(60, 60), tally(180, 60)], 90)] == [(0, 120), (120, 120)]


def test_thin_keeps_the_young_widens_the_old_and_forgets_the_ancient() -> None:
    now = 1_000 * DAY
    young, old, older, ancient = now - 7200, now - 3 * 3600, now - 8 * DAY, now - 401 * DAY
    thinned = thin([tally(at + offset) for at in (young, old, older, ancient) for offset in (0, 1)], now)
    assert [(t.at, t.seconds, t.counters["started"]) for t in thinned] == [
        (older, 3600, 2),
        (old, 60, 2),
        (young, 1, 1),
        (young + 1, 1, 1),
    ]


def test_no_wide_span_is_made_while_a_narrow_one_of_it_is_young() -> None:
    now = 1_000 * DAY
    at = floor_to(now - 7200 - 1, 60)
    assert [t.seconds for t in thin([tally(at), tally(at + 59)], now)] == [1, 1]


@given(
    st.lists(st.tuples(st.integers(0, 420 * DAY), st.sampled_from("pq"), st.integers(1, 5)), max_size=30),
    st.integers(0, 420 * DAY),
)
def test_thinning_twice_is_thinning_once_and_loses_nothing_young(seen: list[tuple[int, str, int]], later: int) -> None:
    now = 420 * DAY
    tallies = [tally(at, queue=queue, started=n) for at, queue, n in seen]
    once = thin(tallies, now)
    assert summary(thin(once, now)) == summary(once)
    assert summary(thin(once, now + later)) == summary(thin(tallies, now + later))
    young = sum(n for at, _, n in seen if now - at <= rollup.HISTORY_KEEP)
    assert sum(t.counters["started"] for t in once if t.at >= now - rollup.HISTORY_KEEP) <= young
    assert sum(t.counters["started"] for t in once) >= young


def summary(tallies: list[Tally]) -> list[tuple[int, int, str, dict[str, int]]]:
    return [(t.at, t.seconds, t.queue, t.counters) for t in tallies]
