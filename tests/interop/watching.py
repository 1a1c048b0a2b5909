"""A monitor of Celery's own making, as Flower and ``celery events`` are."""

from __future__ import annotations

import threading
from typing import Any

from celery.events.state import State

from tests.interop.conftest import until


class Watch:
    """A monitor of Celery's, as Flower is one: it receives everything, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        self.state = State()
        self.seen: list[dict[str, Any]] = []
        self._connection = app.connection_for_read()
        self._receiver = app.events.Receiver(self._connection, handlers={"*": self._on_event})
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"limit": None, "timeout": None})
        self._thread.start()

    def _on_event(self, event: dict[str, Any]) -> None:
        self.seen.append(event)
        self.state.event(event)

    def worker(self, node: str) -> Any:
        """It as it is seen; None before it is."""
        return self.state.workers.get(node)

    def task(self, id: str, state: str) -> Any:
        """The task, once it is in that state."""
        return until(lambda: (task := self.state.tasks.get(id)) is not None and task.state == state and task)

    def kinds(self, id: str) -> list[str]:
        """What was told of a task, in that order."""
        return [each["type"] for each in self.seen if each.get("uuid") == id]

    def close(self) -> None:
        """Listen no more."""
        self._receiver.should_stop = True
        self._thread.join()
        self._connection.release()
