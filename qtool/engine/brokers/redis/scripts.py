"""Lua scripts: one file a verb, sent once and called by their hash from then on.

Each is preceded by ``common.lua`` where its first line is ``-- common``. Those get one MessagePack value, ARGV[1], and
the prefix of all keys, ARGV[2].
"""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from qtool.engine.brokers.redis.layout import Layout

_COMMON = "-- common\n"

encode = msgspec.msgpack.Encoder().encode
"""Of what a script gets: numbers, text, bytes, lists; None ends what Lua sees of a list, so that False stands in."""


@cache
def script(name: str) -> tuple[str, bytes]:
    """The hash and the text of a script."""
    here = files(__package__)
    text = here.joinpath(f"{name}.lua").read_text()
    if text.startswith(_COMMON):
        text = here.joinpath("common.lua").read_text() + text
    whole = text.encode()
    return sha1(whole, usedforsecurity=False).hexdigest(), whole


class Scripts:
    """Runs scripts on one server."""

    def __init__(self, client: Redis, layout: Layout) -> None:
        self._client = client
        self._prefix = layout.prefix.encode()

    def call(self, name: str, *arguments: Any) -> Any:
        """Run a script with ``arguments`` as one list; what it returns, in bytes. Raises redis-py's errors."""
        return self.run(name, (), (encode(arguments), self._prefix))

    def run(self, name: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        """Run a script with plain KEYS and ARGV. Raises redis-py's errors."""
        digest, text = script(name)
        execute: Callable[..., Any] = self._client.execute_command
        try:
            return execute("EVALSHA", digest, len(keys), *keys, *arguments)
        except NoScriptError:
            # The server was restarted, or it is the first call: it has done nothing yet.
            return execute("EVAL", text, len(keys), *keys, *arguments)
