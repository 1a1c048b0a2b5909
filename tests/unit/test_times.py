"""Durations and times, written and read."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.times import LONGEST, format_duration, format_time, parse_duration, parse_offset, parse_time
from qtool.errors import BadDuration, BadTime

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_770_000_000.0


@pytest.fixture
def in_kolkata() -> Iterator[None]:
    """The machine's zone is five and a half hours ahead of UTC, as no test machine's is by chance."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kolkata"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("1m250ms", 60.25),
        ("1w2d3h4m5s6ms", 788_645.006),
        ("2h05m", 7500),
        ("90", 90),
        ("0", 0),
        ("0.25", 0.25),
        (" 5m ", 300),
        ("36500d", 36500 * 86400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-5m",
        "+5m",
        "nan",
        "inf",
        "1e3",
        "5x",
        "m",
        "5 m",
        "1h 30m",
        "30m1h",
        "5m5m",
        "1h30",
        "5M",
        "1_000",
        "٣s",
        "36526d",
        "9" * 400,
        "9" * 400 + "s",
        "1..5s",
        "5.s",
        "5m\x00",
        "0x10",
        "1,5h",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration) as caught:
        parse_duration(text)
    assert caught.value.data["text"] == text


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-01-31T09:00+02:00", datetime(2026, 1, 31, 7, tzinfo=UTC).timestamp()),
        ("2026-01-31T09:00:30.250-0030", datetime(2026, 1, 31, 9, 30, 30, 250_000, tzinfo=UTC).timestamp()),
        ("2026-01-31t09:00z", datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp()),
        ("2026-01-31 09:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp()),
        ("+5m", NOW + 300),
        ("-1h30m", NOW - 5400),
        ("+0", NOW),
    ],
)
def test_a_time_is_read(text: str, epoch: float) -> None:
    assert parse_time(text, NOW) == epoch


@pytest.mark.usefixtures("in_kolkata")
def test_a_time_without_a_zone_is_local() -> None:
    assert parse_time("2026-01-31T09:00", NOW) == datetime(2026, 1, 31, 3, 30, tzinfo=UTC).timestamp()
    assert parse_time("2026-01-31", NOW) == datetime(2026, 1, 30, 18, 30, tzinfo=UTC).timestamp()
    assert parse_time("2026-01-31T09:00Z", NOW) == datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5m",
        "+",
        "-",
        "+-5m",
        "+nan",
        "+101w53m1w",
        "+36526d",
        "soon",
        "now",
        "1770000000",
        "2026-13-01",
        "2026-02-30",
        "2026-01-31T25:00",
        "2026-01-31x09:00",
        "09:00",
        "0001-01-01",
        "9999-12-31T23:59:59-12:00",
        "2026-01-31T09:00\x00",
        "٢٠٢٦-01-31",
        "2026-01-31T09:00+99:00",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        parse_time(text, NOW)
    assert caught.value.data["text"] == text


def test_only_a_sign_makes_an_offset() -> None:
    assert parse_offset("+1m") == 60
    assert parse_offset("-1m") == -60
    assert parse_offset("2026-01-31") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0.4ms"),
        (0.0023, "2.3ms"),
        (0.25, "250ms"),
        (0.9996, "1.0s"),
        (4.2, "4.2s"),
        (9.96, "10s"),
        (42, "42s"),
        (59.6, "1m00s"),
        (192, "3m12s"),
        (3599.6, "1h00m"),
        (7500, "2h05m"),
        (86_399, "1d00h"),
        (3 * 86400 + 4 * 3600, "3d04h"),
        (400 * 86400, "400d00h"),
        (-192, "-3m12s"),
    ],
)
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0.001, LONGEST / 2))
def test_a_written_duration_reads_back_within_its_precision(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.055)


@given(st.floats(0, 4e9))
def test_a_written_time_reads_back_to_the_millisecond(epoch: float) -> None:
    assert parse_time(format_time(epoch), 2e9) == pytest.approx(epoch, abs=0.000501)


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000Z"
    assert format_time(1.9996) == "1970-01-01T00:00:02.000Z"
    assert format_time(-0.5) == "1969-12-31T23:59:59.500Z"


@pytest.mark.parametrize("epoch", [float("nan"), float("inf"), 1e300])
def test_no_calendar_reaches_that_far(epoch: float) -> None:
    with pytest.raises(ValueError, match=r"time|NaN"):
        format_time(epoch)
