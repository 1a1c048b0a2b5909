"""What a worker tells while it works: events on stdout, what it has to say on stderr, a live line at a terminal."""

from __future__ import annotations

import queue
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.errors import BrokerError
from qtool.output import talk
from qtool.views.worker import WORKER_EVENTS, event_row
from qtool.working.echo import Echo
from qtool.working.log import about

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Lease, Report, Settlement
    from qtool.engine.worker.options import Summary, WorkerEvent, WorkerOptions
    from qtool.output import Output
    from qtool.progress import Progress
    from qtool.working.log import Log
    from qtool.working.on_finish import OnFinish

BATCHES = 1000
"""Batches of lines, each of what happened in a tenth of a second, that may wait for a slow reader."""

PATIENCE = 5.0
"""Seconds that a slow reader is waited for at the end."""


class Writer:
    """Writes from a thread: a reader that stalls (a pager, say) must not keep the worker from renewing its leases."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._batches: queue.Queue[Callable[[], object] | None] = queue.Queue(BATCHES)
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Lines that nobody read in time."""
        self.stalled = False

    def put(self, write: Callable[[], object], lines: int) -> None:
        """Call ``write`` soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._batches.put_nowait(write)
        except queue.Full:
            self.dropped += lines

    def _work(self) -> None:
        while (write := self._batches.get()) is not None:
            write()

    def finish(self) -> None:
        """Write what is left, for a reader that still reads."""
        if self._thread is None:
            return
        try:
            self._batches.put(None, timeout=PATIENCE)
            self._thread.join(PATIENCE)
        except queue.Full:
            pass
        self.stalled = self._thread.is_alive()


class Talk:
    """The worker's listener."""

    def __init__(
        self,
        out: Output,
        line: Progress,
        log: Log,
        adapter: Adapter,
        options: WorkerOptions,
        on_finish: OnFinish | None = None,
    ) -> None:
        self._out = out
        self._line = line
        self._log = log
        self._adapter = adapter
        self._options = options
        self._on_finish = on_finish
        # A quiet worker makes no events, and a person at a terminal has the line.
        self.wants_events = not out.quiet and not out.terminal
        self._ready = 0
        self._look_at = 0.0
        self._events = Writer("events")
        self._lines = Writer("log")
        self._echo = Echo()
        self._live = sys.stderr.isatty() and not out.quiet and not log.json

    @property
    def stalled(self) -> bool:
        """Whether the reader of stdout or stderr does not read."""
        return self._events.stalled or self._lines.stalled

    def greet(self, id: str) -> None:
        """The first line."""
        options = self._options
        serves = ", ".join(options.queues) or "all queues"
        # Said every time: the first task that nobody named a module for ends the worker.
        only = "" if options.apps else ", commands and qtool.http only (no -A)"
        most = options.most or options.slots
        slots = f"{options.slots if most == options.slots else f'{options.slots} to {most}'} {options.pool} slots"
        self._log.say("info", f"worker {id} serves {serves} with {slots}{only}; Ctrl-C ends it")

    def events(self, batch: list[WorkerEvent]) -> None:
        """Rows for stdout."""
        self._out.talks_apart = True
        self._events.put(partial(self._write, batch), len(batch))

    def _write(self, batch: list[WorkerEvent]) -> None:
        self._out.rows(WORKER_EVENTS, [event_row(event) for event in batch])
        self._out.flush()

    def settled(self, batch: list[Settlement]) -> None:
        """Lines for stderr; only a log in JSON asks for them."""
        self._lines.put(lambda: talk(self._log.ends(batch)), len(batch))

    def echo(self, news: Sequence[Report | Settlement]) -> None:
        """What jobs wrote, for stderr."""
        if lines := list(self._echo.lines(news)):
            self._out.talks_apart = True
            self._lines.put(partial(self._log.echo, lines), len(lines))

    def say(self, message: str, lease: Lease | None = None) -> None:
        """Something a person should read."""
        self._log.say("warning", message, **about(lease))

    def progress(self, summary: Summary) -> None:
        """The live line."""
        if self._on_finish is not None and (trouble := self._on_finish.trouble()):
            self.say(trouble)
        if not self._live:
            return
        self._count_ready(summary.seconds)
        note = f"{summary.dead:,} dead, {summary.running} running, {self._ready:,} ready"
        self._line.update(summary.jobs, note)

    def _count_ready(self, now: float) -> None:
        """Once a second: it is a question to the broker."""
        if now < self._look_at:
            return
        self._look_at = now + 1.0
        mine = self._options.queues
        try:
            queues = self._adapter.inspector.snapshot().queues
        except BrokerError:
            # The worker itself says so, and goes on.
            return
        self._ready = sum(queue.counts[State.READY] for queue in queues if not mine or queue.name in mine)

    def finish(self) -> None:
        """Write what is left, for readers that still read."""
        for writer, what in ((self._events, "events"), (self._lines, "lines")):
            writer.finish()
            if writer.dropped:
                self.say(f"{writer.dropped:,} {what} were not written: nobody read them in time")
