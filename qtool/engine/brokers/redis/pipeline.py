"""Claims and settlements one after the other on a connection of their own, so that the server always has one at hand.

Where each is waited for, the server is idle while the worker hands out, and the worker while the server works.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse, NoScriptError
from redis.exceptions import TimeoutError as NoAnswer

from qtool.engine.brokers.redis.scripts import script
from qtool.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.brokers.redis.bells import Belfry
    from qtool.engine.brokers.redis.claims import Asked, Claims
    from qtool.engine.brokers.redis.ends import Ends
    from qtool.engine.brokers.redis.store import Store
    from qtool.engine.job import Lease, Settlement
    from qtool.engine.states import State

AT_ONCE = 512
"""Settlements, leases or reports in one script: nothing holds the server for long."""

PIECE = 256 * 1024
"""Bytes that are taken in at once."""

AHEAD = 4 * 1024 * 1024
"""Bytes that may be under way to a server that is at work, as far as the system allows: whoever sends goes on."""

_NOTHING_YET = object()


class Coming:
    """The answer to one script."""

    __slots__ = ("_error", "_failed", "_got", "_make", "arguments", "here", "name", "sent_at")

    def __init__(
        self,
        name: str,
        arguments: tuple[Any, ...],
        sent_at: float,
        make: Callable[[Any], Any],
        failed: Callable[[], None],
    ) -> None:
        """``make`` makes of it what was asked for; ``failed`` is told when there will be nothing to make it of."""
        self.name = name
        self.arguments = arguments
        self.sent_at = sent_at
        self.here = False
        self._make = make
        self._failed = failed
        self._got: Any = None
        self._error: BrokerError | None = None

    def give(self, answer: Any) -> None:
        """This is it."""
        self._got, self.here = answer, True

    def fail(self, error: BrokerError) -> None:
        """It is an error, or none will come."""
        self._error, self.here = error, True
        self._failed()

    def take(self) -> Any:
        """What was asked for. Raises BrokerError and its kin."""
        if self._error is not None:
            raise self._error
        return self._make(self._got)


class Several:
    """The answer that comes in parts."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Coming]) -> None:
        self._parts = parts

    @property
    def here(self) -> bool:
        return self._parts[-1].here

    def take(self) -> list[Any]:
        return [each for part in self._parts for each in part.take()]


class RedisPipeline:
    """See :class:`qtool.engine.pipeline.Pipeline`."""

    depth = 2

    def __init__(
        self,
        store: Store,
        claims: Claims,
        ends: Ends,
        belfry: Belfry,
        go_on: Callable[[Asked, Sequence[Any]], list[Lease]],
    ) -> None:
        """Connects when something is asked. ``go_on`` makes leases of a claim's first answer, and asks for the rest."""
        self._store = store
        self._claims = claims
        self._ends = ends
        self._belfry = belfry
        self._go_on = go_on
        # A descriptor that stays the same when the connection has to be made anew.
        self._selector = selectors.DefaultSelector()
        self._connection: Any = None
        self._reader = hiredis.Reader(notEnoughData=_NOTHING_YET)
        self._coming: deque[Coming] = deque()

    def fileno(self) -> int:
        return self._selector.fileno()

    def claim(self, worker: str, queues: Sequence[str], count: int, lease: float) -> Coming:
        self._belfry.serve(queues)
        asked = self._claims.asked(worker, queues, count, lease)
        arguments = asked.arguments(self._store)
        underway, token = self._claims.underway, str(asked.token)

        def taken(answer: Sequence[Any]) -> list[Lease]:
            underway.discard(token)
            return self._go_on(asked, answer)

        def failed() -> None:
            underway.discard(token)
            self._claims.doubt(asked)

        underway.add(token)
        return self._ask("claim", arguments, (), taken, failed)

    def settle(self, settlements: Sequence[Settlement]) -> Several:
        parts = [settlements[first : first + AT_ONCE] for first in range(0, len(settlements), AT_ONCE)]
        # What cannot be said is found before anything is sent.
        every = [self._ends.said(part) for part in parts]
        return Several([self._ask("settle", (said.rows,), said.raw, _stood(self._ends, said)) for said in every])

    def receive(self) -> None:
        # Also while nothing is to come: a server may close a connection that is quiet.
        while self._connection is not None:
            try:
                with self._store.translated():
                    answer = self._read()
            except BrokerError as error:
                if self._connection is None:
                    self._lose(error)
                else:
                    self._coming.popleft().fail(error)
            else:
                if answer is _NOTHING_YET:
                    break
                self._coming.popleft().give(answer)
        store = self._store
        if self._coming and store.clock.monotonic() - self._coming[0].sent_at > store.place.timeout:
            self._hang_up()
            try:
                with store.translated():
                    raise NoAnswer
            except BrokerError as error:
                self._lose(error)

    def close(self) -> None:
        self._hang_up()
        self._selector.close()

    def _read(self) -> Any:
        """The next answer, if all of it has come. Raises redis-py's errors; hangs up if none can follow it."""
        try:
            while (answer := self._reader.gets()) is _NOTHING_YET or isinstance(answer, hiredis.PushNotification):
                if answer is _NOTHING_YET and not self._hear():
                    return answer
        except (LostConnection, InvalidResponse, OSError):
            self._hang_up()
            raise
        if isinstance(answer, NoScriptError):
            first = self._coming[0]
            return self._store.scripts.run(first.name, (), first.arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _hear(self) -> bool:
        """Take in a piece, if one has come; a long answer comes in several, and what is next is worked on meanwhile."""
        sock = self._connection._sock
        sock.settimeout(0)
        try:
            piece = sock.recv(PIECE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return False
        finally:
            sock.settimeout(self._store.place.timeout)
        if not piece:
            raise LostConnection("Connection closed by server.")
        self._reader.feed(piece)
        return True

    def _ask(
        self,
        name: str,
        arguments: tuple[Any, ...],
        raw: Sequence[bytes],
        make: Callable[[Any], Any],
        failed: Callable[[], None] = lambda: None,
    ) -> Coming:
        store = self._store
        packed = store.packed(*arguments, raw=raw)
        coming = Coming(name, packed, store.clock.monotonic(), make, failed)
        try:
            if self._connection is None:
                self._connect()
            with store.translated():
                self._connection.send_command("EVALSHA", script(name)[0], 0, *packed, check_health=False)
        except BrokerError as error:
            # It may have got there, and what was sent before it is without an answer too.
            self._hang_up()
            self._lose(error)
            failed()
            raise
        self._coming.append(coming)
        return coming

    def _connect(self) -> None:
        with self._store.translated():
            connection: Any = self._store.client.connection_pool.make_connection()
            connection.connect()
        # redis-py has no way to wait for its connection with others, nor to read what there is of an answer.
        connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        self._selector.register(connection._sock, selectors.EVENT_READ)
        said: Any = connection._parser.parse_error
        self._reader = hiredis.Reader(InvalidResponse, said, notEnoughData=_NOTHING_YET)
        self._connection = connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            for key in list(self._selector.get_map().values()):
                with suppress(KeyError, ValueError):
                    self._selector.unregister(key.fileobj)
            connection.disconnect()

    def _lose(self, error: BrokerError) -> None:
        """Nothing that was asked is answered any more."""
        coming, self._coming = self._coming, deque()
        for each in coming:
            each.fail(error)


def _stood(ends: Ends, said: Any) -> Callable[[Any], list[State | None]]:
    return lambda answer: ends.stood(said, answer)
