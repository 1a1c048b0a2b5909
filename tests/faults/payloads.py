"""Tasks whose results and errors are as odd as Python allows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtool import current_job, task

if TYPE_CHECKING:
    from collections.abc import Callable


def _nested(depth: int) -> list[Any]:
    nest: list[Any] = []
    for _ in range(depth):
        nest = [nest]
    return nest


def _cycle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


RESULTS: dict[str, Callable[[], Any]] = {
    "an object": object,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "a huge integer": lambda: 10**6000,
    "bytes": lambda: b"\xff",
    "a set": lambda: {1},
    "a cycle": _cycle,
    "deep": lambda: _nested(100_000),
    "100 MB": lambda: "x" * (100 << 20),
    "keys that are no text": lambda: {(1, 2): 3},
}
"""What cannot be stored."""

STORED: dict[str, Callable[[], Any]] = {
    "NUL": lambda: "a\0b",
    "a lone surrogate": lambda: "\udcff\ud800",
    "an integer of 300 digits": lambda: 10**300,
    "control sequences": lambda: "\x1b[2J\x07\r\n",
}
"""What can, and comes back as it was."""


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


ERRORS: dict[str, Callable[[], BaseException]] = {
    "NUL": lambda: ValueError("a\0b"),
    "a lone surrogate": lambda: ValueError("\ud800"),
    "long": lambda: ValueError("x" * (10 << 20)),
    "silent": SilentError,
    "a name from elsewhere": lambda: type("\ud800\0 odd", (Exception,), {})(),
    "a group": lambda: ExceptionGroup("both", [ValueError("\0"), SilentError()]),
    "chained for ever": lambda: _chained(),
}


def _chained() -> Exception:
    error = ValueError("x")
    error.__cause__ = error
    return error


@task
def give(what: str) -> Any:
    """Return it."""
    return (RESULTS | STORED)[what]()


@task
def fail(what: str) -> None:
    """Raise it."""
    raise ERRORS[what]()


@task
def take(*args: Any, **kwargs: Any) -> int:
    """An honest job, whatever it is given."""
    return len(args) + len(kwargs)


@task
def mark(path: str) -> None:
    """Leaves a file behind, so that it is seen whether it ran."""
    Path(path).write_text(f"{current_job().id} {os.getpid()}")
