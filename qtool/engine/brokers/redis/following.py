"""What follows the tasks of Celery's clients that end here: callbacks, chains, chords (WIRE.md section 7).

:mod:`qtool.engine.celery.canvas` says what is owed; it is paid before a job is settled, while its claim holds. So a
worker that dies between the two has the job run again, and what follows it twice: at least once, as with Celery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.layout import step_of
from qtool.engine.brokers.redis.routing import queue_of
from qtool.engine.celery import canvas
from qtool.engine.celery.message import Message, decode_message
from qtool.engine.celery.results import KEPT_SECONDS, Child, exception_of, revoked_exception, settled
from qtool.engine.ids import new_id
from qtool.engine.job import Failure, Settlement
from qtool.engine.states import Event, Reason, State
from qtool.engine.value import Value
from qtool.errors import QtoolError, Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtool.engine.brokers.redis.store import Store

AT_ONCE = 128
"""Jobs that ended without a worker, of which one round of upkeep tells their chords."""


class Followed(Value):
    """A settlement, and what its result says beside it."""

    settlement: Settlement
    message: Message | None = None
    """The one that was answered, where it says more than a result needs."""
    children: Sequence[Child] = ()
    """What was sent."""


class Follower:
    """Pays what the tasks of one process owe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[str, Message] = {}
        self._owed: dict[tuple[str, int], tuple[Settlement, tuple[Followed, canvas.Owed]]] = {}
        """What was made out already: a settlement that is asked for again has to send the same."""

    def note(self, messages: Iterable[Message]) -> None:
        """Remember what is claimed until it is settled or lost."""
        for message in messages:
            if notable(message):
                self._noted[message.id] = message

    def forget(self, ids: Iterable[str]) -> None:
        """These are not ours any more."""
        if self._noted:
            for id in ids:
                self._noted.pop(id, None)

    # --- ends of runs --------------------------------------------------------------------------------

    def follow(self, settlements: Sequence[Settlement]) -> list[Followed]:
        """Pay what the settlements owe, and say what they come to. Raises BrokerError and its kin."""
        if not self._noted:
            return [Followed(each) for each in settlements]
        ends = [self._end(each) for each in settlements]
        owing = [(end.settlement, owed) for end, owed in ends if owed is not canvas.NOTHING_OWED]
        if owing:
            self._pay([(each.lease.id, str(each.lease.token), owed) for each, owed in owing])
        return [end for end, _ in ends]

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """They are done with."""
        if self._noted:
            for each in settlements:
                self._noted.pop(each.lease.id, None)
                self._owed.pop((each.lease.id, each.lease.token), None)

    def _end(self, settlement: Settlement) -> tuple[Followed, canvas.Owed]:
        lease = settlement.lease
        message = self._noted.get(lease.id)
        if message is None or settlement.told:
            return Followed(settlement), canvas.NOTHING_OWED
        known = self._owed.get((lease.id, lease.token))
        if known is None or known[0] != settlement:
            known = self._owed[lease.id, lease.token] = settlement, self._make_out(settlement, message)
        return known[1]

    def _make_out(self, settlement: Settlement, message: Message) -> tuple[Followed, canvas.Owed]:
        desk, queue = self._desk(), settlement.lease.queue
        if settlement.state is State.SUCCEEDED:
            try:
                owed = canvas.on_success(message, settlement.result, queue, desk)
            except (QtoolError, ValueError) as error:
                # What cannot be sent fails the task that wanted it sent, as with Celery.
                settlement = _failed(settlement, error)
            else:
                return Followed(settlement, message, owed.children), owed
        if settlement.state is State.CANCELLED:
            exc = revoked_exception("terminated")
            return Followed(settlement, message), canvas.on_failure(message, exc, None, queue, desk, revoked=True)
        if settlement.state is not State.DEAD:
            return Followed(settlement, message), canvas.NOTHING_OWED
        failure = settlement.failure or Failure(type="Exception", message=str(settlement.reason or ""))
        exc = exception_of(failure, settlement.reason, message, message.task)
        owed = canvas.on_failure(message, exc, failure.traceback, queue, desk)
        mine = settled(settlement, message)
        if owed.results and mine is not None:
            # Whoever waits for the end of the chain and then looks back finds why: its own error comes first.
            owed = replace(owed, results=((message.id, mine), *owed.results))
        return Followed(settlement, message), owed

    def _desk(self) -> canvas.Desk:
        return canvas.Desk(self._store.clock.now(), new_id)

    # --- ends without a run --------------------------------------------------------------------------

    def settle_up(self) -> None:
        """Tell the chords of what was cancelled or expired where it waited. Raises BrokerError and its kin."""
        store, layout = self._store, self._store.layout
        with store.translated():
            ids: list[Any] = store.client.lrange(layout.owed, 0, AT_ONCE - 1)
        for raw in ids:
            id = raw.decode()
            with store.translated():
                record: Any = store.client.hmget(layout.records + id, "s", "q")
                message: Any = store.client.get(layout.messages + id)
            state, queue = (said.decode() if said is not None else "" for said in record)
            if state in (State.CANCELLED, State.EXPIRED) and message is not None:
                self._revoke(message, State(state), queue)
            with store.translated():
                store.client.lrem(layout.owed, 1, raw)

    def _revoke(self, raw: bytes, state: State, queue: str) -> None:
        try:
            message = decode_message(raw)
        except Undecodable:
            return
        exc = revoked_exception("expired" if state is State.EXPIRED else "revoked")
        owed = canvas.on_failure(message, exc, None, queue, self._desk(), revoked=True)
        self._pay([(message.id, False, owed)])

    # --- paying --------------------------------------------------------------------------------------

    def _pay(self, owing: Sequence[tuple[str, str | bool, canvas.Owed]]) -> None:
        rows = []
        for id, token, owed in owing:
            parts = [
                (part.group_id, part.task_id, False if part.index is None else part.index, part.member, _claim(part))
                for part in owed.parts
            ]
            rows.append((id, token, *self._sent(owed), parts))
        answer = self._store.call("follow", rows, KEPT_SECONDS)
        for (_, _, owed), whole in zip(owing, answer, strict=True):
            for part, found in zip(owed.parts, whole, strict=False):
                if found is not None:
                    self._go_on(part, *found)

    def _go_on(self, part: canvas.Part, members: list[bytes], nested: bytes | None) -> None:
        """Every part of a chord is there."""
        owed = canvas.complete(part, members, nested, self._desk())
        # A chord that goes on stores nothing; one that broke does.
        broken = bool(owed.results)
        held = self._store.call("chord", part.group_id, _claim(part), *self._sent(owed), broken, KEPT_SECONDS)
        if held and owed.parts:
            self._pay([(part.task_id, False, canvas.Owed(parts=owed.parts))])

    def _sent(self, owed: canvas.Owed) -> tuple[list[Any], list[Any], list[Any]]:
        messages = []
        for each in owed.publications:
            queue = queue_of(self._store, each.exchange, each.routing_key)
            messages.append((self._store.layout.ready(queue, step_of(each.priority)), queue, each.raw.decode()))
        return messages, list(owed.sizes), [(id, meta.decode()) for id, meta in owed.results]


def notable(message: Message) -> bool:
    """Whether the end of the task is more than a plain result."""
    said = message.headers.get
    told = said("group") or said("parent_id") or said("ignore_result")
    return bool(told) or message.timelimit != (None, None) or canvas.owes(message)


def _claim(part: canvas.Part) -> str:
    """Whoever gives this part again may go on with the chord."""
    return f"qtool {part.task_id}"


def _failed(settlement: Settlement, error: Exception) -> Settlement:
    failure = Failure(type=type(error).__name__, message=str(error))
    return Settlement(
        settlement.lease,
        Event.ERROR,
        State.DEAD,
        settlement.at,
        settlement.started_at,
        reason=Reason.FAILED,
        failure=failure,
        output=settlement.output,
    )
