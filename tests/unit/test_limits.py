"""Rates: what is written, and how many starts they let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.limits import Rate, default_burst, format_rate, parse_rate


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ("10/s", 10.0),
        ("100/m", 100 / 60),
        ("1000/h", 1000 / 3600),
        ("5/d", 5 / 86400),
        ("0.5", 0.5),
        ("2.5 / m", 2.5 / 60),
    ],
)
def test_rates_read_as_celery_s(said: str, rate: float) -> None:
    assert parse_rate(said) == pytest.approx(rate)
    assert parse_rate(rate) == rate


@pytest.mark.parametrize("said", ["", "x", "10/", "10/y", "-1/s", "0", "1e9", "inf", "nan", "2000000/s", "0.5/d0"])
def test_what_is_no_rate_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="a rate is written"):
        parse_rate(said)


@pytest.mark.parametrize("said", [0, -1, float("nan"), float("inf"), True, None])
def test_a_number_that_is_no_rate_is_refused(said: float) -> None:
    with pytest.raises(ValueError, match="a rate is written"):
        parse_rate(said)


@pytest.mark.parametrize("text", ["10/s", "100/m", "1000/h", "5/d", "1/s", "0.5/d", "150/m", "90/m"])
def test_a_rate_is_shown_as_it_is_written(text: str) -> None:
    assert format_rate(parse_rate(text)) == text


def test_a_burst_is_a_tenth_of_a_second_s_starts_and_one_at_least() -> None:
    assert [default_burst(rate) for rate in (0.001, 1, 10, 11, 50, 1000)] == [1, 1, 1, 2, 5, 100]


def test_a_rate_opens_when_it_says() -> None:
    rate, now = Rate(10.0, 2), 1000.0
    assert (rate.allows(now), rate.opens_in(now)) == (2, 0.0)
    rate = rate.after(2, now)
    assert rate.allows(now) == 0
    assert rate.opens_in(now) == pytest.approx(0.1)
    assert rate.allows(now + 0.1) == 1
    assert rate.allows(now + 100) == 2


def test_a_smaller_burst_does_not_close_a_rate_for_long() -> None:
    full = Rate(1.0, 100).after(100, 50.0)
    assert Rate(1.0, 1, full.used, full.used_at).opens_in(50.0) == pytest.approx(1.0, abs=0.01)


@given(
    rate=st.floats(0.01, 1e5),
    burst=st.integers(1, 20),
    start=st.floats(0, 1e7),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=40),
)
def test_no_span_of_time_sees_more_starts_than_the_burst_and_the_rate(
    rate: float, burst: int, start: float, steps: list[tuple[float, int]]
) -> None:
    state, now = Rate(rate, burst), start
    starts: list[float] = []
    for wait, wanted in steps:
        # As long as the rate itself asks for, or some other time.
        now += wait if wait < 2 else state.opens_in(now)
        count = min(wanted, state.allows(now))
        state = state.after(count, now) if count else state
        starts += [now] * count
    for first, began in enumerate(starts):
        for last, ended in enumerate(starts[first:], 1):
            assert last <= burst + rate * (ended - began) * 1.001 + 0.01


@given(rate=st.floats(0.01, 1e5), burst=st.integers(1, 20), now=st.floats(0, 1e7))
def test_a_rate_lets_one_through_when_it_said_it_would(rate: float, burst: int, now: float) -> None:
    state = Rate(rate, burst)
    for _ in range(30):
        now += state.opens_in(now)
        assert state.allows(now) >= 1
        state = state.after(1, now)
