"""One worker from its start to its exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.engine.value import Value
from qtool.engine.worker.notify import Notify
from qtool.engine.worker.supervisor import Worker
from qtool.errors import ExitCode, QtoolError, UsageError
from qtool.views.worker import account
from qtool.working.log import FORMATS, LEVELS, Log
from qtool.working.on_finish import STATES, OnFinish
from qtool.working.talk import Talk
from qtool.working.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Settlement
    from qtool.engine.worker.options import WorkerOptions
    from qtool.options import Common
    from qtool.output import Output
    from qtool.progress import Progress


PATIENCE = 1.0
"""Seconds that the worker's one thread waits for another process; while it does, it sees to nothing else."""


class Telling(Value, kw_only=True):
    """What a worker tells others about its jobs and itself."""

    on_finish: str | None = None
    """A command for /bin/sh, run for each job that has ended."""
    on_finish_states: tuple[State, ...] = STATES
    metrics: str | None = None
    """``HOST:PORT``."""
    echo: bool = False
    """Copy what jobs write to stderr."""
    log_format: str = "text"
    log_level: str | None = None
    """None: info, and warning for a quiet worker."""


def telling(
    *,
    on_finish: str | None,
    on_finish_states: Sequence[str],
    metrics: str | None,
    log_format: str | None,
    log_level: str | None,
    echo: bool = False,
) -> Telling:
    """As options and configuration say it. Raises UsageError."""
    for state in on_finish_states:
        if state not in STATES:
            raise UsageError(why=f"No job ends as {state!r} at a worker. Choose of {', '.join(STATES)}.")
    for what, said, known in (("log format", log_format, FORMATS), ("log level", log_level, LEVELS)):
        if said is not None and said not in known:
            raise UsageError(why=f"There is no {what} {said!r}. Choose one of {', '.join(known)}.")
    return Telling(
        on_finish=on_finish,
        on_finish_states=tuple(map(State, on_finish_states)) or STATES,
        metrics=metrics,
        log_format=log_format or "text",
        log_level=log_level,
        echo=echo,
    )


def run(common: Common, options: WorkerOptions, telling: Telling) -> int:
    """Run a worker until it ends, and say how that went: the exit code."""
    # What happens to jobs goes on when nobody reads the events any more.
    out = common.out(keep_going=True)
    level = telling.log_level or ("warning" if out.quiet else "info")
    log = Log(out, json=telling.log_format == "json", level=level)
    try:
        with common.adapter(write=True, patience=PATIENCE) as adapter, out.progress("jobs") as line:
            stay_here(common.settings().broker, adapter.url)
            return _work(out, line, log, adapter, options, telling)
    except QtoolError as error:
        if not log.json or common.verbose:
            raise
        log.say("error", str(error), error=type(error).__name__)
        return error.exit_code


def _work(out: Output, line: Progress, log: Log, adapter: Adapter, options: WorkerOptions, telling: Telling) -> int:
    on_finish = OnFinish(telling.on_finish, telling.on_finish_states) if telling.on_finish else None
    talk = Talk(out, line, log, adapter, options, on_finish)
    tally = Tally() if telling.metrics is not None else None
    watchers: list[Callable[[list[Settlement]], None]] = []
    if on_finish is not None:
        watchers.append(on_finish.settled)
    if log.json:
        watchers.append(talk.settled)
    if tally is not None:
        watchers.append(tally.settled)
    echo = talk.echo if telling.echo else None
    brake = on_finish.behind if on_finish is not None else None
    notify = Notify.from_environ(os.environ)
    worker = Worker(adapter, options, talk, watchers=watchers, echo=echo, brake=brake, notify=notify)
    log.worker = worker.id
    if telling.metrics is not None and tally is not None:
        from qtool.working.metrics import Metrics

        metrics = Metrics(telling.metrics, worker, tally)
        log.say("info", f"metrics at {metrics.url}", url=metrics.url)
    talk.greet(worker.id)
    try:
        summary = worker.run(then_exit=True)
    finally:
        talk.finish()
        line.clear()
    if on_finish is not None:
        for said in (on_finish.trouble(), on_finish.finish(), on_finish.trouble()):
            if said:
                talk.say(said)
    counts = {name: getattr(summary, name) for name in summary.__slots__}
    log.say("info", account(summary), **counts)
    code = ExitCode.OK if summary.clean else ExitCode.FAILED
    if talk.stalled:
        # A thread hangs in a write that nobody will ever read, and holds stdout: no ordinary end would get past it.
        os._exit(code)
    return code


def stay_here(said: str, url: str) -> None:
    """Let what a job enqueues, in Python or with a ``qtool`` of its own, go to the broker that it came from itself."""
    # The adapter's URL holds wherever a job runs, and has no password: one that needs it is passed on as it was said.
    os.environ["QTOOL_BROKER"] = said if "@" in said else url
