"""A real worker for a test: ``qtool worker`` in a process of its own, over a temporary file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.client import Client, stand_in
from qtool.config import Settings, TopDefaults, WorkerDefaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POLL = 0.01
"""Seconds between two looks at whether it serves."""


FAREWELL = 2.0
"""Seconds that a worker gets to end when the test has failed already."""


class RealWorker:
    """A worker's process, and the broker it serves."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, client: Client, log: Path) -> None:
        self.url = url
        """Its broker, a file that goes with it."""
        self.client = client
        """Enqueues there."""
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the worker has written so far, on stdout and stderr."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_it_serves(self, timeout: float) -> None:
        """Raises RuntimeError with its log if it ends, or takes longer than ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not self.client.adapter().inspector.snapshot().workers:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker does not serve:\n{self.log}")
            time.sleep(POLL)

    def end(self, timeout: float) -> None:
        """Tell it to end, and kill it ``timeout`` seconds later. Raises RuntimeError with its log if it ended badly."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the worker did not end within {timeout:g} s:\n{self.log}") from None
        if code != 0:
            raise RuntimeError(f"the worker ended with {code}:\n{self.log}")

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        self._process.wait()


@contextmanager
def real_worker(
    *apps: str,
    slots: int = 2,
    pool: str = "process",
    options: Sequence[str] = (),
    timeout: float = 30.0,
) -> Iterator[RealWorker]:
    """A context manager: while the block runs, a ``qtool worker -A app … -j slots`` serves a temporary file.

    ``.delay()`` and whatever else names no broker, in this process and those it starts, enqueue there.

    ``options`` are more words of its command line. It imports what this process could. At the end it gets TERM, and is
    killed ``timeout`` seconds later. Raises RuntimeError with its log if it does not start or end as it should.
    """
    with tempfile.TemporaryDirectory(prefix="qtool-") as directory:
        log = Path(directory, "log")
        url = f"sqlite://{Path(directory).resolve()}/jobs.db"
        words = [sys.executable, "-m", "qtool", "worker", "-b", url, "-j", str(slots), "--pool", pool, *options]
        words += [word for app in apps for word in ("-A", app)]
        settings = Settings(
            broker=url, source="test", retention={}, worker=WorkerDefaults(), top=TopDefaults(), path=""
        )
        with log.open("wb") as file, Client(settings) as client, _default_broker(client, url):
            environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
            process = subprocess.Popen(  # noqa: S603  our own interpreter and program
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environ
            )
            worker = RealWorker(process, url, client, log)
            try:
                worker.wait_until_it_serves(timeout)
                yield worker
                worker.end(timeout)
            except BaseException as error:
                if process.poll() is None:
                    # What it has run it tells a moment later; and what hangs is not waited for.
                    with suppress(RuntimeError):
                        worker.end(min(timeout, FAREWELL))
                    error.add_note(f"The worker's log:\n{worker.log}")
                raise
            finally:
                worker.kill()


@contextmanager
def _default_broker(client: Client, url: str) -> Iterator[None]:
    """Make it the one that serves who names none, here and in processes that are started here."""
    said = {name: os.environ.pop(name, None) for name in ("QTOOL_BROKER", "QTOOL_CONTEXT")}
    os.environ["QTOOL_BROKER"] = url
    before = stand_in(client)
    try:
        yield
    finally:
        stand_in(before)
        for name, value in said.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
