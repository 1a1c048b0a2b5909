"""What is said of the ends of runs, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.writing import anew, ending, goes_out_again
from qtool.engine.job import Settlement
from qtool.engine.states import Event, State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.following import Follower
    from qtool.engine.brokers.redis.store import Store


class Said(Value):
    """Settlements, made ready."""

    settlements: Sequence[Settlement]
    states: list[State | None]
    """What they come to, unless the server says otherwise."""
    rows: list[tuple[Any, ...]]
    """What ``settle.lua`` takes."""
    raw: list[bytes]


class Ends:
    """The ends of one process's runs."""

    def __init__(self, store: Store, follower: Follower) -> None:
        self._store = store
        self._follower = follower

    def said(self, settlements: Sequence[Settlement]) -> Said:
        """What goes to the server; what the runs owe to others is paid. Raises BrokerError and its kin."""
        raw: list[bytes] = []
        again = self._anew(settlements)
        followed = self._follower.follow(settlements)
        rows = [ending(each, raw, again.get(each.settlement.lease.id)) for each in followed]
        # What could not be sent on has made a failure of a success.
        return Said(settlements, [each.settlement.state for each in followed], rows, raw)

    def stood(self, said: Said, answer: Sequence[bytes | None]) -> list[State | None]:
        """The states that their jobs are in now."""
        self._follower.settled(said.settlements)
        if not answer:
            return said.states
        return [_STATES[state] if state is not None else None for state in answer]

    def _anew(self, settlements: Sequence[Settlement]) -> dict[str, str | None]:
        """The messages of those that are tried again, by id. They run: nobody else writes them meanwhile."""
        retried = [each for each in settlements if goes_out_again(each)]
        if not retried:
            return {}
        store = self._store
        with store.translated():
            found: Any = store.client.mget([store.layout.messages + each.lease.id for each in retried])
        return {each.lease.id: anew(each, message) for each, message in zip(retried, found, strict=True)}


_STATES = {str(state).encode(): state for state in State}

assert str(Event.LEASE_LOST) == "lease lost", "settle.lua knows it by that name"
