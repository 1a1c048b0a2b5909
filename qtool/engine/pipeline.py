"""The seam for a broker on a network: claims and settlements whose answers nobody stands and waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.broker import Broker
    from qtool.engine.job import Lease, Settlement
    from qtool.engine.states import State

T_co = TypeVar("T_co", covariant=True)


class Answer(Protocol[T_co]):
    """What is to come of one question."""

    @property
    def here(self) -> bool:
        """Whether it has come, be it an error."""
        ...

    def take(self) -> T_co:
        """What came. Raises what the verb raises: then it may have been carried out all the same."""
        ...


class Pipeline(Protocol):
    """Asks :meth:`.Broker.claim` and :meth:`.Broker.settle`. Answers come in the order of the questions."""

    @property
    def depth(self) -> int:
        """How many batches of outcomes are worth having under way at once."""
        ...

    def fileno(self) -> int:
        """Readable when answers may have come; -1 where they come at once."""
        ...

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float) -> Answer[list[Lease]]:
        """Ask for jobs. Raises BrokerError if nothing was asked."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Answer[list[State | None]]:
        """Ask to store outcomes. Raises what the broker's verb raises if nothing was asked."""
        ...

    def receive(self) -> None:
        """Take in what has come, without waiting. What is too long in coming, or was lost, is an error."""
        ...

    def close(self) -> None:
        """No more is asked."""
        ...


class Come:
    """An answer that is there."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    @property
    def here(self) -> bool:
        return True

    def take(self) -> Any:
        return self._value


class Direct:
    """The pipeline of a broker that has none, because its answers are as good as there."""

    depth = 1

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def fileno(self) -> int:
        return -1

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float) -> Answer[list[Lease]]:
        return Come(self._broker.claim(worker, queues, count, lease))

    def settle(self, settlements: Sequence[Settlement]) -> Answer[list[State | None]]:
        return Come(self._broker.settle(settlements))

    def receive(self) -> None:
        """Everything has come."""

    def close(self) -> None:
        """Nothing is open."""
