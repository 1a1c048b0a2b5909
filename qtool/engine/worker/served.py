"""Which queues a worker claims from: what it was started with, until somebody says otherwise."""

from __future__ import annotations


class Served:
    """The queues; those who claim, count or tell of them look here each time."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        """Empty: all of them."""

    def include(self, queue: str) -> bool:
        """Whether jobs of this queue are claimed."""
        return not self.names or queue in self.names

    def add(self, queue: str) -> None:
        """Claim from it, too."""
        if not self.include(queue):
            self.names = (*self.names, queue)

    def remove(self, queue: str) -> None:
        """Claim from it no more. Raises ValueError where that cannot be."""
        if not self.names:
            raise ValueError("it serves all queues; only one that was started with -Q can leave some out")
        if self.names == (queue,):
            raise ValueError(f"{queue} is the only queue that it serves; shut it down instead")
        self.names = tuple(each for each in self.names if each != queue)
