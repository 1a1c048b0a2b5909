"""What ``qtool enqueue`` does, however its options were read."""

from __future__ import annotations

import gc
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtool.config import load_settings, open_adapter
from qtool.engine.job import EXEC
from qtool.engine.value import Value
from qtool.errors import ExitCode, QtoolError, UsageError
from qtool.intake.input import read_lines, read_work
from qtool.intake.jobs import Maker, read_terms
from qtool.interrupts import Interrupt, deferred_interrupt
from qtool.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qtool.engine.broker import Adapter, Receipt
    from qtool.engine.job import Job
    from qtool.intake.input import Work
    from qtool.intake.options import EnqueueOptions

BATCH = 2000
"""Jobs in one commit: beyond it the wait for the disk is no longer what costs."""

REPORTED = 20
"""Rejected lines that are reported one by one; the rest is counted."""


class EnqueuedRow(Value):
    """A job that was enqueued, or that stood already: the same id, or the holder of the same unique key."""

    id: str
    existing: bool
    """It stood already: nothing was added."""


def run(options: EnqueueOptions) -> int:
    """Enqueue, print ids, and wait where asked to; the exit code. Raises QtoolError before anything is enqueued."""
    now = time.time()
    modes = [name for name in ("lines", "null", "jsonl") if getattr(options, name)]
    if len(modes) > 1:
        raise UsageError(why="--lines, -0 and --jsonl are three ways to read lines: use one.")
    if options.source is not None and not modes:
        raise UsageError(why="--from says where lines are: add --lines, -0 or --jsonl.")
    work = read_work(options)
    terms = read_terms(options, now, many=bool(modes))
    wait_timeout = _wait_timeout(options)
    settings = load_settings(broker=options.broker, context=options.context)
    out = Output(
        format=Format(options.output) if options.output else Format.IDS,
        quiet=options.quiet,
        color=options.color,
        keep_going=options.wait or options.follow,
    )
    rejects = Rejects(out)
    maker = Maker(work, terms, settings.route, rejects, now)
    _hint(work, out)
    with _source(options, bool(modes)) as descriptor, open_adapter(settings, write=True) as adapter:
        session = Session(adapter, out, keep=options.wait or options.follow, silent=options.quiet or options.follow)
        if not modes:
            session.commit([maker.one(now)])
            session.finish()
        else:
            make = maker.of_json if options.jsonl else maker.of_lines
            blocks = read_lines(descriptor, b"\0" if options.null else b"\n", rejects)
            with out.progress("enqueued") as progress:
                session.drain((make(number, lines, time.time()) for number, lines in blocks), progress)
            rejects.summary()
        if options.wait or options.follow:
            from qtool.intake.wait import wait

            code = wait(adapter, out, session.ids, timeout=wait_timeout, follow=options.follow, command=work.command)
            if code:
                return code
    return int(ExitCode.PARTLY if rejects.count else ExitCode.OK)


def _wait_timeout(options: EnqueueOptions) -> float | None:
    if options.wait_timeout is None:
        return None
    if not (options.wait or options.follow):
        raise UsageError(why="--wait-timeout limits --wait: add it.")
    from qtool.engine.times import parse_duration

    return parse_duration(options.wait_timeout)


def _hint(work: Work, out: Output) -> None:
    """Say so when what is enqueued as a task is the name of a program: most likely the ``--`` was forgotten."""
    task = work.task
    if task is None or task == EXEC or "." in task or out.quiet:
        return
    for directory in os.get_exec_path():
        if os.access(os.path.join(directory, task), os.X_OK):
            out.note(f"{task!r} is enqueued as a task; to run the program, write: qtool enqueue -- {task} …")
            return


@contextmanager
def _source(options: EnqueueOptions, lines: bool) -> Iterator[int]:
    """The descriptor that lines come from."""
    if not lines or options.source in (None, "-"):
        if lines and os.isatty(0):
            sys.stderr.write("qtool: reading lines from the terminal; Ctrl-D ends them.\n")
        yield 0
        return
    assert options.source is not None
    try:
        descriptor = os.open(options.source, os.O_RDONLY | os.O_CLOEXEC)
        os.read(descriptor, 0)
    except OSError as error:
        raise UsageError(why=f"--from {options.source}: {error.strerror}.") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Rejects:
    """Lines that could not become jobs."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.count = 0

    def __call__(self, number: int, error: Exception) -> None:
        """Report a line."""
        self.count += 1
        if self.count <= REPORTED:
            why = str(error).rstrip(".")
            self._out.warn(f"line {number} is left out: {why[:1].lower() + why[1:]}.")

    def summary(self) -> None:
        """Say how many there were."""
        if self.count:
            self._out.warn(f"{self.count:,} line{'s were' if self.count > 1 else ' was'} left out.")


class Session:
    """Commits jobs, prints their ids, and knows how many stand."""

    def __init__(self, adapter: Adapter, out: Output, *, keep: bool, silent: bool) -> None:
        """``keep`` remembers the ids; ``silent`` prints none."""
        self._broker = adapter.broker
        self._stream = adapter.stream or self._one_by_one
        self._out = out
        self._keep = keep
        self._silent = silent
        self._wrote = False
        self.ids: list[str] = []
        self.added = 0
        self.existing = 0

    def commit(self, jobs: Sequence[Job]) -> None:
        """Enqueue all or none, then print. Raises BrokerError; BrokenPipeError after the commit."""
        self._note(self._broker.enqueue(jobs))

    def _one_by_one(self, batches: Iterable[Sequence[Job]]) -> Iterator[Receipt]:
        return map(self._broker.enqueue, batches)

    def _note(self, receipt: Receipt) -> None:
        self.existing += len(receipt.existing)
        self.added += len(receipt.ids) - len(receipt.existing)
        if self._keep:
            self.ids += receipt.ids
        if not self._silent:
            self._print(receipt.ids, receipt.existing)

    def _print(self, ids: tuple[str, ...], existing: frozenset[str]) -> None:
        out = self._out
        if out.format is Format.IDS:
            out.write("\n".join(ids) + "\n")
        elif out.format is Format.JSONL:
            out.write("".join(f'{{"id":"{id}","existing":{_bool(id in existing)}}}\n' for id in ids))
        elif out.format is Format.JSON:
            rows = ",\n".join(f'{{"id":"{id}","existing":{_bool(id in existing)}}}' for id in ids)
            out.write((",\n" if self._wrote else "[\n") + rows)
        elif out.format is Format.TABLE:
            out.write("".join(f"{id}{'  existing' if id in existing else ''}\n" for id in ids))
        else:
            comma = "," if out.format is Format.CSV else "\t"
            head = "" if self._wrote else f"id{comma}existing\n"
            out.write(head + "".join(f"{id}{comma}{_bool(id in existing)}\n" for id in ids))
        self._wrote = True
        out.flush()

    def finish(self) -> None:
        """End what was printed."""
        if not self._silent and self._out.format is Format.JSON:
            self._out.write("\n]\n" if self._wrote else "[]\n")
        if self.existing:
            self._out.note(
                f"{self.existing:,} of {self.added + self.existing:,} stood already; nothing was added there."
            )

    def drain(self, blocks: Iterator[list[Job]], progress: Any) -> None:
        """Commit block after block, and say how far it came when it does not come to the end.

        Ctrl-C takes effect between two commits, so that what is said to stand is what stands.
        """
        try:
            with deferred_interrupt() as check, _rare_collection():
                for jobs in blocks:
                    self._block(jobs, progress, check)
                    check.idle()
        except BrokenPipeError:
            raise
        except (QtoolError, KeyboardInterrupt, OSError) as error:
            stopped = "Interrupted" if isinstance(error, KeyboardInterrupt) else "Stopped"
            self._out.warn(f"{stopped}: {self.added:,} jobs were enqueued and stay.")
            raise
        self.finish()
        if sys.stderr.isatty():
            self._out.note(f"{self.added:,} job{'' if self.added == 1 else 's'} enqueued.")

    def _block(self, jobs: list[Job], progress: Any, check: Interrupt) -> None:
        closed: BrokenPipeError | None = None

        def batches() -> Iterator[list[Job]]:
            for start in range(0, len(jobs), BATCH):
                check.busy()
                yield jobs[start : start + BATCH]

        for receipt in self._stream(batches()):
            try:
                self._note(receipt)
            except BrokenPipeError as error:
                # Nobody reads the ids any more; what was read is enqueued all the same.
                closed, self._silent = error, True
            progress.advance(len(receipt.ids))
        if closed is not None:
            raise closed


def _bool(value: bool) -> str:
    return "true" if value else "false"


# --- memory --------------------------------------------------------------------------------------------


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Jobs are made by the thousand and hold no cycles: looking for some every 700 objects costs a third of a job."""
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
