"""A pool's process, its side of things: one run, and the link to the supervisor."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from qtool.engine import hooks, tasks
from qtool.engine.codec import decode_options
from qtool.engine.current import CurrentJob
from qtool.engine.job import NOTHING, UNSAID, Done, Fail, Failure, Lease, Outcome, Policy, Retry, Snooze, Told
from qtool.engine.policy import not_again
from qtool.engine.run import refusal_of, run
from qtool.engine.worker import wire
from qtool.engine.worker.capture import Piece, Recorder
from qtool.errors import AppNotImported, HookFailed, QtoolError, Undecodable, UnknownTask

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping
    from typing import NoReturn

    from qtool.engine.slate import FileSlate

REFUSES = 3
"""What a process exits with that cannot run jobs; the supervisor has been told why."""


class Run:
    """One job in this process."""

    __slots__ = (
        "job",
        "killed_at_once",
        "lease",
        "link",
        "place",
        "recorder",
        "serial",
        "started_at",
        "task",
        "timeout",
    )

    def __init__(self, link: Link, serial: int, lease: Lease, place: int) -> None:
        link.mark(place, lease.key, lease.token)
        self.link = link
        self.serial = serial
        self.lease = lease
        self.place = place
        """On the slate."""
        self.started_at = time.time()
        self.task: tasks.AnyTask | None = None
        self.timeout: float | None = None
        self.killed_at_once = False
        """Over its time limit it hears nothing, not even a last word: the supervisor kills its process."""
        self.recorder = Recorder(self.send_output)

    def prepare(self) -> Outcome | None:
        """Find the task and its limits; the outcome, if there is none to run."""
        lease = self.lease
        tags: Mapping[str, str] = NOTHING
        own = UNSAID
        try:
            self.task = task = tasks.find(lease.task)
            self.timeout, on_crash = task.policy.timeout, task.policy.on_crash
            if lease.options is not None:
                own, tags, _ = decode_options(lease.options)
                self.timeout = own.timeout if own.timeout is not None else self.timeout
                on_crash = own.on_crash or on_crash
        except (UnknownTask, AppNotImported, Undecodable) as error:
            return refusal_of(error)
        self.job = CurrentJob(
            lease.id, lease.task, lease.queue, lease.attempt, lease.failures, lease.crashes, tags, self.send_progress
        )
        if task._trace is not None:
            self.job._lease = lease
            grace = own.grace if own.timeout is not None else task.policy.grace
            self.killed_at_once = grace == 0
        if lease.crashes and (end := not_again(lease, on_crash)) is not None:
            return end
        if on_crash is not None or self.timeout is not None or self.link.announce:
            # Before any of its code runs: what it says of its death must be known when it dies.
            if on_crash == "dead":
                self.link.mark_fatal(self.place, lease.key, lease.token)
            # A coroutine is ended by its own loop; the supervisor steps in a little later.
            soft = self.timeout + 1.0 if self.timeout is not None and task.is_async else self.timeout
            self.link.send((wire.STARTED, self.serial, self.started_at, self.timeout, soft, _packed(task.policy)))
        return None

    def body(self) -> str:
        """The encoded arguments, fetched from the supervisor if they were too large for a message."""
        return self.lease.body or self.link.fetch(self.serial)

    def execute(self, body: str) -> Outcome:
        """Run the task, once it is prepared, in this thread."""
        assert self.task is not None
        if self.task._trace is not None:
            return self.task._trace(self.job, body)
        return run(self.task, self.job, body, self.timeout)

    def send_output(self, pieces: list[Piece]) -> None:
        self.link.send((wire.OUTPUT, self.serial, pieces, self.link.in_pipes()))

    def send_progress(self, fraction: float | None, text: str | None) -> None:
        self.link.send((wire.PROGRESS, self.serial, fraction, text))

    def end(self, outcome: Outcome, raw: bool = False) -> None:
        """Tell the supervisor; ``raw``: the process's own stdout or stderr holds output that it must read first."""
        self.recorder.flush()
        if type(outcome) is Done:
            # Of what is not to be kept not even that it was null.
            result = outcome.result if outcome.kept else False
            self.link.send((wire.DONE, self.serial, self.started_at, time.time(), result, raw))
            return
        policy = _packed(self.task.policy) if self.task is not None else None
        self.link.send((wire.ENDED, self.serial, self.started_at, time.time(), _outcome(outcome), raw, policy))


class Link:
    """The way to the supervisor."""

    def __init__(
        self, sock: socket.socket, control: socket.socket, slate: FileSlate | None = None, *, announce: bool
    ) -> None:
        self.sock = sock
        self.control = control
        self.in_pipes: Callable[[], list[int]] = list
        """How many bytes wait in the pipes of the process's own stdout and stderr; they were written first."""
        self.remarks: list[str] = []
        """What a person should know of the modules that were loaded."""
        self.announce = announce
        """Whether every start is reported, or only those whose task says how they are to be ended."""
        self.application: dict[str, Any] | None = None
        """The settings of the Celery application that it runs."""
        self.mark = slate.mark if slate is not None else _no_mark
        self.mark_fatal = slate.mark_fatal if slate is not None else _no_mark
        self.fetch: Callable[[int], str] = self._fetch
        """Gets a large job's arguments."""
        self.leave: Callable[[], NoReturn] = self._leave
        """The supervisor has hung up: end the process. Raises BlockingIOError where that takes the event loop."""
        self.run_coroutine: Callable[[Coroutine[Any, Any, Any]], object] | None = None
        """Runs what the hooks of the process await."""
        os.register_at_fork(after_in_child=self._forked)

    def begin(self) -> None:
        """Call the hooks for the process's start."""
        try:
            hooks.start(self.run_coroutine)
        except HookFailed as error:
            self.refuse(error)

    def hello(self) -> None:
        """Ask for jobs."""
        self.send((wire.HELLO, bool(hooks.stops), tasks.rates(), self.application, self.remarks))

    def refuse(self, error: QtoolError) -> NoReturn:
        """End the process, which cannot run jobs, and the worker with this error."""
        self.send((wire.REFUSED, type(error).__name__, {name: str(value) for name, value in error.data.items()}))
        os._exit(REFUSES)

    def _leave(self) -> NoReturn:
        try:
            hooks.stop(self.run_coroutine)
        finally:
            os._exit(0)

    def send(self, message: Any) -> None:
        """Send one message."""
        wire.send(self.sock, message)

    def _forked(self) -> None:
        """In a process that a task has forked: it may write for its job, but must not end it and take the next."""
        send = self.send

        def send_or_end(message: Any) -> None:
            if message[0] in (wire.DONE, wire.ENDED):
                os._exit(0)
            send(message)

        self.send = send_or_end  # type: ignore[method-assign]  # a check for each message is not worth that rare case

    def serialise(self) -> None:
        """From now on several threads send: the parts of an over-long message must stay together."""
        lock = threading.Lock()

        def send(message: Any) -> None:
            with lock:
                wire.send(self.sock, message)

        self.send = send  # type: ignore[method-assign]  # only where there are threads: one that is alone takes no lock

    def receive(self, flags: int = 0) -> tuple[int, Lease]:
        """The next job; ends the process when the supervisor is gone. Raises BlockingIOError if ``flags`` say so."""
        data = self.sock.recv(wire.BUFFER, flags)
        if not data:
            self.leave()
        serial, fields = wire.decode(data)
        return serial, Lease._make(fields)

    def _fetch(self, serial: int) -> str:
        self.send((wire.FETCH, serial))
        while True:
            data, content = wire.receive_with_file(self.control)
            if not data:
                os._exit(0)
            message = wire.decode(data)
            if message[0] == wire.BODY and message[1] == serial and content is not None:
                return content.decode()


def _no_mark(_slot: int, _key: int, _token: int) -> None:
    """Where the broker keeps no slate."""


def _packed(policy: Policy) -> tuple[Any, ...] | None:
    return None if policy is UNSAID else tuple(getattr(policy, name) for name in Policy.__slots__)


def _outcome(outcome: Outcome) -> tuple[Any, ...]:
    if isinstance(outcome, Fail):
        return ("fail", _failure(outcome.failure), outcome.reason, outcome.final)
    if isinstance(outcome, Retry):
        return ("retry", _failure(outcome.failure), outcome.in_, outcome.reason)
    if isinstance(outcome, Snooze):
        return ("snooze", outcome.in_)
    if isinstance(outcome, Told):
        failure = _failure(outcome.failure) if outcome.failure is not None else None
        return ("told", outcome.state, outcome.result, failure, outcome.reason, outcome.due_at)
    return ("cancel",)


def _failure(failure: Failure) -> tuple[str, str, str | None]:
    return (failure.type, failure.message, failure.traceback)
