"""What the sides of one open broker share: the client, the names of the keys, the clock, the scripts."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from qtool.engine.brokers.redis.connecting import Place, connect
from qtool.engine.brokers.redis.layout import Layout
from qtool.engine.brokers.redis.scripts import Scripts
from qtool.errors import BadName, BrokerError, BrokerReplaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from qtool.engine.brokers.redis.scripts import Call
    from qtool.engine.clock import Clock
    from qtool.engine.policy import Retention


class Store:
    """One server's database, as all sides of the adapter see it."""

    def __init__(
        self, place: Place, clock: Clock, retention: Retention, patience: float | None = None, key: str | None = None
    ) -> None:
        """Connects only when something is asked.

        ``patience``: seconds to wait for the server, each time. ``key`` signs commands.
        """
        self.key = key
        self.place = place
        self.url = place.shown
        self.clock = clock
        self.retention = retention
        self.layout = Layout(place.prefix, place.db)
        self.connections = 0
        """How many have been made: after a new one, the server may be another, or the same with less than it had."""
        self.client: Redis = connect(place, patience, self._connected)
        """Answers in bytes. Use it within :meth:`translated`."""
        self.scripts = Scripts(self.client, self.layout, retention)
        self.translated = place.translated
        self._known: tuple[str, float] | None = None

    def _connected(self) -> None:
        self.connections += 1

    def call(self, name: str, *arguments: Any, raw: Sequence[bytes] = ()) -> Any:
        """Run a script that moves jobs, now. Raises BrokerError and its kin."""
        with self.translated():
            try:
                return self.scripts.call(name, self.clock.now(), *arguments, raw=raw)
            except UnicodeEncodeError as error:
                raise _bad_text(error) from None

    def packed(self, *arguments: Any, raw: Sequence[bytes] = ()) -> tuple[Any, ...]:
        """What a script that moves jobs is called with, now. Raises BadName."""
        try:
            return self.scripts.packed(self.clock.now(), arguments, raw)
        except UnicodeEncodeError as error:
            raise _bad_text(error) from None

    def stream(self, name: str, calls: Iterable[Call]) -> Iterator[Any]:
        """Run a script again and again: :meth:`.Scripts.stream`. Raises BrokerError and its kin."""
        trouble: list[BaseException] = []

        def ours() -> Iterator[Call]:
            # Errors of whoever makes the calls are not the server's.
            try:
                yield from calls
            except BaseException as error:  # noqa: BLE001 - raised below, once what was sent is answered
                trouble.append(error)

        answers = self.scripts.stream(name, ours())
        with closing(answers):
            while True:
                with self.translated():
                    try:
                        answer = next(answers)
                    except StopIteration:
                        break
                    except UnicodeEncodeError as error:
                        raise _bad_text(error) from None
                yield answer
        if trouble:
            raise trouble[0]

    # --- what the server is asked once ---------------------------------------------------------------

    def _hello(self) -> tuple[str, float]:
        if self._known is None:
            id, ahead = self.call("hello", os.urandom(8).hex(), _boot_id(), self.up())
            self._known = id.decode(), float(ahead)
        return self._known

    def recognise(self) -> None:
        """Raises BrokerReplaced, once, if what stood in the server is gone: its id went with everything else."""
        if self._known is None:
            return
        with self.translated():
            id: Any = self.client.get(self.layout.id)
        if id is None or id.decode() != self._known[0]:
            self._known = None
            raise BrokerReplaced(url=self.url)

    def up(self) -> float:
        """Seconds since this host was started, also those it was suspended for."""
        return self.clock.monotonic() + self.clock.suspended()

    def tick(self) -> float:
        """The clock of rates: the server's at first, carried on by the host's own, so that nobody can set it.

        All hosts show the same, but for how unevenly they count.
        """
        return self._hello()[1] + self.up()

    def slates_here(self) -> str | None:
        """Where this host's workers have their slates, if any ever had one. Raises redis-py's errors."""
        if self._known is not None:
            return _slates(self._known[0])
        id: Any = self.client.get(f"{self.layout.own}id")
        return _slates(id.decode()) if id is not None else None

    def identity(self) -> str:
        """Which database this is, by whatever address: random, until it is emptied."""
        return self._hello()[0]

    def slates(self) -> str:
        """The directory of the slates of this host's workers on this database; made if it is not there.

        Raises BrokerError.
        """
        path = _slates(self._hello()[0])
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            owner = os.stat(os.path.dirname(path)).st_uid
        except OSError as error:
            why = f"{path}, where workers tell each other of their deaths, cannot be made ({error.strerror})"
            raise BrokerError(url=self.url, why=why) from None
        if owner != os.geteuid():
            raise BrokerError(url=self.url, why=f"{os.path.dirname(path)} is another user's")
        return path

    def close(self) -> None:
        """Hang up."""
        self.client.close()


def _bad_text(error: UnicodeEncodeError) -> BadName:
    why = "it is not valid text (bytes that are not UTF-8)"
    return BadName(what="the text", name=str(error.object)[:80], why=why)


def _slates(id: str) -> str:
    return f"{_runtime()}/redis-{id}"


def _runtime() -> str:
    """This user's directory for what does not outlive the host's start."""
    if directory := os.environ.get("XDG_RUNTIME_DIR"):
        return f"{directory}/qtool"
    return f"{tempfile.gettempdir()}/qtool-{os.geteuid()}"


def _boot_id() -> str:
    """What tells this start of this host from any other."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return socket.gethostname()
