"""What the pool's processes say and write."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from qtool import errors
from qtool.engine.job import UNSAID, Cancel, Fail, Failure, Outcome, Policy, Retry, Snooze, Told
from qtool.engine.states import Reason, State
from qtool.engine.worker import wire
from qtool.engine.worker.process import Stage
from qtool.engine.worker.runs import GIVEN_BACK, Runs, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.worker.catalogue import Rates
    from qtool.engine.worker.floor import Floor
    from qtool.engine.worker.process import Child
    from qtool.engine.worker.stops import Stops


class House(Protocol):
    """Who answers for the processes."""

    on_sources: Callable[[list[str]], object]
    """Is told of the directories that a process has code from."""

    def greeted(self, child: Child) -> None:
        """It is ready."""
        ...

    def refused(self, child: Child, error: errors.QtoolError) -> None:
        """It cannot run jobs, and ends."""
        ...

    def emptied(self, child: Child) -> None:
        """One that is to end has run its last job."""
        ...

    def weigh(self, child: Child) -> None:
        """It has ended some jobs."""
        ...


class Inbox:
    """Reads the processes' messages and pipes, and makes outcomes, output and progress of them."""

    def __init__(self, floor: Floor, runs: Runs, stops: Stops, house: House, *, weigh: bool) -> None:
        """``weigh``: somebody wants to know how large the processes are."""
        self._floor = floor
        self._remarks: set[str] = set()
        self._runs = runs
        self._stops = stops
        self._house = house
        self._weigh = weigh

    def receive(self, child: Child) -> None:
        """Read all messages of a process that are there; one that says what makes no sense is killed."""
        if child.garbled:
            return
        try:
            self._receive(child)
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError) as error:
            # What qtool itself sends is sound: a task has written to descriptors that are not its own.
            child.garbled = True
            self._floor.say(f"process {child.process.pid} of the pool said what makes no sense ({error}); it is killed")
            child.kill()

    def _receive(self, child: Child) -> None:
        jobs, runs = child.jobs, self._runs
        done = self._floor.outbox.done
        count, seconds, moved = 0, 0.0, child.moved_at
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
            if run.why is Why.LOST:
                self._floor.outbox.late += 1
                continue
            done(lease, started, ended, result, run.output.take())
        if count:
            child.moved_at = self._floor.clock.monotonic()
            self._floor.learn(count, seconds)
        if child.stage is Stage.LEAVING and not jobs:
            self._house.emptied(child)
        elif self._weigh and child.moved_at != moved:
            self._house.weigh(child)

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
            self._on_end(child, *message[1:])
        elif kind == wire.HELLO:
            self._on_hello(child, *message[1:])
        elif kind == wire.REFUSED:
            self._house.refused(child, getattr(errors, message[1])(**message[2]))
        elif kind == wire.SOURCES:
            self._house.on_sources(message[1])
        elif kind == wire.STARTED:
            self._on_start(child, *message[1:])
        elif kind == wire.OUTPUT:
            self._on_output(child, *message[1:])
        elif kind == wire.PROGRESS:
            run = self._runs.of(child, message[1])
            run.progress = message[2] if message[2] is not None else run.progress
            run.message = message[3] if message[3] is not None else run.message
            self._floor.news.add(run)
        elif kind == wire.FETCH:
            wire.send_file(child.control, (wire.BODY, message[1]), child.jobs[message[1]].body.encode())

    def _on_hello(
        self, child: Child, parting: bool, rates: Rates, application: dict[str, Any] | None, remarks: list[str]
    ) -> None:
        child.parting = parting
        self._floor.catalogue.learn(rates, application)
        for remark in remarks:
            # Every process of the pool has the same to say.
            if remark not in self._remarks:
                self._remarks.add(remark)
                self._floor.say(remark)
        self._house.greeted(child)

    def _on_start(
        self, child: Child, serial: int, at: float, limit: float | None, soft: float | None, policy: list[Any] | None
    ) -> None:
        run = self._runs.of(child, serial)
        run.started_at, run.limit = at, limit
        run.policy = _policy(policy)
        self._floor.outbox.started(run.lease, at)
        if soft is not None:
            self._floor.reactor.after(soft, partial(self._stops.run, serial, Why.TIMEOUT))

    def _on_output(self, child: Child, serial: int, pieces: list[tuple[str, int, bytes]], in_pipes: list[int]) -> None:
        run = self._runs.of(child, serial)
        for stream, size in zip(child.pipes, in_pipes, strict=False):
            # Written before what the process says now, by C code or a subprocess.
            if size and (data := child.read_pipe(stream, size)):
                run.output.add(stream, data)
        for stream, skipped, data in pieces:
            run.output.add(stream, data, skipped)
        self._floor.news.add(run)

    def _on_end(
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
        lease, run = child.jobs.pop(serial), self._runs.pop(serial, None)
        child.moved_at = self._floor.clock.monotonic()
        self._floor.learn(1, ended - started)
        outcome = _outcome(said)
        if run is None:
            self._floor.outbox.end(lease, outcome, _policy(policy), started)
            return
        run.over = True
        if run.why is Why.LOST:
            self._floor.outbox.late += 1
            return
        if run.why in GIVEN_BACK and isinstance(outcome, Cancel):
            outcome = Snooze()
        fate = run.fate(outcome)
        self._floor.outbox.end(lease, outcome, _policy(policy), started, run.output.take(), fate)

    # --- the processes' own stdout and stderr --------------------------------------------------------

    def read_pipe(self, child: Child, stream: str) -> None:
        """Live output of C code and subprocesses.

        Exactly one job can have written what is in the pipe: a process whose pipe is not empty waits at the end of a
        job until it has been read. So once all its messages are read, the oldest job left is the writer; and only one
        read may follow, because a second could already meet the next job's output.
        """
        self.receive(child)
        data = child.read_pipe(stream)
        if data and child.jobs:
            run = self._runs.of(child, next(iter(child.jobs)))
            run.output.add(stream, data)
            self._floor.news.add(run)
        elif data:
            self._floor.say(f"outside any job: {data.decode(errors='replace').rstrip()}")
        elif data is not None:
            fd = child.pipes.pop(stream)
            self._floor.reactor.unwatch(fd)
            os.close(fd)

    def _read_leftovers(self, child: Child, serial: int) -> None:
        """The job has ended, and its process waits until its pipes are empty."""
        self.drain_pipes(child, serial)
        child.control.send(wire.encode((wire.CARRY_ON, serial)))

    def drain_pipes(self, child: Child, serial: int) -> None:
        """Give the run what is left in the pipes."""
        for stream in child.pipes:
            # No more than a pipe holds: what a background process goes on to write is not waited for.
            for _ in range(2):
                if not (data := child.read_pipe(stream)):
                    break
                self._runs.of(child, serial).output.add(stream, data)


def _policy(packed: list[Any] | None) -> Policy:
    return UNSAID if packed is None else Policy(**dict(zip(Policy.__slots__, packed, strict=True)))


def _outcome(said: list[Any]) -> Outcome:
    kind = said[0]
    if kind == "fail":
        return Fail(_failure(said[1]), Reason(said[2]), final=said[3])
    if kind == "retry":
        return Retry(_failure(said[1]), said[2], Reason(said[3]))
    if kind == "snooze":
        return Snooze(said[1])
    if kind == "told":
        _, state, result, failure, reason, due = said
        return Told(
            state=State(state),
            result=result,
            failure=_failure(failure) if failure is not None else None,
            reason=Reason(reason) if reason is not None else None,
            due_at=due,
        )
    return Cancel()


def _failure(packed: list[Any]) -> Failure:
    return Failure(type=packed[0], message=packed[1], traceback=packed[2])
