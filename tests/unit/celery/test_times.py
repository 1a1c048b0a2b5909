"""Celery's times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from celery.utils.time import maybe_iso8601
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.celery.times import LAST, from_text, to_text


@given(st.floats(0, LAST))
def test_a_time_comes_back_to_the_microsecond(seconds: float) -> None:
    text = to_text(seconds)
    assert from_text(text) == pytest.approx(seconds, abs=1e-5 if seconds < 1e10 else 1e-4)
    assert maybe_iso8601(text) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T08:48:20.5+00:00", 1795337300.5),
        ("2026-11-22T08:48:20Z", 1795337300.0),
        ("2026-11-22T10:48:20+02:00", 1795337300.0),
        ("2026-11-22T08:48:20", 1795337300.0),
        ("2026-11-22 08:48:20.000001", 1795337300.000001),
        ("20261122T084820Z", 1795337300.0),
    ],
)
def test_every_way_to_write_one(text: str, seconds: float) -> None:
    assert from_text(text) == seconds


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01T00:00:00", None, 60, 1.5, ["2026"]])
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(ValueError, match="time"):
        from_text(text)


def test_what_nobody_can_count_is_written_as_the_end() -> None:
    assert to_text(1e300) == "9998-12-31T23:59:59+00:00"
    assert to_text(-1.0) == datetime(1970, 1, 1, tzinfo=UTC).isoformat()
