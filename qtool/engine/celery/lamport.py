"""The logical clock by which Celery's nodes order what they tell each other (WIRE.md section 5)."""

from __future__ import annotations


class Lamport:
    """Counts every event, and is never behind what it has seen of others."""

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def forward(self) -> int:
        """The time of the next event."""
        self.value += 1
        return self.value

    def adjust(self, seen: int) -> int:
        """Somebody else's clock has come; what happens from now on happens after it."""
        self.value = max(self.value, seen) + 1
        return self.value
