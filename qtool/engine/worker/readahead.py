"""How many jobs to claim beyond the free slots: what will start within about ten milliseconds."""

from __future__ import annotations

from typing import ClassVar

HORIZON = 0.010
"""Seconds of work that may wait, claimed, in front of a slot."""

MOST = 1024
"""Jobs a worker holds at most beyond its slots, however short they are."""

MOST_A_SLOT = 400
"""As many as a socket's buffer takes."""

_OVERHEAD = 20e-6
"""Seconds a job costs around its own run; keeps the window of no-ops finite."""


class ReadAhead:
    """Learns from run times. It starts with nothing ahead, doubles while runs are short, and falls at once."""

    patience: ClassVar[float] = 0.05
    """Seconds after which a job claimed ahead and not started goes elsewhere."""

    __slots__ = ("_ahead", "_mean", "_most")

    def __init__(self, slots: int) -> None:
        self._mean = HORIZON
        self._ahead = 0
        self.resize(slots)

    def resize(self, slots: int) -> None:
        """There are so many slots now."""
        self._most = max(1, min(MOST // slots, MOST_A_SLOT))
        self._ahead = min(self._ahead, self._most)

    def pace(self) -> float:
        """Seconds that a run takes, of late."""
        return self._mean

    @property
    def ahead(self) -> int:
        """Jobs that may wait in front of each slot."""
        return self._ahead

    def learn(self, runs: int, seconds: float) -> None:
        """``runs`` ended, which took ``seconds`` in all."""
        # Measured by wall clocks, which may be set back while a job runs.
        mean = max(0.0, seconds) / runs + _OVERHEAD
        if mean > self._mean:
            # A slow run among quick ones holds up whatever was claimed behind it.
            self._mean += (mean - self._mean) * 0.5
        else:
            self._mean += (mean - self._mean) * min(0.5, runs / 16)
        fits = int(HORIZON / self._mean)
        self._ahead = min(fits, self._most, max(1, 2 * self._ahead))

    def collapse(self) -> None:
        """What was claimed ahead waits behind a slow run: claim for free slots only."""
        self._mean, self._ahead = 2 * HORIZON, 0
