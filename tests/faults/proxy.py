"""A network that can be broken: a TCP proxy on the loopback address between a client and a server.

It passes everything on until it is told otherwise, from any thread. :func:`storm` tells it at random moments.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from serving.private import LOOPBACK

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

CHUNK = 1 << 16
MOST_HELD = 1 << 20
"""Bytes that lie in the network; more than that stay with who sends."""
ROUND = 0.05
"""Seconds until the loop looks for what became due, at the latest."""


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.held: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ended = False

    def read(self, due: float) -> None:
        data = self.source.recv(CHUNK)
        if not data:
            self.ended = True
            return
        self.held.append((due, data))
        self.size += len(data)

    def write(self, now: float) -> None:
        """Pass on what is due, as far as who receives takes it."""
        while self.held and self.held[0][0] <= now:
            due, data = self.held.popleft()
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self.size -= sent
            if sent < len(data):
                self.held.appendleft((due, data[sent:]))
                return
        if self.ended and not self.held:
            with suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)


class Proxy:
    """Listens on :attr:`port` and passes on to a port of the same machine. A context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._lock = threading.RLock()
        self._ways: list[_Way] = []
        self._stalled = False
        self._delay = 0.0
        self._ended = False
        self._bell, self._rung = socket.socketpair()
        self._listener: socket.socket | None = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        with self._lock:
            self._ended = True
        self._ring()
        self._thread.join()
        self._bell.close()
        self._rung.close()

    # --- what can happen -----------------------------------------------------------------------------

    def cut(self) -> int:
        """Break every connection that stands, in the middle of whatever it carries; new ones are welcome.

        How many there were.
        """
        with self._lock:
            sockets = {each for way in self._ways for each in (way.source, way.sink)}
            self._ways.clear()
            for each in sockets:
                # What was on its way is lost, and both sides are told by a reset.
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
        self._ring()
        return len(sockets) // 2

    def stall(self) -> None:
        """From now on nothing arrives any more, and nobody is told: connections stand half open, new ones too."""
        with self._lock:
            self._stalled = True

    def delay(self, seconds: float) -> None:
        """What is sent from now on arrives so much later, in each direction."""
        with self._lock:
            self._delay = seconds

    def refuse(self) -> None:
        """Break every connection, and take no new ones."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
        self.cut()

    def lead_to(self, target: int) -> None:
        """Break every connection; new ones lead to this port."""
        with self._lock:
            self.target = target
        self.cut()

    def resume(self) -> None:
        """All is well again; what stalled arrives, as when packets are sent again."""
        with self._lock:
            self._stalled, self._delay = False, 0.0
            if self._listener is None:
                self._listener = self._listen(self.port)
        self._ring()

    @property
    def connections(self) -> int:
        """How many stand."""
        with self._lock:
            return len(self._ways) // 2

    # --- the loop ------------------------------------------------------------------------------------

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.create_server((LOOPBACK, port))
        listener.setblocking(False)
        return listener

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._ended:
                    return
                selector, busy = self._interests()
            with selector:
                found = [key.fileobj for key, _ in selector.select(0.001 if busy else ROUND)]
            with self._lock:
                self._move(found)

    def _interests(self) -> tuple[selectors.BaseSelector, bool]:
        """What to wait for, and whether something is held that waits for its time or for room."""
        selector = selectors.DefaultSelector()
        selector.register(self._rung, selectors.EVENT_READ)
        if self._listener is not None:
            selector.register(self._listener, selectors.EVENT_READ)
        busy = False
        if not self._stalled:
            for way in self._ways:
                busy = busy or bool(way.held)
                if not way.ended and way.size < MOST_HELD:
                    selector.register(way.source, selectors.EVENT_READ)
        return selector, busy

    def _move(self, found: Sequence[object]) -> None:
        if self._rung in found:
            self._rung.recv(CHUNK)
        if self._listener is not None and self._listener in found:
            self._accept()
        if self._stalled:
            return
        now = time.monotonic()
        for way in list(self._ways):
            try:
                if way.source in found and not way.ended:
                    way.read(now + self._delay)
                way.write(time.monotonic())
            except OSError:
                self._drop(way)
        for way in list(self._ways):
            if way.ended and not way.held and self._back(way).ended:
                self._drop(way)

    def _back(self, way: _Way) -> _Way:
        return next((each for each in self._ways if each.source is way.sink), way)

    def _drop(self, way: _Way) -> None:
        self._ways = [each for each in self._ways if each.source not in (way.source, way.sink)]
        way.source.close()
        way.sink.close()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection((LOOPBACK, self.target), timeout=1.0)
        except OSError:
            # As who listens and then ends: the client finds out by its first word.
            client.close()
            return
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ways += [_Way(client, server), _Way(server, client)]


def storm(
    proxy: Proxy, choose: random.Random, over: Callable[[], bool], *, longest: float = 1.0, calm: float = 0.3
) -> Mapping[str, int]:
    """Break the network at random moments until it is ``over``, then mend it; how often each thing happened.

    No spell lasts longer than ``longest`` seconds, and after each there are up to ``calm`` good ones.
    """
    happened: Counter[str] = Counter()
    while not over():
        what = choose.choice(("cut", "cut", "cut", "stall", "refuse", "delay"))
        happened[what] += 1
        if what == "delay":
            proxy.delay(choose.random() * longest / 10)
        else:
            getattr(proxy, what)()
        if what != "cut":
            time.sleep(choose.random() * longest)
        if what == "stall" and choose.random() < 0.5:
            # Half of the time nothing that was under way arrives after all.
            proxy.cut()
        proxy.resume()
        time.sleep(choose.random() * calm)
    return happened
