"""``qtool worker``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qtool.errors import BrokerError, ExitCode, UsageError
from qtool.options import Common, Queues, split_names
from qtool.views.worker import WORKER_EVENTS, WorkerEventRow, account, event_row

if TYPE_CHECKING:
    from qtool.engine.worker.options import PoolKind, WorkerOptions

ROW = WorkerEventRow
EXAMPLES = """
qtool worker -j 8                                # run commands, eight at a time
qtool worker -A shop.tasks                       # and the tasks of a Python module
qtool worker -A shop.tasks -Q mail,default --pool thread -j 32
qtool worker --burst -q && echo all done         # until the queues are empty
qtool worker | jq -r 'select(.kind == "dead") | .id'
"""

_BATCHES = 1000
"""Batches of events, each of what happened in a tenth of a second, that may wait for a slow reader."""

_PATIENCE = 5.0
"""Seconds that a slow reader is waited for at the end."""

SHORTEST_LEASE = 1.0
"""Seconds."""

PATIENCE = 1.0
"""Seconds that the worker's one thread waits for another process; while it does, it sees to nothing else."""

POOLS = ("process", "thread", "async")


def command(
    common: Common,
    apps: Annotated[
        list[str] | None,
        typer.Option("-A", "--app", metavar="MODULE", help="A module that defines tasks; repeat, or m1,m2."),
    ] = None,
    queues: Queues = None,
    slots: Annotated[
        int | None, typer.Option("-j", "--jobs", metavar="N", min=1, max=4096, help="How many at once. [one a core]")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option("--pool", metavar="POOL", help="process, thread or async: where Python tasks run. [process]"),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when the queues are empty.")] = False,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", metavar="N", min=1, help="End after starting N jobs.")
    ] = None,
    drain_timeout: Annotated[
        str | None,
        typer.Option(
            "--drain-timeout", metavar="DURATION", help="How long running jobs may go on after a signal. [for ever]"
        ),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option("--lease", metavar="DURATION", help="How long its claims hold without a sign of life. [30s]"),
    ] = None,
) -> int:
    """Run jobs.

    Commands run as they are; Python tasks are imported with -A and run in a pool. The process pool is the one that
    can stop a task whatever it does, and survives one that crashes; threads and coroutines are for many jobs that wait.
    With --burst the worker ends when its queues hold nothing that is ready, running or about to be retried; jobs
    scheduled for later stay.

    TERM or INT (Ctrl-C) lets running jobs finish and gives back what has not started. A second one asks running jobs to
    stop and puts them back into their queues, a third kills them; QUIT does that at once. Exit code 1 says that
    something had to be killed.

    What is not said here is taken from [worker] in the configuration file.
    """
    from qtool.engine.times import parse_duration
    from qtool.engine.worker.options import WorkerOptions

    usual = common.settings().worker
    kind = pool or usual.pool or "process"
    if kind not in POOLS:
        raise UsageError(why=f"There is no pool {kind!r}. Choose one of {', '.join(POOLS)}.")
    options = WorkerOptions(
        queues=split_names(queues) or usual.queues,
        slots=slots or usual.jobs or _cores(),
        pool=cast("PoolKind", kind),
        apps=split_names(apps) or usual.app,
        middleware=usual.middleware,
        burst=burst,
        max_jobs=max_jobs,
        drain_timeout=parse_duration(drain_timeout) if drain_timeout else usual.drain_timeout,
        lease=_lease(lease),
    )
    return _run(common, options)


def _lease(said: str | None) -> float:
    """Seconds. Raises BadDuration, UsageError."""
    from qtool.engine.broker import LEASE_SECONDS
    from qtool.engine.times import parse_duration

    seconds = parse_duration(said) if said else LEASE_SECONDS
    if seconds < SHORTEST_LEASE:
        raise UsageError(why=f"A lease of {said} is too short to be renewed in time: use {SHORTEST_LEASE:g}s or more.")
    return seconds


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(common: Common, options: WorkerOptions) -> int:
    from qtool.engine.worker.supervisor import Worker

    # What happens to jobs goes on when nobody reads the events any more.
    out = common.out(keep_going=True)
    with common.adapter(write=True, patience=PATIENCE) as adapter, out.progress("jobs") as line:
        talk = _Talk(out, line, adapter, options)
        _stay_here(common.settings().broker, adapter.url)
        worker = Worker(adapter, options, talk)
        talk.greet(worker.id)
        try:
            summary = worker.run(then_exit=True)
        finally:
            talk.finish()
            line.clear()
    out.note(account(summary))
    code = ExitCode.OK if summary.clean else ExitCode.FAILED
    if talk.stalled:
        # A thread hangs in a write that nobody will ever read, and holds stdout: no ordinary end would get past it.
        os._exit(code)
    return code


def _stay_here(said: str, url: str) -> None:
    """Let what a job enqueues, in Python or with a ``qtool`` of its own, go to the broker that it came from itself."""
    # The adapter's URL holds wherever a job runs, and has no password: one that needs it is passed on as it was said.
    os.environ["QTOOL_BROKER"] = said if "@" in said else url


class _Talk:
    """What the worker tells: events on stdout, sentences and a live line on stderr."""

    def __init__(self, out: Any, line: Any, adapter: Any, options: WorkerOptions) -> None:
        self._out = out
        self._line = line
        self._adapter = adapter
        self._options = options
        # A quiet worker makes no events, and a person at a terminal has the line.
        self.wants_events = not out.quiet and not out.terminal
        self._ready = 0
        self._look_at = 0.0
        import queue
        import sys

        # Written by a thread: a reader that stalls (a pager, say) must not keep the worker from renewing its leases.
        self._batches: queue.Queue[list[Any] | None] = queue.Queue(_BATCHES)
        self._dropped = 0
        self._writer: Any = None
        self.stalled = False
        """The reader of the events does not read."""

        self._live = sys.stderr.isatty() and not out.quiet

    def greet(self, id: str) -> None:
        options = self._options
        serves = ", ".join(options.queues) or "all queues"
        # Said every time: a task that nobody named a module for ends dead here, and waits for an operator's retry.
        only = "" if options.apps else ", commands and qtool.http only (no -A)"
        self._out.note(f"worker {id} serves {serves} with {options.slots} {options.pool} slots{only}; Ctrl-C ends it")

    def events(self, batch: list[Any]) -> None:
        from queue import Full
        from threading import Thread

        if self._writer is None:
            self._out.talks_apart = True
            self._writer = Thread(target=self._write, name="events", daemon=True)
            self._writer.start()
        try:
            self._batches.put_nowait(batch)
        except Full:
            self._dropped += len(batch)

    def _write(self) -> None:

        while (batch := self._batches.get()) is not None:
            self._out.rows(WORKER_EVENTS, [event_row(event) for event in batch])
            self._out.flush()

    def finish(self) -> None:
        """Write what is left, for a reader that still reads."""
        if self._writer is not None:
            from queue import Full

            try:
                self._batches.put(None, timeout=_PATIENCE)
                self._writer.join(_PATIENCE)
            except Full:
                pass
            self.stalled = self._writer.is_alive()
        if self._dropped:
            self._out.warn(f"{self._dropped:,} events were not written: nobody read them in time")

    def say(self, message: str) -> None:
        self._out.warn(message)

    def progress(self, summary: Any) -> None:
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
        from qtool.engine.states import State

        mine = self._options.queues
        try:
            queues = self._adapter.inspector.snapshot().queues
        except BrokerError:
            # The worker itself says so, and goes on.
            return
        self._ready = sum(queue.counts[State.READY] for queue in queues if not mine or queue.name in mine)
