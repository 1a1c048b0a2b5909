"""What the pilot waits for after every key: that the program has dealt with all that it was sent.

Textual's own pilot waits until the processor has nothing to do for a fiftieth of a second, twice for every key: slow
where all is well, and up to two seconds a key where the machine is busy with something else.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from textual._context import active_app

if TYPE_CHECKING:
    from textual.app import App
    from textual.message_pump import MessagePump

REST = 1.0
"""Seconds after which a program is no longer waited for that always has something to do, as one has whose looks at the
broker take longer than the time between them. A test that needs more waits for what is shown."""

ANSWER = 0.3
"""The same for the broker: some tests have one that does not answer."""


async def calm(min_sleep: float = 0, max_sleep: float = 0) -> None:
    """Wait until nothing is under way: no message, and no question to the broker. For Textual's ``wait_for_idle``."""
    app: Any = active_app.get()
    began = time.monotonic()
    turns = 0
    while (passed := time.monotonic() - began) < REST and app.is_running and app._exception is None:
        # At first only the tasks that are ready are let go on; what takes longer than that waits for a thread.
        await asyncio.sleep(0 if turns % 50 else 0.001)
        turns += 1
        if _rests(app):
            # What has changed is drawn; who waits for that is called.
            app.screen._on_timer_update()
            if _rests(app):
                if passed > ANSWER or (app.link.idle and app.doing.hand._lines.idle and _rests(app)):
                    return
                turns = 0


def _rests(app: App[Any]) -> bool:
    """Whether every widget waits for a message and has none."""
    return all(_waits(pump) for pump in (app, *app._registry) if pump.is_running)


def _waits(pump: MessagePump) -> bool:
    ready: Any = pump._message_queue.ready_event
    return bool(ready._waiters) and not ready.is_set() and not pump._next_callbacks
