"""Round numbers for axes: how high a chart goes, and where its times are marked. No Textual, no I/O."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from qtool.engine.times import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_SECONDS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)
_MINUTES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)
_HOURS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 18.0, 24.0)

MINUTE, HOUR, DAY = 60, 3600, 86400
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAYS = (1, 2, 7, 14)
_MONTHS = (1, 3)


def round_up(value: float) -> float:
    """The next round number that is not smaller; 1 for nothing."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    # A hair of room: 0.3 / 0.1 is a little more than 3.
    return next((unit * step for step in _ROUND if unit * step >= value * (1 - 1e-9)), unit * 10.0)


def round_up_seconds(value: float) -> float:
    """The next round duration, in seconds, that is not smaller; a millisecond for nothing."""
    if not value > 0.001:
        return 0.001
    if value <= 1:
        return round_up(value)
    for unit, steps in ((1, _SECONDS), (MINUTE, _MINUTES), (HOUR, _HOURS)):
        if value <= unit * steps[-1]:
            return next(unit * step for step in steps if unit * step >= value)
    return DAY * round_up(value / DAY)


def count_label(value: float) -> str:
    """A number in five characters at most, to three figures: ``0.25``, ``40``, ``1.5k``, ``2M``."""
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What rounds to 1000 of the smaller unit is 1 of this one.
        if size >= 0.9995 * unit:
            return f"{_figures(value / unit)}{name}"
    return _figures(value)


def _figures(value: float) -> str:
    size = abs(value)
    if size and size < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds_label(value: float) -> str:
    """A round duration without the part of it that is zero: ``20ms``, ``1.5s``, ``30s``, ``2m``, ``12h``."""
    text = format_duration(value)
    for rest in ("00s", "00m", "00h"):
        if len(text) > len(rest) and text.endswith(rest) and text[-len(rest) - 1] in "mhd":
            text = text.removesuffix(rest)
    return text.replace(".0ms", "ms").replace(".0s", "s")


def time_ticks(start: float, end: float, least: float) -> list[tuple[float, str]]:
    """Round local times from ``start`` until before ``end``, ``least`` seconds apart or more, each with its label."""
    if (every := next((each for each in _TICKS if each >= least), None)) is not None:
        form = "%H:%M:%S" if every < MINUTE else "%H:%M"
        return list(_within(_clock_times(start, end, every), start, end, lambda at: _clock(at, form)))
    if (days := next((each for each in _DAYS if each * DAY >= least), None)) is not None:
        return list(_within(_days(start, end, days), start, end, lambda at: _format(at, "%d %b")))
    months = next((each for each in _MONTHS if each * 28 * DAY >= least), 12)
    return list(_within(_months(start, end, months), start, end, lambda at: _format(at, "%b %Y")))


def _within(
    times: Iterator[float], start: float, end: float, label: Callable[[float], str]
) -> Iterator[tuple[float, str]]:
    last = -math.inf
    for at in times:
        # Where the clock is set forward a local time does not exist, and falls on the next one.
        if start <= at < end and at > last:
            last = at
            yield at, label(at)


def _clock_times(start: float, end: float, every: int) -> Iterator[float]:
    for midnight in _days(start, end, 1):
        day = time.localtime(midnight)
        first = max(0, int(start - midnight) // every - HOUR // every - 1) * every
        last = min(DAY, int(end - midnight) + HOUR + every)
        for seconds in range(first, last, every):
            # By the wall clock, so that 06:00 is 06:00 also on the day that has 23 hours.
            yield _local(day.tm_year, day.tm_mon, day.tm_mday, seconds)


def _days(start: float, end: float, every: int) -> Iterator[float]:
    """Local midnights, counted from a Monday, from the one before ``start`` on."""
    first = time.localtime(start)
    number = 0
    if every > 1:
        ordinal = int(_utc_day(first))
        number = -((ordinal + 3) % every)
    while (at := _local(first.tm_year, first.tm_mon, first.tm_mday + number, 0)) < end:
        yield at
        number += every


def _utc_day(day: time.struct_time) -> float:
    """The number of a calendar day; 0 is Thursday, 1 January 1970."""
    from calendar import timegm

    return timegm((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0)) / DAY


def _months(start: float, end: float, every: int) -> Iterator[float]:
    first = time.localtime(start)
    month = (first.tm_mon - 1) // every * every + 1
    while (at := _local(first.tm_year, month, 1, 0)) < end:
        yield at
        month += every


def _local(year: int, month: int, day: int, seconds: int) -> float:
    hours, rest = divmod(seconds, HOUR)
    return time.mktime((year, month, day, hours, rest // MINUTE, rest % MINUTE, 0, 0, -1))


def _clock(at: float, form: str) -> str:
    here = time.localtime(at)
    midnight = here.tm_hour == here.tm_min == here.tm_sec == 0
    return time.strftime("%d %b" if midnight else form, here)


def _format(at: float, form: str) -> str:
    return time.strftime(form, time.localtime(at))
