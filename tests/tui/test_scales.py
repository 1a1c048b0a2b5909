"""Round numbers and round times for axes."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.tui.scales import DAY, count_label, round_up, round_up_seconds, seconds_label, time_ticks

positive = st.floats(min_value=1e-9, max_value=1e12)


@given(positive)
def test_a_top_is_round_and_hardly_higher_than_needed(value: float) -> None:
    top = round_up(value)
    assert value * (1 - 1e-6) <= top <= 1.6 * value
    digits = f"{top:.9e}".partition("e")[0].rstrip("0").rstrip(".")
    assert digits in {"1", "1.5", "2", "3", "4", "5", "6", "8"}


@given(st.floats(min_value=0.0011, max_value=1e8))
def test_a_duration_s_top_too(value: float) -> None:
    assert value * (1 - 1e-6) <= round_up_seconds(value) <= 2 * value


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (-3, 1), (float("nan"), 1), (0.3, 0.3), (1, 1), (7, 8), (41, 50), (99, 100), (101, 150)]
)
def test_tops(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, 0.001),
        (0.0023, 0.003),
        (0.7, 0.8),
        (3.2, 4),
        (12, 15),
        (61, 120),
        (3000, 3600),
        (5000, 7200),
        (90000, 129600),
    ],
)
def test_tops_of_durations(value: float, label: float) -> None:
    assert round_up_seconds(value) == pytest.approx(label)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (0.015, "0.015"),
        (7.5, "7.5"),
        (40, "40"),
        (999, "999"),
        (999.9, "1k"),
        (1500, "1.5k"),
        (50_000, "50k"),
        (999_900, "1M"),
        (2e6, "2M"),
        (3e9, "3G"),
        (-600, "-600"),
        (0.00002, "2e-5"),
    ],
)
def test_labels(value: float, label: str) -> None:
    assert count_label(value) == label


@given(positive)
def test_a_label_of_a_top_fits_its_gutter(value: float) -> None:
    assert len(count_label(round_up(value))) <= 6
    assert len(seconds_label(round_up_seconds(min(value, 1e9)))) <= 6


@pytest.mark.parametrize(
    ("value", "label"), [(0.02, "20ms"), (1.5, "1.5s"), (60, "1m"), (90, "1m30s"), (7200, "2h"), (86400, "1d")]
)
def test_labels_of_durations(value: float, label: str) -> None:
    assert seconds_label(value) == label


# --- times -------------------------------------------------------------------------------------------


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> ZoneInfo:
    """A place where the clock is set twice a year."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    return ZoneInfo("Europe/Berlin")


@given(
    start=st.floats(min_value=1.7e9, max_value=1.9e9),
    span=st.floats(min_value=30, max_value=400 * DAY),
    share=st.integers(min_value=2, max_value=20),
)
def test_marks_are_inside_in_order_and_far_enough_apart(start: float, span: float, share: int) -> None:
    ticks = [at for at, _ in time_ticks(start, start + span, span / share)]
    assert all(start <= at < start + span for at in ticks)
    # Where the clock is set forward an hour is missing.
    assert all(later - at >= span / share - 3600 for at, later in itertools.pairwise(ticks))
    assert len(ticks) <= share + 2


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_marks_are_round_by_the_clock_on_the_wall(zone: ZoneInfo, day: str, hours: int) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=zone).timestamp()
    ticks = time_ticks(start, start + hours * 3600, 6 * 3600)
    assert [label for _, label in ticks][1:] == ["06:00", "12:00", "18:00"]
    assert all(datetime.fromtimestamp(at, zone).strftime("%H:%M") == label for at, label in ticks[1:])


def test_weeks_begin_on_mondays_and_days_at_midnight(zone: ZoneInfo) -> None:
    start = datetime(2026, 3, 1, 13, tzinfo=zone).timestamp()
    weeks = time_ticks(start, start + 60 * DAY, 5 * DAY)
    assert weeks
    assert {datetime.fromtimestamp(at, zone).strftime("%a %H:%M") for at, _ in weeks} == {"Mon 00:00"}
    months = time_ticks(start, start + 200 * DAY, 20 * DAY)
    assert [label for _, label in months][:2] == ["Apr 2026", "May 2026"]


def test_midnight_is_called_by_its_day(zone: ZoneInfo) -> None:
    start = datetime(2026, 1, 1, 23, 30, tzinfo=zone).timestamp()
    assert [label for _, label in time_ticks(start, start + 3600, 900)] == ["23:30", "23:45", "02 Jan", "00:15"]
