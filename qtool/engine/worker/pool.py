"""The supervisor's side of the pool: its processes, what each was given, and what becomes of it."""

from __future__ import annotations

import socket
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine.job import Cancel, Fail, Failure, Lease, Outcome, Policy, Retry, Snooze
from qtool.engine.states import Reason
from qtool.engine.worker import wire
from qtool.engine.worker.process import Child, Starter
from qtool.engine.worker.runs import Floor, Run, Why
from qtool.errors import AppNotImported, QtoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.worker.options import WorkerOptions


class PoolBroken(QtoolError):
    """The worker's processes die before they can run anything ({why}). Look at what its modules do when imported."""


MAX_FALSE_STARTS = 3

STALE = 0.05
"""Seconds after which a job claimed ahead and not started goes elsewhere."""


class Pool:
    """Child processes and the jobs in them."""

    def __init__(self, options: WorkerOptions, floor: Floor, starter: Starter) -> None:
        self._options = options
        self._floor = floor
        self._starter = starter
        self._serial = 0
        self._started = False
        self.children: list[Child] = []
        self.runs: dict[int, Run] = {}
        """Those that need attention, by serial number."""
        self.backlog: deque[Lease] = deque()
        """Claimed and given to nobody yet."""
        self.false_starts = 0
        self.stopping = False

    # --- size ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes; the jobs wait for them."""
        if not self._started:
            self._started = True
            one = self._options.pool == "process"
            for slot in range(self._options.slots if one else 1):
                self._start_child(slot, 1 if one else self._options.slots)

    def _start_child(self, slot: int, slots: int) -> None:
        child = self._starter.start(slot, slots)
        self.children.append(child)
        floor = self._floor
        floor.watch(child.sock.fileno(), partial(self._receive, child))
        floor.watch(child.exit_fd, partial(self._died, child))
        for stream, fd in child.pipes.items():
            floor.watch(fd, partial(self._read_pipe, child, stream))

    @property
    def serves(self) -> bool:
        """Whether jobs can be given to it: not while all of its processes are still starting."""
        return not self._started or any(child.ready for child in self.children)

    @property
    def held(self) -> int:
        """Jobs in the processes, started or not."""
        return sum([len(child.jobs) for child in self.children])

    @property
    def active(self) -> int:
        """Slots that have something to do."""
        return sum([min(len(child.jobs), child.slots) for child in self.children])

    def leases(self) -> list[Lease]:
        """Every job this pool answers for."""
        return [lease for child in self.children for lease in child.jobs.values()] + list(self.backlog)

    # --- out -----------------------------------------------------------------------------------------

    def dispatch(self, ahead: int, free: int) -> None:
        """Hand out the backlog evenly: at most ``ahead`` jobs in front of a slot, to at most ``free`` idle slots."""
        backlog = self.backlog
        if not self._started:
            self.start()
        ready = [child for child in self.children if child.ready]
        if not ready:
            return
        ready.sort(key=Child.load)
        total = sum([len(child.jobs) for child in ready]) + len(backlog)
        slots = sum([child.slots for child in ready])
        share = -(-total // slots)
        for child in ready:
            if not backlog:
                break
            most = min(share, 1 + ahead) * child.slots
            room = most - len(child.jobs)
            idle = child.slots - len(child.jobs)
            if idle > 0:
                if child.slots == 1 and free <= 0:
                    continue
                room = min(room, room - idle + free) if child.slots > 1 else room
                free -= min(idle, max(room, 0))
            if room > 0:
                self._send(child, min(room, len(backlog)))

    def _send(self, child: Child, count: int) -> None:
        backlog, jobs, encode, send = self.backlog, child.jobs, wire.encode, child.sock.send
        if not jobs:
            child.moved_at = self._starter.clock.monotonic()
        for _ in range(count):
            lease = backlog[0]
            self._serial = serial = self._serial + 1
            carried = lease if len(lease.body) <= wire.INLINE else lease._replace(body="")
            try:
                send(encode((serial, carried)))
            except BlockingIOError:
                # Its buffer is full: it has enough to do.
                return
            except OSError:
                # It has just died; that is noticed in a moment.
                child.ready = False
                return
            backlog.popleft()
            jobs[serial] = lease

    def rebalance(self, now: float) -> bool:
        """Take unstarted jobs back from busy processes; whether some are late and no idle one is here for them."""
        idle = [child for child in self.children if child.ready and not child.jobs]
        stuck = False
        for child in self.children:
            if len(child.jobs) <= child.slots:
                continue
            late = now - child.moved_at > STALE
            if idle or late:
                taken = self._take_back(child)
                self.backlog.extend(taken)
                stuck |= late and bool(taken)
        return stuck and not idle

    def _take_back(self, child: Child) -> list[Lease]:
        """What the process has not read yet."""
        taken: list[Lease] = []
        # Before its first job what lies there are its settings.
        while child.jobs:
            try:
                data = child.far.recv(wire.BUFFER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            if not data:
                return taken
            serial = wire.decode(data)[0]
            taken.append(child.jobs.pop(serial))
            self.runs.pop(serial, None)
        return taken

    def recall(self) -> list[Lease]:
        """Everything that has not started, of all processes and of the backlog."""
        taken = list(self.backlog)
        self.backlog.clear()
        for child in self.children:
            taken += self._take_back(child)
        return taken

    # --- in ------------------------------------------------------------------------------------------

    def _receive(self, child: Child) -> None:
        """Read all messages of a process that are there."""
        jobs, runs = child.jobs, self.runs
        done = self._floor.outbox.done
        count, seconds = 0, 0.0
        for message in self._messages(child):
            if message[0] != wire.DONE:
                self._other(child, message)
                continue
            _, serial, started, ended, result, raw = message
            count += 1
            seconds += ended - started
            if raw:
                self._read_leftovers(child, serial)
            lease = jobs.pop(serial)
            if not runs or (run := runs.pop(serial, None)) is None:
                done(lease, started, ended, result)
                continue
            run.over = True
            if run.why is not Why.LOST:
                done(lease, started, ended, result, run.output.take())
        if count:
            child.moved_at = self._starter.clock.monotonic()
            self._floor.learn(count, seconds)

    def _messages(self, child: Child) -> Iterator[list[Any]]:
        """All that are there."""
        receive, decode, parts = child.sock.recv, wire.decode, wire.PARTS
        while True:
            try:
                data = receive(wire.BUFFER)
            except OSError:
                # None is there, or the process has just died.
                return
            if not data:
                return
            if data[0] not in parts:
                yield decode(data)
            elif (whole := child.parts.add(data)) is not None:
                yield decode(whole)

    def _other(self, child: Child, message: list[Any]) -> None:
        kind = message[0]
        if kind == wire.ENDED:
            self._ended(child, *message[1:])
        elif kind == wire.HELLO:
            if len(message) > 1:
                raise AppNotImported(module=message[1], why=message[2])
            child.ready = True
            self.false_starts = 0
        elif kind == wire.STARTED:
            self._on_start(child, *message[1:])
        elif kind == wire.OUTPUT:
            self._output(child, *message[1:])
        elif kind == wire.PROGRESS:
            run = self._run(child, message[1])
            run.progress = message[2] if message[2] is not None else run.progress
            run.message = message[3] if message[3] is not None else run.message
            self._floor.news(run)
        elif kind == wire.FETCH:
            wire.send_file(child.control, (wire.BODY, message[1]), child.jobs[message[1]].body.encode())

    def _run(self, child: Child, serial: int) -> Run:
        run = self.runs.get(serial)
        if run is None:
            run = self.runs[serial] = Run(child.jobs[serial])
        return run

    def _output(self, child: Child, serial: int, pieces: list[tuple[str, int, bytes]], in_pipes: list[int]) -> None:
        run = self._run(child, serial)
        for stream, size in zip(child.pipes, in_pipes, strict=False):
            # Written before what the process says now, by C code or a subprocess.
            if size and (data := child.read_pipe(stream, size)):
                run.output.add(stream, data)
        for stream, skipped, data in pieces:
            run.output.add(stream, data, skipped)
        self._floor.news(run)

    def _on_start(
        self, child: Child, serial: int, at: float, limit: float | None, soft: float | None, policy: list[Any] | None
    ) -> None:
        run = self._run(child, serial)
        run.started_at, run.limit = at, limit
        run.policy = _policy(policy)
        self._floor.outbox.started(run.lease, at)
        if soft is not None:
            due = self._starter.clock.monotonic() + soft
            self._floor.timers.at(due, partial(self.stop, serial, Why.TIMEOUT))

    def _ended(
        self,
        child: Child,
        serial: int,
        started: float,
        ended: float,
        said: list[Any],
        raw: bool,
        policy: list[Any] | None,
    ) -> None:
        if raw:
            self._read_leftovers(child, serial)
        lease, run = child.jobs.pop(serial), self.runs.pop(serial, None)
        child.moved_at = self._starter.clock.monotonic()
        self._floor.learn(1, ended - started)
        outcome = _outcome(said)
        if run is None:
            self._floor.outbox.end(lease, outcome, _policy(policy), started)
            return
        run.over = True
        if run.why is not Why.LOST:
            if run.why is Why.SHUTDOWN and isinstance(outcome, Cancel):
                outcome = Snooze()
            self._floor.outbox.end(lease, outcome, _policy(policy), started, run.output.take())

    # --- the processes' own stdout and stderr --------------------------------------------------------

    def _read_pipe(self, child: Child, stream: str) -> None:
        """Live output of C code and subprocesses.

        Exactly one job can have written what is in the pipe: a process whose pipe is not empty waits at the end of a
        job until it has been read. So once all its messages are read, the oldest job left is the writer; and only one
        read may follow, because a second could already meet the next job's output.
        """
        self._receive(child)
        data = child.read_pipe(stream)
        if data and child.jobs:
            run = self._run(child, next(iter(child.jobs)))
            run.output.add(stream, data)
            self._floor.news(run)
        elif data:
            self._floor.say(f"outside any job: {data.decode(errors='replace').rstrip()}")
        elif data is not None:
            self._floor.unwatch(child.pipes.pop(stream))

    def _read_leftovers(self, child: Child, serial: int) -> None:
        """The job has ended, and its process waits until its pipes are empty."""
        self._drain_pipes(child, serial)
        child.control.send(wire.encode((wire.CARRY_ON, serial)))

    def _drain_pipes(self, child: Child, serial: int) -> None:
        for stream in child.pipes:
            # No more than a pipe holds: what a background process goes on to write is not waited for.
            for _ in range(2):
                if not (data := child.read_pipe(stream)):
                    break
                self._run(child, serial).output.add(stream, data)

    # --- stopping ------------------------------------------------------------------------------------

    def stop(self, serial: int, why: Why) -> None:
        """Ask a run to stop, and kill it after the grace period where that is possible."""
        child = next((each for each in self.children if serial in each.jobs), None)
        if child is None:
            return
        run = self._run(child, serial)
        if run.why is not None:
            return
        run.why = why
        child.interrupt(serial, wire.TIMEOUT if why is Why.TIMEOUT else wire.CANCEL, run.limit)
        when = self._starter.clock.monotonic() + self._floor.grace
        self._floor.timers.at(when, partial(self._stop_hard, child, serial))

    def _stop_hard(self, child: Child, serial: int) -> None:
        if serial not in child.jobs:
            return
        if child.slots == 1 and self._options.pool == "process":
            child.kill()
            return
        run = self.runs[serial]
        what = "is over its time limit" if run.why is Why.TIMEOUT else "was asked to stop"
        self._floor.say(
            f"job {run.lease.id} ({run.lease.task}) {what} and cannot be stopped in this pool; it keeps its slot until"
            " it ends by itself. Use --pool process for tasks that may have to be killed."
        )

    def stop_all(self, why: Why) -> None:
        """Ask every run to stop."""
        for child in self.children:
            for serial in list(child.jobs):
                self.stop(serial, why)

    def stop_job(self, ids: frozenset[str], why: Why) -> None:
        """Ask the runs of these jobs to stop."""
        for child in self.children:
            for serial, lease in list(child.jobs.items()):
                if lease.id in ids:
                    self.stop(serial, why)

    def kill_all(self, why: Why) -> None:
        """End every process at once; ``why`` decides what becomes of the jobs."""
        for child in self.children:
            for serial in child.jobs:
                run = self._run(child, serial)
                run.why = why if run.why is not Why.LOST else run.why
            if child.jobs:
                child.kill()

    # --- death ---------------------------------------------------------------------------------------

    def _died(self, child: Child) -> None:
        """The process is gone: the job it was running is to blame, what it had not read is not."""
        self._receive(child)
        if not child.jobs or self._options.pool != "process":
            child.discard_pipes()
        else:
            self._drain_pipes(child, next(iter(child.jobs)))
        self.backlog.extend(self._take_back(child))
        floor = self._floor
        floor.unwatch(child.sock.fileno())
        floor.unwatch(child.exit_fd)
        for fd in child.pipes.values():
            floor.unwatch(fd)
        self._starter.forget(child)
        failure = child.reap()
        self.children.remove(child)
        for serial, lease in child.jobs.items():
            run = self.runs.pop(serial, None)
            self._bury(lease, run, failure)
        if self.stopping:
            return
        if not child.ready:
            self.false_starts += 1
            if self.false_starts >= MAX_FALSE_STARTS:
                raise PoolBroken(why=failure.message)
        self._start_child(child.slot, child.slots)

    def _bury(self, lease: Lease, run: Run | None, failure: Failure) -> None:
        if run is None:
            self._floor.outbox.end(lease, Fail(failure, crashed=True))
            return
        run.over = True
        if run.why is Why.LOST:
            return
        if run.why is Why.SHUTDOWN:
            self._floor.killed()
        outcome = run.killed(grace=self._floor.grace) or Fail(failure, crashed=True)
        self._floor.outbox.end(lease, outcome, run.policy, run.started_at, run.output.take())

    def close(self) -> None:
        """End the processes; nothing runs in them any more."""
        self.stopping = True
        for child in self.children:
            child.sock.close()
            child.far.close()
            child.control.close()
        for child in self.children:
            child.kill()
            child.reap()
        self.children.clear()


def _policy(packed: list[Any] | None) -> Policy:
    if packed is None:
        return Policy()
    retries, backoff, cap, timeout = packed
    return Policy(retries=retries, backoff=backoff, backoff_cap=cap, timeout=timeout)


def _outcome(said: list[Any]) -> Outcome:
    kind = said[0]
    if kind == "fail":
        return Fail(_failure(said[1]), Reason(said[2]), final=said[3])
    if kind == "retry":
        return Retry(_failure(said[1]), said[2])
    if kind == "snooze":
        return Snooze(said[1])
    return Cancel()


def _failure(packed: list[Any]) -> Failure:
    return Failure(type=packed[0], message=packed[1], traceback=packed[2])
