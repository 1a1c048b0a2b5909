"""Bells between hosts: a connection a listener.

Whoever changes something that others wait for publishes on the topic's channel. For ``ready`` the listener also has the
server track the lists it is served from (``CLIENT TRACKING``), so that a message that a Celery client pushes wakes it,
and nothing is popped to learn of it. The server forgets what it tracks once it has told, so it is asked anew then.
"""

from __future__ import annotations

import select
import selectors
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import hiredis

from qtool.errors import BrokerError, BrokerUnreachable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from qtool.engine.broker import Topic
    from qtool.engine.brokers.redis.store import Store

AGAIN = 1.0
"""Seconds between two tries to reach the server."""

_NOTHING_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RedisBell:
    """A listener's own connection. Readable while it has rung."""

    def __init__(self, belfry: Belfry, channel: str, *, tracks: bool = False) -> None:
        """``tracks``: it rings for the lists that are served, too. Raises BrokerError."""
        self._channel = channel
        self._tracks = tracks
        self._belfry = belfry
        self._store = belfry.store
        # A descriptor of its own, which stays the same when the connection has to be made anew.
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._connection: Any = None
        self._sock: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._rang = False
        self._forgotten = False
        """The server tracks our lists no longer, or not all of them."""
        self._try_at = 0.0
        self._closed = False
        try:
            self._connect()
        except BaseException:
            self._selector.close()
            raise

    def fileno(self) -> int:
        return self._selector.fileno()

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + max(0.0, timeout)
        while True:
            with self._lock:
                self._hear()
                rang, self._rang = self._rang, False
            if rang:
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._selector.select(left)
            if self._sock is None:
                self._pause(left)

    def _pause(self, left: float) -> None:
        """Nothing will be heard before the server is reached again."""
        now = time.monotonic()
        if self._try_at > now:
            time.sleep(min(left, self._try_at - now))
        self.mend()

    def mend(self) -> None:
        """Reach the server again if the connection is lost; rings then, for what may have been missed."""
        with self._lock:
            if self._sock is None and not self._closed and time.monotonic() >= self._try_at:
                with suppress(BrokerError):
                    self._connect()
                    self._rang = True
                    # Its answer makes the descriptor readable.
                    self._send([("PING",)])

    def serve(self) -> None:
        """The lists have changed: have the server track them."""
        with self._lock:
            self._forgotten = True
            self._arm()

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._belfry.bells.discard(self)
                self._hang_up()
                self._selector.close()

    # --- the connection ------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._try_at = time.monotonic() + AGAIN
        with self._store.translated():
            self._connection = self._store.client.connection_pool.make_connection()
            self._connection.connect()
            # redis-py has no way to wait for its connection with others.
            self._sock = self._connection._sock
        assert self._sock is not None
        self._sock.setblocking(False)
        self._reader = hiredis.Reader()
        self._selector.register(self._sock, selectors.EVENT_READ)
        # The third version of the protocol tells pushed messages from answers.
        hello = self._ask([("HELLO", "3")])
        if not hello or isinstance(hello[0], Exception):
            raise BrokerUnreachable(url=self._store.url, why="the server is older than Redis 6")
        asked: list[tuple[str, ...]] = [("CLIENT", "TRACKING", "ON")] if self._tracks else []
        self._ask(asked)
        said = self._ask([("SUBSCRIBE", self._channel), ("PING",)], answers=1)
        if said and isinstance(said[0], Exception):
            self._denied(said[0])
        self._forgotten = True
        self._arm()

    def _denied(self, error: Exception) -> None:
        """The server does not let us listen: what is looked for now and then is found without."""

    def _hang_up(self) -> None:
        if self._sock is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(self._sock)
            self._sock = None
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _arm(self) -> None:
        """Have the server tell of the next change of each list."""
        if not self._tracks or not self._forgotten or self._sock is None:
            return
        self._forgotten = False
        lists = self._belfry.lists(self._queues())
        self._ask([("LLEN", name) for name in lists])

    def _queues(self) -> Iterable[str]:
        if self._belfry.served is not None:
            return self._belfry.served
        answer = self._ask([("SUNION", self._store.layout.queues, self._store.layout.bound)])
        names = answer[0] if answer else []
        return [name.decode() for name in names] if isinstance(names, list | set) else []

    # --- reading -------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Take in all that has come."""
        while self._receive() is not None:
            continue
        self._arm()

    def _receive(self) -> list[Any] | None:
        """The answers in the next piece that has come, its pushed messages noted; None when nothing has."""
        if self._sock is None:
            return None
        try:
            # All that has come is read, to the last byte: what TLS has decrypted already makes no descriptor readable.
            data = self._sock.recv(65536)
        except _NOTHING_YET:
            return None
        except OSError:
            data = b""
        if not data:
            # What is missed from now on: it looks once, and again when the connection stands.
            self._rang = True
            self._hang_up()
            return None
        self._reader.feed(data)
        answers = []
        while (message := self._reader.gets()) is not False:
            if isinstance(message, hiredis.PushNotification):
                self._note(message)
            else:
                answers.append(message)
        return answers

    def _note(self, pushed: Any) -> None:
        if pushed[0] == b"message":
            self._rang = True
        elif pushed[0] == b"invalidate":
            self._rang = self._forgotten = True

    def _send(self, commands: Sequence[tuple[str, ...]]) -> None:
        pack: Any = hiredis.pack_command
        data = memoryview(b"".join(pack(command) for command in commands))
        try:
            while data and self._sock is not None:
                try:
                    data = data[self._sock.send(data) :]
                except _NOTHING_YET:
                    if not select.select([], [self._sock], [], self._store.place.timeout)[1]:
                        raise TimeoutError from None
        except OSError:
            self._rang = True
            self._hang_up()

    def _ask(self, commands: Sequence[tuple[str, ...]], answers: int | None = None) -> list[Any]:
        """What the server says to the commands; less when the connection is lost meanwhile."""
        wanted = len(commands) if answers is None else answers
        if not commands or self._sock is None:
            return []
        self._send(commands)
        got: list[Any] = []
        end = time.monotonic() + self._store.place.timeout
        while len(got) < wanted and self._sock is not None:
            piece = self._receive()
            if piece is not None:
                got += piece
            elif time.monotonic() > end:
                self._rang = True
                self._hang_up()
            elif self._sock is not None:
                self._selector.select(0.1)
        return got


class Belfry:
    """The bells of an open broker."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bells: WeakSet[RedisBell] = WeakSet()
        self.served: tuple[str, ...] | None = ()
        """The queues that claims are made from; None: all of them."""

    def hang(self, topic: Topic) -> RedisBell:
        """A new bell. Raises BrokerError."""
        bell = RedisBell(self, self.store.layout.channel(topic), tracks=topic == "ready")
        self.bells.add(bell)
        return bell

    def serve(self, queues: Sequence[str]) -> None:
        """Claims are made from these queues (from all, when empty)."""
        served = tuple(queues) or None
        if served != self.served:
            self.served = served
            for bell in list(self.bells):
                bell.serve()

    def lists(self, queues: Iterable[str]) -> list[str]:
        """Every list of these queues."""
        return [name for queue in queues for name in self.store.layout.lists(queue)]

    def mend(self) -> None:
        """Reach the server again with every bell that has lost its connection."""
        for bell in list(self.bells):
            bell.mend()
