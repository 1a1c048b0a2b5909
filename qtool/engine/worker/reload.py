"""``--reload``: fresh processes when the code of their modules changes."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from qtool.errors import UsageError

if TYPE_CHECKING:
    from qtool.engine.worker.children import Children
    from qtool.engine.worker.claimer import Claimer
    from qtool.engine.worker.floor import Floor

DEBOUNCE = 200
"""Milliseconds within which changes are one: an editor writes a file in steps, and a checkout writes many."""


class NoWatcher(UsageError):
    """--reload needs watchfiles, which is not installed; pip install 'qtool[reload]' brings it."""


class Reload:
    """Watches the directories that the pool's processes have code from."""

    def __init__(self, floor: Floor, claimer: Claimer, children: Children) -> None:
        """Raises NoWatcher."""
        if find_spec("watchfiles") is None:
            raise NoWatcher
        self._floor = floor
        self._claimer = claimer
        self._children = children
        self._known: set[str] = set()
        self._stop = threading.Event()
        self._changed: deque[set[str]] = deque()
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        floor.reactor.watch(self._wake, self._on_change)
        children.on_sources = self._watch

    def _watch(self, directories: list[str]) -> None:
        """A process has code from these."""
        if self._known.issuperset(directories):
            return
        self._known.update(directories)
        self._stop.set()
        self._stop = threading.Event()
        paths = [path for path in sorted(self._known) if os.path.isdir(path)]
        threading.Thread(target=self._listen, args=(paths, self._stop), name="reload", daemon=True).start()

    def _listen(self, paths: list[str], stop: threading.Event) -> None:
        """In a thread of its own, until there are more directories to watch."""
        from watchfiles import PythonFilter, watch

        for changes in watch(*paths, watch_filter=PythonFilter(), recursive=False, stop_event=stop, debounce=DEBOUNCE):
            self._changed.append({path for _, path in changes})
            with suppress(OSError):
                os.write(self._woken, b"\0")

    def _on_change(self) -> None:
        os.read(self._wake, 4096)
        paths: set[str] = set()
        while self._changed:
            paths |= self._changed.popleft()
        if not paths or self._children.closing:
            return
        first = os.path.relpath(min(paths))
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self._floor.say(f"{first}{more} changed: the pool starts anew, and what runs comes to its end.")
        # Whatever has not started is to run with the new code.
        self._claimer.give_back()
        self._children.renew()
        self._claimer.look()

    def close(self) -> None:
        """Watch nothing any more."""
        self._stop.set()
        self._floor.reactor.unwatch(self._wake)
        for fd in (self._wake, self._woken):
            os.close(fd)
