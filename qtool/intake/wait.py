"""``qtool enqueue --wait`` and ``--follow``: stay until the jobs have ended, and pass on how."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.states import FINAL, Reason, State
from qtool.engine.waiting import POLL_SECONDS, Patience, as_they_end
from qtool.errors import ExitCode, JobFailed, QtoolError, UnknownJob, WaitTimedOut
from qtool.output import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Result
    from qtool.output import Output


def wait(
    adapter: Adapter, out: Output, ids: Sequence[str], *, timeout: float | None, follow: bool, command: bool
) -> int:
    """Wait for all. One command: its own exit code. Otherwise 0, 1 when none succeeded, 3 when some did not.

    Raises JobFailed for a single task that failed, WaitTimedOut.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        if follow:
            for id in ids:
                out.note(f"following {id}")
                Follower(adapter, out, id).run(deadline)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        with out.progress("ended", len(ids)) as progress:
            ends = []
            for result in as_they_end(adapter, ids, timeout=left, say=out.warn):
                ends.append(result)
                progress.advance()
    except KeyboardInterrupt:
        out.warn(f"Stopped waiting; {'the job goes' if len(ids) == 1 else 'the jobs go'} on without you.")
        raise
    except WaitTimedOut as error:
        raise WaitTimedOut(id=error.id, seconds=timeout, state=error.state) from None
    except QtoolError as error:
        if command:
            # The error's own code could be taken for the command's.
            error.exit_code = ExitCode.INTERNAL
        raise
    if len(ends) == 1:
        return _code_of_command(ends[0], out) if command else _code_of_task(ends[0])
    failed = [result for result in ends if result.state is not State.SUCCEEDED]
    if failed:
        out.warn(f"{len(failed):,} of {len(ends):,} did not succeed, first {failed[0].id} ({failed[0].state}).")
    return 0 if not failed else int(ExitCode.PARTLY if len(failed) < len(ends) else ExitCode.FAILED)


def _code_of_task(result: Result) -> int:
    if result.state is State.SUCCEEDED:
        return int(ExitCode.OK)
    raise JobFailed(id=result.id, state=result.state, error=result.error or result.reason or "")


def _code_of_command(result: Result, out: Output) -> int:
    """The command's exit code, 128 and the signal's number, 124 when it ran out of time, 125 when it has no code."""
    if result.state is State.SUCCEEDED:
        return int(ExitCode.OK)
    error = result.error
    out.note(f"job {result.id} ended {result.state}" + (f": {error}" if error else ""))
    if result.reason is Reason.TIMEOUT:
        return int(ExitCode.TIMED_OUT)
    if result.state is State.DEAD and error is not None:
        if error.exit_code is not None:
            return error.exit_code
        if error.signal is not None:
            return 128 + error.signal
    return int(ExitCode.INTERNAL)


class Follower:
    """Shows what a job writes while it runs: its stdout on stdout, the rest on stderr."""

    def __init__(self, adapter: Adapter, out: Output, id: str) -> None:
        self._adapter = adapter
        self._out = out
        self._id = id
        self._attempt = 0
        self._shown = 0
        """Bytes of the attempt's output that were shown or are gone."""

    def run(self, deadline: float | None) -> None:
        """Until the job has ended, or ``deadline`` on the monotonic clock has passed."""
        patience = Patience(deadline, self._out.warn)
        bell = self._adapter.broker.listen("finished")
        try:
            while True:
                job = patience.ask(partial(self._adapter.inspector.get, [self._id]))[0]
                if job is None:
                    raise UnknownJob(id=self._id)
                patience.ask(partial(self._show, job.attempt))
                left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
                if job.state in FINAL or left <= 0:
                    return
                bell.wait(left)
        finally:
            bell.close()

    def _show(self, attempt: int) -> None:
        """What was written since the last look, up to the attempt that runs now."""
        if self._attempt > attempt:
            # A snoozed or interrupted attempt was given back: its number is used again.
            self._attempt, self._shown = attempt, 0
        while True:
            if self._attempt:
                for stream, offset, data in self._adapter.results.output(
                    self._id, attempt=self._attempt, after=self._shown
                ):
                    if offset > self._shown:
                        self._out.note(f"{offset - self._shown:,} bytes of output were not kept")
                    self._write(stream, data)
                    self._shown = offset + len(data)
            if self._attempt == attempt:
                return
            self._attempt, self._shown = self._attempt + 1, 0

    def _write(self, stream: str, data: bytes) -> None:
        to_stdout = stream == "stdout"
        if (sys.stdout if to_stdout else sys.stderr).isatty():
            lines = data.decode("utf-8", "replace").split("\n")
            data = "\n".join(map(clean, lines)).encode()
        if to_stdout:
            self._out.write_bytes(data)
            self._out.flush()
        else:
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
