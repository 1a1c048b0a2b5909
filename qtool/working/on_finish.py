"""``--on-finish``: a command for each job that has ended for good, run beside the worker and never in its way."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from qtool.engine.states import State
from qtool.output import to_json
from qtool.views.worker import ended_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtool.engine.job import Settlement
    from qtool.views.worker import WorkerEventRow

STATES = (State.SUCCEEDED, State.DEAD, State.CANCELLED)
"""The final states in which a worker leaves a job."""

AT_ONCE = 4
WAITING = 1000
"""Ends that may wait for their command before the worker starts nothing new until there are fewer."""

LIMIT = 60.0
"""Seconds that one command may run."""

LONGEST = 16 * 1024
"""Characters of a variable; Linux takes 128 KiB. The JSON on stdin has all of it."""

LOOK = 0.05


class OnFinish:
    """Runs a command with /bin/sh for each end: in threads, a few at once, with its outcome in its environment."""

    def __init__(
        self,
        command: str,
        states: Sequence[State] = STATES,
        *,
        at_once: int = AT_ONCE,
        waiting: int = WAITING,
        limit: float = LIMIT,
    ) -> None:
        self._command = command
        self._states = frozenset(states)
        self._at_once = at_once
        self._limit = limit
        self._waiting = waiting
        self._ends: queue.Queue[WorkerEventRow] = queue.Queue()
        self._threads = 0
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._closed = False
        self.ran = 0
        """Commands that were started and have ended."""
        self.failed = 0
        self._first: str | None = None
        """The first failure, until it has been told."""

    def settled(self, batch: Sequence[Settlement]) -> None:
        """Outcomes were stored: a command for each that is final. Returns at once."""
        for settlement in batch:
            if settlement.state in self._states:
                self._ends.put_nowait(ended_row(settlement))
                if self._threads < self._at_once:
                    self._start()

    def behind(self) -> bool:
        """Whether so many ends wait for their command that no further jobs should be started."""
        return self._ends.qsize() >= self._waiting

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="on-finish", daemon=True).start()
            self._threads += 1
        except RuntimeError as error:
            # The host has no thread to give: later, perhaps. The worker itself needs none.
            self._tell(f"no --on-finish command can be run now: {error}")

    def trouble(self) -> str | None:
        """The first thing that went wrong, once."""
        with self._lock:
            first, self._first = self._first, None
        return first

    def _tell(self, what: str) -> None:
        with self._lock:
            if not self.failed:
                self._first = what

    # --- in its threads ------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            row = self._ends.get()
            try:
                why = None if self._closed else self._run(row)
            except Exception as error:  # noqa: BLE001  whatever it is, the thread goes on with the next
                why = f"cannot be run ({error})"
            if why is not None:
                self._tell(f"the --on-finish command {why}, for job {row.id}")
            with self._lock:
                self.ran += not self._closed
                self.failed += why is not None
            self._ends.task_done()

    def _run(self, row: WorkerEventRow) -> str | None:
        """Run the command for one job; what went wrong, if anything."""
        process = subprocess.Popen(  # noqa: S603  the operator's own command
            ["/bin/sh", "-c", self._command],
            stdin=subprocess.PIPE,
            # The worker's stdout is data of its own.
            stdout=2,
            env=os.environ | variables(row),
            process_group=0,
        )
        with self._lock:
            self._running.add(process.pid)
        try:
            # One that does not read it is no reason to complain: communicate() passes over a closed pipe.
            process.communicate(to_json(row).encode() + b"\n", timeout=self._limit)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            process.wait()
            return f"ran longer than {self._limit:g} s and was killed"
        finally:
            with self._lock:
                self._running.discard(process.pid)
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        if process.returncode > 0:
            return f"exited with {process.returncode}"
        if process.returncode < 0:
            return f"was killed by signal {-process.returncode}"
        return None

    # --- the end -------------------------------------------------------------------------------------

    def finish(self) -> str | None:
        """Wait for what still runs and waits, until a signal comes; what is to be said in the end."""
        with _interruptible() as interrupted:
            while self._ends.unfinished_tasks and not interrupted.wait(LOOK):
                pass
        self._closed = True
        missing = self._ends.qsize()
        with self._lock:
            for pid in self._running:
                _kill(pid)
            missing += len(self._running)
        # Each is reaped by its thread.
        until = time.monotonic() + 1.0
        while self._running and time.monotonic() < until:
            time.sleep(LOOK)
        said = []
        if self.failed > 1:
            said.append(f"{self.failed:,} of {self.ran:,} --on-finish commands failed")
        if missing:
            said.append(f"{missing:,} jobs ended without their --on-finish command")
        return "; ".join(said) or None


def variables(row: WorkerEventRow) -> dict[str, str]:
    """What the command finds in its environment."""
    values = {
        "QTOOL_JOB_ID": row.id,
        "QTOOL_TASK": row.task,
        "QTOOL_QUEUE": row.queue,
        "QTOOL_STATE": row.kind,
        "QTOOL_REASON": row.reason or "",
        "QTOOL_ERROR": row.error or "",
        "QTOOL_ATTEMPT": str(row.attempt),
        "QTOOL_SECONDS": f"{row.seconds or 0.0:.3f}",
    }
    return {name: _fitting(value) for name, value in values.items()}


def _fitting(value: str) -> str:
    """As an environment can hold it; the message of an error may be anything."""
    return value[:LONGEST].replace("\0", "").encode("utf-8", "backslashreplace").decode()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that TERM and INT set while the block runs; the worker ignores them by then."""
    interrupted = threading.Event()
    before = {each: signal.signal(each, lambda *_: interrupted.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield interrupted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
