"""Lua scripts: one file a verb, sent once and called by their hash from then on.

Each is preceded by the files that its first line names, ``-- with common rates``. Those get three arguments: their own
as one MessagePack value, the prefix of all keys, and what stays the same from call to call.
"""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import NoScriptError

from qtool.engine.brokers.redis.rollups import spans
from qtool.engine.celery.times import to_text
from qtool.engine.states import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from redis import Redis

    from qtool.engine.brokers.redis.layout import Layout
    from qtool.engine.policy import Retention

    Call = tuple[float, Sequence[Any], Sequence[bytes]]
    """Of a script that moves jobs: now, its arguments, and those that are bytes."""

_WITH = "-- with "

encode = msgspec.msgpack.Encoder().encode
"""Of what a script gets: numbers, text, lists; None ends what Lua sees of a list, so that False stands in."""


@cache
def script(name: str) -> tuple[str, bytes]:
    """The hash and the text of a script."""
    here = files(__package__)
    text = here.joinpath(f"{name}.lua").read_text()
    first = text.partition("\n")[0]
    before = first.removeprefix(_WITH).split() if first.startswith(_WITH) else []
    whole = "".join([here.joinpath(f"{each}.lua").read_text() for each in before] + [text]).encode()
    return sha1(whole, usedforsecurity=False).hexdigest(), whole


class Scripts:
    """Runs scripts on one server."""

    def __init__(self, client: Redis, layout: Layout, retention: Retention) -> None:
        self._client = client
        self._prefix = layout.prefix.encode()
        kept = {str(state): math.ceil(retention.seconds(state) or 0) for state in FINAL}
        self._same = encode([layout.db, layout.results, kept, max(kept.values()) if all(kept.values()) else 0])

    def call(self, name: str, now: float, *arguments: Any, raw: Sequence[bytes] = ()) -> Any:
        """Run a script that moves jobs, with its arguments; what it returns, in bytes. Raises redis-py's errors.

        Lua's MessagePack knows no bytes: those that are no text go as ``raw``, and the script counts them off.
        """
        return self.run(name, (), self.packed(now, arguments, raw))

    def stream(self, name: str, calls: Iterable[Call]) -> Generator[Any]:
        """Run a script as often as there are ``calls``: the next is made while the server works on the last.

        What each returns, in order; what was sent is answered before an error in the making of the next is raised.
        Raises redis-py's errors: then the call that has had no answer may have been carried out.
        """
        # What the server does not know is sent again on its own, and would come in after what follows it.
        digest = self._loaded(name)
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        sent: deque[tuple[Any, ...]] = deque()
        trouble: BaseException | None = None

        def answer() -> Any:
            try:
                found = connection.read_response()
            except NoScriptError:
                return self.run(name, (), sent.popleft())
            sent.popleft()
            return found

        making = iter(calls)
        try:
            while trouble is None:
                try:
                    arguments = self.packed(*next(making))
                except StopIteration:
                    break
                except BaseException as error:  # noqa: BLE001 - raised below, once what was sent is answered
                    trouble = error
                    break
                packed = connection.pack_command("EVALSHA", digest, 0, *arguments)
                # A ping would be given the answer that is still to come.
                connection.send_packed_command(packed, check_health=not sent)
                sent.append(arguments)
                if len(sent) > 1:
                    yield answer()
            while sent:
                yield answer()
        finally:
            if sent:
                connection.disconnect()
            pool.release(connection)
        if trouble is not None:
            raise trouble

    def _loaded(self, name: str) -> str:
        """The hash of a script that the server knows from now on."""
        digest, text = script(name)
        execute: Callable[..., Any] = self._client.execute_command
        if not execute("SCRIPT EXISTS", digest)[0]:
            execute("SCRIPT LOAD", text)
        return digest

    def packed(self, now: float, arguments: Sequence[Any], raw: Sequence[bytes]) -> tuple[Any, ...]:
        """What a script is called with: see :meth:`call`."""
        return encode([now, to_text(now), spans(now), *arguments]), self._prefix, self._same, *raw

    def run(self, name: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        """Run a script with plain KEYS and ARGV. Raises redis-py's errors."""
        digest, text = script(name)
        try:
            return self._ask("EVALSHA", digest, len(keys), *keys, *arguments)
        except NoScriptError:
            # The server was restarted, or it is the first call: it has done nothing yet.
            return self._ask("EVAL", text, len(keys), *keys, *arguments)

    def _ask(self, *words: Any) -> Any:
        """What the client's ``execute_command`` does where nothing is tried again, at half of its cost for a job."""
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*words)
            # It hangs up by itself where the answer does not come, or is not waited for to its end.
            return connection.read_response()
        finally:
            pool.release(connection)
