"""How many slots a worker has."""

from __future__ import annotations


class Size:
    """The number of slots, and between which numbers it moves by itself."""

    __slots__ = ("least", "most", "now")

    def __init__(self, least: int, most: int | None = None) -> None:
        self.least = self.now = least
        self.most = max(least, most or least)
