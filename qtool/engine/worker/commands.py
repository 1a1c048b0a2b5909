"""Command jobs: started by the launcher, read and judged by the supervisor."""

from __future__ import annotations

import errno
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine.codec import decode_body, decode_options
from qtool.engine.job import Cancel, Fail, Failure, Lease, Outcome, Snooze
from qtool.engine.sizes import MOST_SLOTS
from qtool.engine.states import Reason
from qtool.engine.worker import launcher
from qtool.engine.worker.keeper import Keeper
from qtool.engine.worker.process import PIPE, signal_name
from qtool.engine.worker.runs import GIVEN_BACK, Run, Why
from qtool.errors import Undecodable

if TYPE_CHECKING:
    from qtool.engine.broker import Slate
    from qtool.engine.signing import Guard
    from qtool.engine.worker.floor import Floor

SETTLE_IN = 0.02
"""Seconds after which a command that still runs has its output read as it comes; most have ended by then."""

LINGER = 1.0
"""Seconds that output is waited for after the command ended while something it left behind holds the pipes open."""

_EXITED = '{"exit_code":0}'


class Command(Run):
    """One running command."""

    __slots__ = ("began", "pipes", "serial", "slot", "status", "stopped", "watched")

    def __init__(self, lease: Lease, serial: int, slot: int, pipes: dict[str, int], started_at: float) -> None:
        super().__init__(lease)
        self.serial = serial
        self.slot = slot
        self.pipes = pipes
        self.started_at = started_at
        self.began = 0.0
        """When it was started, monotonic."""
        self.status: int | None = None
        self.stopped = False
        """A signal of ours reached it before it had ended: it has not ended by itself, whatever its exit code."""
        self.watched = False


class Commands:
    """All command jobs of a worker."""

    def __init__(self, floor: Floor, slate: Slate | None, first_slot: int, guard: Guard | None) -> None:
        """``first_slot``: of as many places on the slate as a worker may have slots. ``guard``: of a network broker."""
        self._guard = guard
        self._floor = floor
        self._clock = floor.clock
        self._slate = slate
        self._free = list(range(first_slot + MOST_SLOTS - 1, first_slot - 1, -1))
        self._serial = 0
        self.keeper = Keeper(floor.reactor, slate, self._replied, self._orphaned)
        self.running: dict[int, Command] = {}

    def _replied(self, kind: int, serial: int, value: int) -> None:
        command = self.running.get(serial)
        if command is None:
            return
        if kind == launcher.REFUSED:
            self._refused(command, value)
            return
        command.stopped = kind != launcher.EXITED
        if kind == launcher.CUT and command.why is None:
            command.why = Why.UNRENEWED
        self._exited(command, value)

    def _orphaned(self) -> None:
        """The launcher died, and its commands with it."""
        for command in list(self.running.values()):
            failure = Failure(type="LauncherDied", message="the process that had started the command was killed")
            command.stopped = command.why is not None
            self._finish(command, _outcome(command, failure) if command.stopped else Fail(failure, crashed=True))

    # --- start ---------------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """How many run."""
        return len(self.running)

    def oldest(self) -> float | None:
        """Since when the longest-running one runs, monotonic."""
        return next((command.began for command in self.running.values()), None)

    def start(self, lease: Lease) -> None:
        """Start the job's command; at most as many as there are slots may run."""
        now = self._clock.now()
        if self._guard is not None and (why := self._guard.refusal(lease)) is not None:
            self._floor.outbox.end(lease, Fail(Failure(type="CommandRefused", message=why), final=True), started=now)
            return
        try:
            argv, cwd, extra = _parse(lease)
            policy = decode_options(lease.options)[0]
        except Undecodable as error:
            failure = Failure(type="Undecodable", message=str(error))
            self._floor.outbox.end(lease, Fail(failure, Reason.UNDECODABLE, final=True), started=now)
            return
        self._serial = serial = self._serial + 1
        out, out_end = os.pipe2(os.O_CLOEXEC)
        err, err_end = os.pipe2(os.O_CLOEXEC)
        command = Command(lease, serial, self._free.pop(), {"stdout": out, "stderr": err}, now)
        self.running[serial] = command
        if self._slate is not None:
            self._slate.mark(command.slot, lease.key, lease.token)
        self.keeper.start(serial, (cwd, argv, extra), [out_end, err_end])
        command.limit = policy.timeout
        self._set_timers(command)
        self._floor.outbox.started(lease, now)

    def _set_timers(self, command: Command) -> None:
        command.began = now = self._clock.monotonic()
        self._floor.reactor.at(now + SETTLE_IN, partial(self._watch, command))
        if command.limit is not None:
            self._floor.reactor.at(now + command.limit, partial(self._stop, command, Why.TIMEOUT))

    # --- output --------------------------------------------------------------------------------------

    def _watch(self, command: Command) -> None:
        """It has not ended at once: read what it writes as it comes."""
        if command.serial in self.running and not command.watched:
            command.watched = True
            for stream, fd in command.pipes.items():
                self._floor.reactor.watch(fd, partial(self._read, command, stream))

    def _read(self, command: Command, stream: str) -> None:
        data = os.read(command.pipes[stream], PIPE)
        if data:
            command.output.add(stream, data)
            self._floor.news.add(command)
            return
        self._close_pipe(command, stream)
        if command.status is not None and not command.pipes:
            self._judge(command)

    def _close_pipe(self, command: Command, stream: str) -> None:
        fd = command.pipes.pop(stream)
        if command.watched:
            self._floor.reactor.unwatch(fd)
        os.close(fd)

    def _exited(self, command: Command, status: int) -> None:
        command.status = status
        for stream, fd in list(command.pipes.items()):
            os.set_blocking(fd, False)
            # Twice what a pipe holds: what a process it left behind goes on writing is not waited for here.
            for _ in range(3):
                try:
                    data = os.read(fd, PIPE)
                except BlockingIOError:
                    break
                if not data:
                    self._close_pipe(command, stream)
                    break
                command.output.add(stream, data)
        if not command.pipes:
            self._judge(command)
            return
        self._watch(command)
        self._floor.reactor.at(self._clock.monotonic() + LINGER, partial(self._give_up, command))

    def _give_up(self, command: Command) -> None:
        """Something that the command left behind still holds its pipes: the job has ended all the same."""
        if command.serial in self.running:
            self._judge(command)

    # --- end -----------------------------------------------------------------------------------------

    def _refused(self, command: Command, number: int) -> None:
        if command.why in GIVEN_BACK:
            self._finish(command, Snooze())
            return
        name = decode_body(command.lease.body)[0][0] if number != launcher.BAD_DIRECTORY else ""
        if number == launcher.BAD_DIRECTORY:
            failure = Failure(type="NoDirectory", message="its working directory cannot be entered", exit_code=126)
        elif number == errno.ENOENT:
            failure = Failure(type="CommandNotFound", message=f"{name}: command not found", exit_code=127)
        else:
            failure = Failure(type="CannotExecute", message=f"{name}: {os.strerror(number)}", exit_code=126)
        self._finish(command, Fail(failure, final=number != errno.EAGAIN))

    def _judge(self, command: Command) -> None:
        """The command is over and its output read."""
        assert command.status is not None
        code = os.waitstatus_to_exitcode(command.status)
        if code == 0 and not command.stopped and command.why is not Why.LOST:
            started = command.started_at or 0.0
            self._floor.outbox.done(command.lease, started, self._clock.now(), _EXITED, command.output.take())
            self._forget(command)
            return
        self._finish(command, _outcome(command, _failure(code)))

    def _finish(self, command: Command, outcome: Outcome) -> None:
        outbox = self._floor.outbox
        if command.why is Why.LOST:
            outbox.late += 1
        else:
            fate = command.fate(outcome)
            outbox.end(command.lease, outcome, started=command.started_at, output=command.output.take(), fate=fate)
        self._forget(command)

    def _forget(self, command: Command) -> None:
        command.over = True
        for stream in list(command.pipes):
            self._close_pipe(command, stream)
        self._free.append(command.slot)
        del self.running[command.serial]
        self._floor.learn(1, self._clock.monotonic() - command.began)

    # --- stopping ------------------------------------------------------------------------------------

    def _stop(self, command: Command, why: Why) -> None:
        """TERM to the whole group, and KILL after the grace period."""
        if command.serial not in self.running or command.why is not None:
            return
        command.why = why
        self.keeper.signal(command.serial, signal.SIGTERM)
        self._floor.reactor.after(command.grace(self._floor.grace), partial(self._kill, command))

    def _kill(self, command: Command) -> None:
        if command.serial in self.running and command.status is None:
            command.forced = True
            self.keeper.signal(command.serial, signal.SIGKILL)

    def kill_jobs(self, ids: frozenset[str]) -> None:
        """End the commands of these jobs at once: an operator wants it so."""
        for command in list(self.running.values()):
            if command.lease.id in ids and not command.forced:
                command.why = command.why or Why.CANCEL
                self._kill(command)

    def stop_jobs(self, ids: frozenset[str], why: Why) -> None:
        """Ask the commands of these jobs to stop."""
        for command in list(self.running.values()):
            if command.lease.id in ids:
                self._stop(command, why)

    def stop_all(self, why: Why) -> None:
        """Ask all to stop."""
        for command in list(self.running.values()):
            self._stop(command, why)

    def kill_all(self, why: Why) -> None:
        """End all at once."""
        for command in list(self.running.values()):
            # What it is being stopped for already stands.
            command.why = command.why or why
            self._kill(command)

    def leases(self) -> list[Lease]:
        """Every job these commands are for."""
        return [command.lease for command in self.running.values()]


def _outcome(command: Command, failure: Failure) -> Outcome:
    """What a command ended as that did not succeed by itself; ``failure`` is what it ended with."""
    if not command.stopped:
        return Fail(failure)
    if command.why in GIVEN_BACK:
        return Snooze()
    if command.why is Why.CANCEL:
        return Cancel()
    said = f"the command ran longer than {command.limit or 0:g} s and was stopped"
    return Fail(Failure(type="JobTimeout", message=said), Reason.TIMEOUT)


def _failure(code: int) -> Failure:
    if code < 0:
        return Failure(type="Signal", message=f"killed by {signal_name(-code)}", signal=-code)
    return Failure(type="ExitCode", message=f"exited with {code}", exit_code=code)


def _parse(lease: Lease) -> tuple[list[bytes], bytes, list[bytes]]:
    """What to execute, where, and the additions to the environment. Raises Undecodable."""
    args, kwargs = decode_body(lease.body)
    env: dict[str, Any] = kwargs.get("env") or {}
    words = ["/bin/sh", "-c", *args] if kwargs.get("shell") else list(args)
    pairs = [*env.items(), ("QTOOL_JOB_ID", lease.id), ("QTOOL_ATTEMPT", str(lease.attempt))]
    pairs.append(("QTOOL_QUEUE", lease.queue))
    strings = [*words, *(part for pair in pairs for part in pair), kwargs.get("cwd") or ""]
    if not args or not all(isinstance(each, str) and "\0" not in each for each in strings):
        raise Undecodable(what="command", why="it is not a list of words without NUL")
    if any("=" in name or not name for name, _ in pairs):
        raise Undecodable(what="command", why="a variable of its environment has no name, or one with '=' in it")
    extra = [os.fsencode(f"{name}={value}") for name, value in pairs]
    return [os.fsencode(word) for word in words], os.fsencode(strings[-1]), extra
