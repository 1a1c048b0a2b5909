"""The error family and the exit codes.

An error's docstring is the message a user reads; its fields come from the keywords the raiser gives::

    raise UnknownJob(id="019a")   ->   No job 019a here. …

One ``except QtoolError`` in :mod:`qtool.cli` prints the message to stderr and exits with ``exit_code``.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a ``qtool`` process ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    NOT_FOUND = 4
    EMPTY = 5
    UNREACHABLE = 69
    REFUSED = 77
    TIMED_OUT = 124
    INTERNAL = 125
    INTERRUPTED = 130


class QtoolError(Exception):
    """qtool failed: {why}."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, **data: object) -> None:
        """Keep ``data``: the fields of the docstring, and whatever else a caller may want to read."""
        super().__init__()
        self.data = data

    def __str__(self) -> str:
        return " ".join((type(self).__doc__ or "").split()).format(**self.data)

    def __getattr__(self, name: str) -> object:
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.data))


def _rebuild(kind: type[QtoolError], data: dict[str, object]) -> QtoolError:
    return kind(**data)


# --- what the user typed -----------------------------------------------------------------------------


class UsageError(QtoolError):
    """{why}"""

    exit_code = ExitCode.USAGE


class BadDuration(UsageError):
    """'{text}' is not a duration: write it as 90s, 5m, 1h30m or 2d."""


class BadSize(UsageError):
    """'{text}' is not a size: write it as 512KB, 200MB or 1.5GB."""


class BadSlots(UsageError):
    """'{text}' is not a number of slots: write it as 4, or as 2:8 for at least 2 and at most 8; {most} is the most."""


class BadTime(UsageError):
    """'{text}' is not a time: write it as ISO 8601 (2026-01-31T09:00, with Z or an offset for another zone), or from
    now on as +5m or -5m."""


class BadJSON(UsageError):
    """{where} is not JSON: {why}."""


class BadFilter(UsageError):
    """The filter does not parse at column {column}: {why}.
    Example: state:dead queue:email error~timeout."""


class BadName(UsageError):
    """{what} {name!r} cannot be used: {why}."""


class UnknownScheme(UsageError):
    """No broker speaks {scheme!r}. Known: {known}. Example: -b sqlite:///tmp/jobs.db."""


class AppNotImported(UsageError):
    """Cannot import {module!r}: {why}. Run the worker in the directory that holds it, or name it as package.module."""


class HookFailed(QtoolError):
    """{hook} failed, and no job runs before it has succeeded: {why}."""


class MetricsUnavailable(QtoolError):
    """Metrics cannot be served at {where}: {why}."""


class NoModules(UsageError):
    """Job {id} in the queue {queue!r} is a Python task, {task}, and this worker was started without -A: it has none.
    The job is back in its queue. Name the module with -A, or with -Q the queues that hold only commands."""


class BadConfig(UsageError):
    """{path} cannot be used: {why}."""


# --- jobs and tasks ----------------------------------------------------------------------------------


class UnknownJob(QtoolError):
    """No job {id!r} here. 'qtool jobs' lists them; 'qtool context' tells which broker this is."""

    exit_code = ExitCode.NOT_FOUND


class AmbiguousJob(UsageError):
    """{id!r} begins more than one id: give more of it."""


class UnknownWorker(QtoolError):
    """No worker {id!r} here. 'qtool workers' lists them; 'qtool context' tells which broker this is."""

    exit_code = ExitCode.NOT_FOUND


class AmbiguousWorker(UsageError):
    """{id!r} begins the ids of more than one worker: give more of it."""


class UnknownTask(QtoolError):
    """No task {task!r} is registered. Known: {known}."""

    exit_code = ExitCode.NOT_FOUND


class UnknownQueue(QtoolError):
    """No queue {queue!r} here. 'qtool queues' lists them."""

    exit_code = ExitCode.NOT_FOUND


class NotSerialisable(UsageError):
    """{what} cannot be written as JSON: {why}. Pass plain values (str, int, float, bool, None, list, dict)."""


class PayloadTooLarge(UsageError):
    """The payload is {size} bytes and the limit is {limit}. Pass a path to the data instead of the data."""


class Undecodable(QtoolError):
    """The job's {what} cannot be read: {why}."""


class ContentRefused(Undecodable):
    """The job's {what} is not read: {why}."""


class JobFailed(QtoolError):
    """Job {id} ended {state}: {error}"""


class WaitTimedOut(QtoolError):
    """Job {id} did not finish within {seconds:g} s (it is {state})."""

    exit_code = ExitCode.TIMED_OUT


class TimeStandsStill(WaitTimedOut):
    """Nothing is due now, and whoever waits for a job would wait for ever: in a test only the test moves the clock.
    Call advance(seconds), or drain() to go on until nothing is left."""


# --- brokers -----------------------------------------------------------------------------------------


class BrokerError(QtoolError):
    """The broker at {url} failed: {why}."""


class BrokerUnreachable(BrokerError):
    """The broker at {url} cannot be reached: {why}."""

    exit_code = ExitCode.UNREACHABLE


class BrokerBusy(BrokerError):
    """{url} stayed locked by another process for {seconds:g} s. Nothing was changed; try again."""


class BrokerDenied(BrokerError):
    """The broker at {url} does not let you in: {why}."""

    exit_code = ExitCode.REFUSED


class BrokerOutOfMemory(BrokerError):
    """The server at {url} has no memory left for more. Nothing was changed; free some, or raise its maxmemory."""


class BrokerReplaced(BrokerError):
    """The server at {url} has lost everything that stood in it: another one has taken its place, or it was emptied.
    The jobs that were there are gone from it; what comes from now on is served."""


class BrokerFull(BrokerError):
    """The disk that holds {url} is full. Nothing was changed; free some space and try again."""


class BrokerReadOnly(BrokerError):
    """{url} cannot be written: {why}. Give yourself write access, or name another broker with -b."""

    exit_code = ExitCode.REFUSED


class BrokerCorrupt(BrokerError):
    """{url} is damaged: {why}.
    Keep a copy, then try 'sqlite3 FILE .recover'; qtool will not write to it."""


class NotABroker(BrokerError):
    """{url} is not a qtool file: {why}. Name another file with -b."""


class NewerSchema(BrokerError):
    """{url} was written by a newer qtool (schema {found}, this one knows {known}). Upgrade qtool."""


class NetworkFileSystem(BrokerError):
    """{url} lies on a network file system ({kind}), where SQLite's locks do not hold.
    Use a local disk, or a network broker."""

    exit_code = ExitCode.REFUSED


class BrokerNotNamed(QtoolError):
    """No broker is named, and QTOOL_BROKER_REQUIRED keeps the default one from being used. pytest sets it, so that a
    test that forgets to isolate its jobs leaves yours alone: use the fixture qtool_jobs, or set QTOOL_BROKER."""

    exit_code = ExitCode.REFUSED


class Distrusted(QtoolError):
    """It is a command, and stays: {why}."""

    exit_code = ExitCode.REFUSED


class MoveSuperseded(BrokerError):
    """Another 'qtool move' between the same two stores, one of them {url}, began after this one and went on with what
    this one had begun. Nothing is lost: see what that one reports."""


class KeyNeeded(QtoolError):
    """Commands go to a network broker only signed, and there is no key for {url}.
    Set QTOOL_KEY, or 'key' of its context, to the same secret here and at its workers (qtool worker --allow-exec)."""

    exit_code = ExitCode.REFUSED


class ReadOnlyContext(QtoolError):
    """The context {context!r} is read-only: it may look, and not change anything."""

    exit_code = ExitCode.REFUSED


class Unsupported(QtoolError):
    """{url} cannot {what}."""

    exit_code = ExitCode.REFUSED
