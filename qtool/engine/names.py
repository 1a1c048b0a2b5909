"""What queues, tasks, ids, keys and tags may be called. One rule, wherever a name comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.errors import BadName

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 255
"""Bytes of UTF-8, as in AMQP's short strings."""


def check_name(what: str, name: str) -> str:
    """``name`` itself, when it may name a ``what`` ("queue", "task", …). Raises BadName.

    A name has 1 to 255 bytes of UTF-8, no spaces and nothing that a terminal would not print.
    """
    if name.isascii() and name.isprintable() and " " not in name and 0 < len(name) <= LONGEST:
        return name
    if not name:
        raise BadName(what=what, name=name, why="it is empty")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        raise BadName(what=what, name=name, why="it is not valid text (bytes that are not UTF-8)")
    if (size := len(name.encode())) > LONGEST:
        raise BadName(what=what, name=f"{name[:20]}…", why=f"it has {size} bytes and the limit is {LONGEST}")
    if any(char.isspace() for char in name):
        raise BadName(what=what, name=name, why="it has a space in it")
    if not name.isprintable():
        raise BadName(what=what, name=name, why="it has a control or invisible character in it")
    return name


LONGEST_KEY = 4096
"""Bytes of UTF-8: room for any path."""


def check_key(key: str, what: str = "unique key") -> str:
    """``key`` itself, when it may be a job's (unique) key: 1 to 4096 bytes of UTF-8 without NUL. Raises BadName."""
    if key.isascii() and key.isprintable() and 0 < len(key) <= LONGEST_KEY:
        return key
    why = ""
    if not key:
        why = "it is empty"
    elif "\0" in key:
        why = "it has a NUL in it"
    elif any(0xD800 <= ord(char) <= 0xDFFF for char in key):
        why = "it is not valid text (bytes that are not UTF-8)"
    elif (size := len(key.encode())) > LONGEST_KEY:
        why = f"it has {size} bytes and the limit is {LONGEST_KEY}"
    if why:
        raise BadName(what=what, name=f"{key[:20]}…" if len(key) > 20 else key, why=why)
    return key


def few(names: Sequence[str], most: int = 5) -> str:
    """Names in a sentence: the first ones, and that there are more."""
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
