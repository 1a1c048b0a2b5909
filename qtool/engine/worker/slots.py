"""Two ways to run jobs in a pool's process: one by one in its main thread, and in threads.

In each, a slot takes its next job from the socket only when it is free, so that what is unread has not started.
"""

from __future__ import annotations

import fcntl
import os
import queue
import select
import signal
import socket
import sys
import termios
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from qtool.engine import hooks
from qtool.engine.current import JobCancelled, running
from qtool.engine.job import Cancel, Fail, Failure, Outcome
from qtool.engine.run import outcome_of, run_coroutine, thread_loop
from qtool.engine.states import Reason
from qtool.engine.worker import capture, wire
from qtool.engine.worker.interruption import interruption, kinds
from qtool.engine.worker.link import Link, Run

if TYPE_CHECKING:
    from collections.abc import Callable


def _interrupted(current: Run, error: BaseException) -> Outcome:
    """An interruption that came just before or after the task's own code."""
    running.set(None)
    if isinstance(error, JobCancelled):
        return Cancel()
    assert current.task is not None
    return outcome_of(current.task, error, current.job)


# --- one by one --------------------------------------------------------------------------------------


class _Main:
    """The main thread's run, and how a signal breaks into it."""

    def __init__(self, control: Any) -> None:
        self._control = control
        self.serial = 0
        """Of the run that may be interrupted; 0 when none may."""
        self.killed_at_once = False
        """That run hears nothing of the end of its time."""

    def on_signal(self, _signum: int, _frame: Any) -> None:
        """Read why, and raise it inside the run it is meant for."""
        if not self.serial:
            return
        with suppress(BlockingIOError):
            while True:
                data, _ = wire.receive_with_file(self._control, socket.MSG_DONTWAIT)
                if not data:
                    os._exit(0)
                kind, serial, *rest = wire.decode(data)
                if kind == wire.INTERRUPT and serial == self.serial:
                    why, limit = rest
                    if why == wire.TIMEOUT and self.killed_at_once:
                        continue
                    raise interruption(why, limit)

    def carry_on(self) -> None:
        """Wait until the supervisor has read what the run left in the pipes."""
        while True:
            data = self._control.recv(wire.BUFFER)
            if not data:
                os._exit(0)
            if wire.decode(data)[0] == wire.CARRY_ON:
                return


def one_by_one(link: Link, first: int, _count: int, _room: int) -> NoReturn:
    """A process pool's slot. The process's own stdout and stderr are pipes: C code and subprocesses write there."""
    here = _Main(link.control)
    pipes = select.poll()
    fds = [int(word) for word in sys.argv[4:6]]
    for fd in fds:
        os.set_inheritable(fd, False)
        pipes.register(fd, select.POLLIN)
    written = pipes.poll
    link.in_pipes = lambda: [_waiting_in(fd) for fd in fds]
    link.run_coroutine = run_coroutine
    link.begin()
    link.hello()
    signal.signal(signal.SIGUSR1, here.on_signal)
    while True:
        serial, lease = link.receive()
        current = Run(link, serial, lease, first)
        capture.set_only(current.recorder)
        try:
            outcome = current.prepare()
            if outcome is None:
                body = current.body()
                here.killed_at_once = current.killed_at_once
                here.serial = serial
                outcome = current.execute(body)
                here.serial = 0
        except kinds() as error:
            here.serial = 0
            outcome = _interrupted(current, error)
        capture.set_only(None)
        raw = bool(written(0))
        current.end(outcome, raw)
        if raw:
            here.carry_on()


def _waiting_in(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


# --- in threads --------------------------------------------------------------------------------------


class Breaker:
    """Breaks into runs of plain functions, from outside their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[int, int] = {}
        self._wake: dict[int, Callable[[Callable[[], None]], object]] = {}
        self._why: dict[int, tuple[str, float | None]] = {}

    def guarded(self, current: Run, body: str | None = None) -> Outcome:
        """Execute the run in this thread; an interruption raised in it does not outlive it."""
        serial, me = current.serial, threading.get_ident()
        try:
            with self._lock:
                self._threads[serial] = me
            outcome = self._execute(current, body)
        except kinds() as error:
            outcome = _interrupted(current, error)
        while True:
            try:
                with self._lock:
                    self._threads.pop(serial, None)
                    self._wake.pop(serial, None)
                    _raise_in(me, None)
                    why = self._why.pop(serial, None)
                break
            except kinds():
                continue
        if why is not None and isinstance(outcome, Fail) and outcome.reason is Reason.TIMEOUT:
            # An exception from another thread is raised by its class alone, without words.
            words, trace = str(interruption(*why)), outcome.failure.traceback
            outcome = Fail(Failure(type="JobTimeout", message=words, traceback=trace), outcome.reason)
        return outcome

    def _execute(self, current: Run, body: str | None) -> Outcome:
        outcome = current.prepare() if body is None else None
        if outcome is not None:
            return outcome
        assert current.task is not None
        if current.task.is_async:
            with self._lock:
                self._wake[current.serial] = thread_loop().call_soon_threadsafe
        return current.execute(body or current.body())

    def interrupt(self, serial: int, why: str, limit: float | None) -> bool:
        """Raise in the run's thread, once it is back in Python code; False if no thread runs it."""
        with self._lock:
            if serial not in self._threads:
                return False
            self._why[serial] = (why, limit)
            _raise_in(self._threads[serial], type(interruption(why, limit)))
            if wake := self._wake.get(serial):
                # Its loop may sleep in the kernel, where no exception reaches it.
                wake(_nothing)
            return True


class _Threads:
    """The slots of a thread pool."""

    def __init__(self, link: Link, first: int) -> None:
        self._link = link
        self._first = first
        self._breaker = Breaker()
        self._reading = threading.Lock()
        self._busy = bytearray()
        """By thread: 1 while it runs a job."""
        self._limit = 0
        self._freed = threading.Event()
        self._bodies: dict[int, queue.SimpleQueue[str]] = {}
        link.serialise()
        link.fetch = self._fetch
        link.leave = _wait

    def resize(self, count: int) -> None:
        """Run so many at once from now on. Threads are never too many: there, they wait."""
        self._limit = count
        for number in range(len(self._busy), count):
            self._busy.append(0)
            threading.Thread(target=self._slot, args=(number,), name=f"slot-{number}", daemon=True).start()
        self._freed.set()

    def _slot(self, number: int) -> NoReturn:
        """A thread's life."""
        busy, place = self._busy, self._first + number
        while True:
            # One reader at a time: the others wait here, which costs less than waking all of them for each job.
            with self._reading:
                self._wait_for_room()
                serial, lease = self._link.receive()
                # There may be fewer slots now than when it began to wait for a job.
                self._wait_for_room()
                busy[number] = 1
            current = Run(self._link, serial, lease, place)
            capture.recorder.set(current.recorder)
            outcome = self._breaker.guarded(current)
            capture.recorder.set(None)
            current.end(outcome)
            busy[number] = 0
            if len(busy) > self._limit:
                self._freed.set()

    def _wait_for_room(self) -> None:
        """Where there are more threads than slots: until fewer run than there are slots."""
        while len(self._busy) > self._limit:
            self._freed.clear()
            if sum(self._busy) < self._limit:
                return
            self._freed.wait()

    def control(self) -> NoReturn:
        """Listen to the supervisor."""
        while True:
            data, content = wire.receive_with_file(self._link.control)
            if not data:
                try:
                    hooks.stop(None)
                finally:
                    os._exit(0)
            kind, serial, *rest = wire.decode(data)
            if kind == wire.RESIZE:
                self.resize(serial)
            elif kind == wire.BODY and content is not None:
                self._bodies[serial].put(content.decode())
            elif kind == wire.INTERRUPT:
                self._breaker.interrupt(serial, *rest)

    def _fetch(self, serial: int) -> str:
        box = self._bodies[serial] = queue.SimpleQueue()
        self._link.send((wire.FETCH, serial))
        try:
            return box.get()
        finally:
            del self._bodies[serial]


def _nothing() -> None: ...


def _wait() -> NoReturn:
    """In a slot's thread: the main thread sees the end too, and ends the process."""
    while True:
        threading.Event().wait()


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind) if kind else None)


def in_threads(link: Link, first: int, count: int, _room: int) -> NoReturn:
    """A thread pool. A thread that is stuck in a call cannot be stopped, only its process can."""
    threads = _Threads(link, first)
    link.begin()
    threads.resize(count)
    link.hello()
    threads.control()
