"""``qtool worker``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qtool.errors import UsageError
from qtool.options import Common, Queues, split_names
from qtool.views.worker import WorkerEventRow

if TYPE_CHECKING:
    from qtool.engine.worker.options import PoolKind

ROW = WorkerEventRow
EXAMPLES = """
qtool worker -j 8                                # run commands, eight at a time
qtool worker -A shop.tasks                       # and the tasks of a Python module
qtool worker -A shop.tasks -Q mail,default --pool thread -j 32
qtool worker -A shop.tasks -j 2:16               # as many at once as the load asks for
qtool worker -A proj.celery                      # a Celery application, at its own broker
qtool worker -A proj.celery -E -n mail@%h        # Flower sees it, and each of its tasks
qtool worker -A shop.tasks --max-memory-per-child 500MB
qtool worker -A shop.tasks --reload              # with your changes, as you make them
qtool worker --burst -q && echo all done         # until the queues are empty
qtool worker | jq -r 'select(.kind == "dead") | .id'
qtool worker --on-finish-state dead --on-finish 'notify-send "$QTOOL_TASK: $QTOOL_ERROR"'
qtool worker -q --log-format json --metrics 127.0.0.1:9100
"""

SHORTEST_LEASE = 1.0
"""Seconds."""

POOLS = ("process", "thread", "async")


def command(
    common: Common,
    apps: Annotated[
        list[str] | None,
        typer.Option(
            "-A",
            "--app",
            metavar="MODULE",
            help="A module of tasks, or a Celery application; repeat, or m1,m2.",
        ),
    ] = None,
    queues: Queues = None,
    slots: Annotated[
        str | None,
        typer.Option(
            "-j", "--jobs", metavar="N|MIN:MAX", help="How many at once; 2:8 grows while jobs wait. [one a core]"
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option("--pool", metavar="POOL", help="process, thread or async: where Python tasks run. [process]"),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when the queues are empty.")] = False,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", metavar="N", min=1, help="End after starting N jobs.")
    ] = None,
    max_jobs_per_child: Annotated[
        int | None,
        typer.Option("--max-jobs-per-child", metavar="N", min=1, help="Replace a pool's process after N jobs."),
    ] = None,
    max_memory_per_child: Annotated[
        str | None,
        typer.Option(
            "--max-memory-per-child", metavar="SIZE", help="Replace one that holds more after a job, as in 200MB."
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start the pool anew when its code changes, while you work on it.")
    ] = False,
    drain_timeout: Annotated[
        str | None,
        typer.Option(
            "--drain-timeout", metavar="DURATION", help="How long running jobs may go on after a signal. [for ever]"
        ),
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(
            "--lease", metavar="DURATION", help="How long its claims hold without a sign of life. [30s, on Redis 10s]"
        ),
    ] = None,
    allow_exec: Annotated[
        bool, typer.Option("--allow-exec", help="From a network broker, run commands too: those signed with your key.")
    ] = False,
    on_finish: Annotated[
        str | None,
        typer.Option("--on-finish", metavar="CMD", help="Run this with /bin/sh for each job that has ended."),
    ] = None,
    on_finish_states: Annotated[
        list[str] | None,
        typer.Option(
            "--on-finish-state", metavar="STATE", help="Only for these: succeeded, dead, cancelled; repeat, or a,b."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Serve metrics for Prometheus there, at /metrics."),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option("--log-format", metavar="FORMAT", help="What stderr is: text or json, a line an object. [text]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error. [info]")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "-n", "--name", metavar="NAME", help="What Celery's tools call it; %h is the host. [qtool-PID@%h]"
        ),
    ] = None,
    task_events: Annotated[
        bool,
        typer.Option("-E", "--task-events", help="Send Celery's events of every job, for Flower and the like."),
    ] = False,
    no_remote_control: Annotated[
        bool, typer.Option("--no-remote-control", help="Ignore Celery's remote control: inspect, control, Flower.")
    ] = False,
    echo: Annotated[bool, typer.Option("--echo", help="Copy what jobs write to stderr, line by line.")] = False,
) -> int:
    """Run jobs.

    Commands run as they are; Python tasks are imported with -A and run in a pool. The process pool is the one that
    can stop a task whatever it does, and survives one that crashes; threads and coroutines are for many jobs that wait.
    With --burst the worker ends when its queues hold nothing that is ready, running or about to be retried; jobs
    scheduled for later stay.

    A Celery application is found as Celery's own -A finds it, and its tasks run as they do in Celery's own worker:
    retries, chains, groups and chords are Celery's. Where nothing else names a broker the worker serves the
    application's, and without -Q its queues.

    TERM or INT (Ctrl-C) lets running jobs finish and gives back what has not started. A second one asks running jobs to
    stop and puts them back into their queues, a third kills them; QUIT does that at once. Exit code 1 says that
    something had to be killed.

    --on-finish runs beside the worker; the command finds the job in QTOOL_JOB_ID, QTOOL_TASK, QTOOL_QUEUE, QTOOL_STATE,
    QTOOL_REASON, QTOOL_ERROR, QTOOL_ATTEMPT and QTOOL_SECONDS, and as a line of JSON on stdin. With --log-format json
    each end of an attempt is a line on stderr too.

    Commands that come from a network broker run only with --allow-exec, and if they are signed: with QTOOL_KEY, or the
    key of the context, the same where they are enqueued and here.

    On Redis Celery's tools see the worker and control it (celery status, inspect, control, events; Flower), under the
    name that -n gives it. Whoever can write to the broker can stop it so, but has it run nothing; --no-remote-control
    ends that, and so does worker_enable_remote_control of a Celery application.

    What is not said here is taken from [worker] in the configuration file.
    """
    from qtool.engine.sizes import parse_size, parse_slots
    from qtool.engine.times import parse_duration
    from qtool.engine.worker.options import WorkerOptions
    from qtool.working.run import run, telling

    settings = common.settings()
    usual = settings.worker
    modules = split_names(apps) or usual.app
    common, served = _application(common, settings.source, modules, split_names(queues) or usual.queues)
    kind = pool or usual.pool or "process"
    if kind not in POOLS:
        raise UsageError(why=f"There is no pool {kind!r}. Choose one of {', '.join(POOLS)}.")
    least, most = parse_slots(slots) if slots else usual.jobs or (_cores(), None)
    options = WorkerOptions(
        queues=served,
        slots=least,
        most=most,
        pool=cast("PoolKind", kind),
        apps=modules,
        middleware=usual.middleware,
        burst=burst,
        max_jobs=max_jobs,
        reload=reload,
        max_jobs_per_child=max_jobs_per_child or usual.max_jobs_per_child,
        max_memory_per_child=parse_size(max_memory_per_child) if max_memory_per_child else usual.max_memory_per_child,
        drain_timeout=parse_duration(drain_timeout) if drain_timeout else usual.drain_timeout,
        lease=_lease(lease),
        allow_exec=allow_exec or usual.allow_exec,
        key=settings.key,
        name=name,
        remote_control=usual.remote_control and not no_remote_control,
        task_events=task_events or usual.task_events,
    )
    told = telling(
        on_finish=on_finish or usual.on_finish,
        on_finish_states=split_names(on_finish_states) or usual.on_finish_state,
        metrics=metrics or usual.metrics,
        log_format=log_format or usual.log_format,
        log_level=log_level or usual.log_level,
        echo=echo or usual.echo,
    )
    return run(common, options, told)


def _lease(said: str | None) -> float | None:
    """Seconds; None where nobody says. Raises BadDuration, UsageError."""
    from qtool.engine.times import parse_duration

    if not said:
        return None
    seconds = parse_duration(said)
    if seconds < SHORTEST_LEASE:
        raise UsageError(why=f"A lease of {said} is too short to be renewed in time: use {SHORTEST_LEASE:g}s or more.")
    return seconds


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _application(
    common: Common, source: str, apps: tuple[str, ...], queues: tuple[str, ...]
) -> tuple[Common, tuple[str, ...]]:
    """Where nobody says: the broker and the queues of a Celery application, if there is one among the modules.

    ``source`` is what decided the broker so far.
    """
    unsaid = source == "default"
    if not apps or (queues and not unsaid):
        return common, queues
    from qtool.working.application import ask

    app = ask(apps)
    if app is None:
        return common, queues
    return replace(common, broker=app.broker) if unsaid and app.broker else common, queues or app.queues
