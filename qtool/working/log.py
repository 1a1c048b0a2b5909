"""What a worker says on stderr: sentences for people, or one JSON object a line for machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qtool.output import talk, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.job import Lease, Settlement
    from qtool.output import Output
    from qtool.working.echo import Line

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

LEVEL_OF = {"retry": "warning", "dead": "error"}
"""By the state that an attempt left its job in; others are info."""


class Log:
    """Stderr of one worker."""

    def __init__(self, out: Output, *, json: bool = False, level: str = "info") -> None:
        self._out = out
        self.json = json
        self._least = LEVELS.index(level)
        self.worker: str | None = None
        """The worker's id, once it has one."""

    def wants(self, level: str) -> bool:
        """Whether what is said at this level is written."""
        return LEVELS.index(level) >= self._least

    def say(self, level: str, message: str, **fields: Any) -> None:
        """A sentence, and in JSON what it is about."""
        if not self.wants(level):
            return
        if self.json:
            talk(to_json(self._object(datetime.now(UTC), level, message, fields)) + "\n")
        else:
            self._out.warn(message)

    def echo(self, lines: Sequence[Line]) -> None:
        """What jobs wrote, at any level: it was asked for."""
        now = datetime.now(UTC)
        for lease, stream, text in lines:
            if self.json:
                talk(to_json(self._object(now, "info", text, about(lease) | {"stream": stream})) + "\n")
            else:
                self._out.warn(f"{lease.task} {lease.id}: {text}")

    def ends(self, settlements: Sequence[Settlement]) -> str:
        """A JSON line for each attempt that ended, as far as its level is wanted."""
        lines = []
        for settlement in settlements:
            state = str(settlement.state)
            level = LEVEL_OF.get(state, "info")
            if not self.wants(level):
                continue
            fields = about(settlement.lease) | {
                "state": state,
                "reason": settlement.reason,
                "seconds": max(0.0, settlement.at - settlement.started_at),
                "error": str(settlement.failure) if settlement.failure is not None else None,
            }
            at = datetime.fromtimestamp(settlement.at, UTC)
            lines.append(to_json(self._object(at, level, f"job {state}", fields)) + "\n")
        return "".join(lines)

    def _object(self, at: datetime, level: str, message: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {"time": at, "level": level, "worker": self.worker, "message": message, **fields}


def about(lease: Lease | None) -> dict[str, Any]:
    """The fields that say which job a line is about."""
    if lease is None:
        return {}
    return {"id": lease.id, "task": lease.task, "queue": lease.queue, "attempt": lease.attempt}
