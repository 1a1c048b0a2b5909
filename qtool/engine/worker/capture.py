"""What a task writes, caught in its process: ``sys.stdout``, ``sys.stderr`` and logging know the job they write for.

Nothing is spent on a job that writes nothing. A line is sent as soon as it is complete, so that it can be followed
live; beyond the head of the attempt's output only the tail is held, and sent now and then.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from qtool.engine.output import HEAD
from qtool.engine.worker.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY = 0.2
"""Seconds between two messages of a job that writes more than its head."""

Piece = tuple[str, int, bytes]
"""Stream, how many bytes were dropped before it, data."""


class Recorder:
    """One run's output on its way to the supervisor."""

    __slots__ = ("_output", "_send", "_sent", "_sent_at")

    def __init__(self, send: Callable[[list[Piece]], None]) -> None:
        self._send = send
        self._output: Output | None = None
        self._sent = 0
        self._sent_at = 0.0

    def write(self, stream: str, data: bytes) -> None:
        """Keep ``data``, and send what is due."""
        output = self._output
        if output is None:
            output = self._output = Output()
        output.add(stream, data)
        if output.offset <= HEAD:
            if data.endswith(b"\n"):
                self.flush()
        elif time.monotonic() - self._sent_at >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if self._output:
            pieces = []
            for stream, offset, data in self._output.take():
                pieces.append((stream, offset - self._sent, data))
                self._sent = offset + len(data)
            self._sent_at = time.monotonic()
            self._send(pieces)


recorder: ContextVar[Recorder | None] = ContextVar("qtool.recorder", default=None)
"""Of the run that this thread or coroutine belongs to."""

_only: Recorder | None = None


def set_only(current: Recorder | None) -> None:
    """In a process that runs one job at a time every thread writes for that job."""
    global _only
    _only = current


class Captured(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: str, outside: TextIO) -> None:
        """``outside`` takes what is written while no job runs."""
        self._stream = stream
        self._outside = outside
        self._raw = _CapturedBytes(self, stream, outside)

    @property
    def buffer(self) -> io.RawIOBase:
        return self._raw

    def write(self, text: str) -> int:
        current = _only or recorder.get()
        if current is None:
            return self._outside.write(text)
        # As the file system does it: bytes that came in as lone surrogates go out as the same bytes.
        current.write(self._stream, text.encode("utf-8", _errors(text)))
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        current = _only or recorder.get()
        if current is None:
            self._outside.flush()
        else:
            current.flush()

    def fileno(self) -> int:
        return self._outside.fileno()

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


class _CapturedBytes(io.RawIOBase):
    """``sys.stdout.buffer``."""

    def __init__(self, text: Captured, stream: str, outside: TextIO) -> None:
        self._text = text
        self._stream = stream
        self._outside = outside

    def write(self, data: Any) -> int:
        current = _only or recorder.get()
        if current is None:
            return self._outside.buffer.write(data)
        piece = bytes(data)
        current.write(self._stream, piece)
        return len(piece)

    def flush(self) -> None:
        self._text.flush()

    def fileno(self) -> int:
        return self._outside.fileno()

    def writable(self) -> bool:
        return True


def _errors(text: str) -> str:
    return "strict" if text.isascii() else "surrogateescape" if _escaped(text) else "backslashreplace"


def _escaped(text: str) -> bool:
    """Whether all lone surrogates in ``text`` stand for bytes."""
    return not any(0xD800 <= ord(char) <= 0xDFFF and not 0xDC80 <= ord(char) <= 0xDCFF for char in text)


class JobLog(logging.Handler):
    """Log records go to the job's output, as stream ``log``; outside a job, to the worker's stderr."""

    def __init__(self, outside: TextIO) -> None:
        super().__init__()
        self._outside = outside
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            current = _only or recorder.get()
            if current is None:
                self._outside.write(line)
            else:
                current.write("log", line.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001  as logging itself does: a bad record must not break the task
            self.handleError(record)


def install() -> None:
    """Take over stdout, stderr and the root logger. Before any app is imported: basicConfig then changes nothing."""
    outside = sys.stderr
    sys.stdout = Captured("stdout", sys.stdout)
    sys.stderr = Captured("stderr", sys.stderr)
    root = logging.getLogger()
    root.addHandler(JobLog(outside))
    root.setLevel(logging.INFO)
