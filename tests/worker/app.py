"""Tasks that do what tasks do to workers."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from qtool.engine.current import JobCancelled, JobTimeout, Retry, Snooze, current_job
from qtool.engine.tasks import task


@task
def echo(value: Any) -> Any:
    return value


@task(rate_limit="300/m")
def rated() -> None: ...


@task
def length(text: str) -> int:
    return len(text)


@task
def repeat(count: int) -> str:
    return "x" * count


@task
def fail(message: str) -> None:
    raise ValueError(message)


@task(retries=2, backoff=0.01)
def flaky(path: str) -> int:
    with Path(path).open("a") as log:
        log.write("x")
    tries = Path(path).stat().st_size
    if tries < 3:
        raise RuntimeError(f"try {tries}")
    return tries


@task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
async def doze(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
def spin(seconds: float) -> None:
    """Stays in Python code, where an exception from another thread gets in."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)


@task
def stubborn(seconds: float) -> None:
    """Ignores every request to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except (JobTimeout, JobCancelled):
            continue


@task
def undaunted(path: str) -> None:
    """Says that it was asked to stop by making a directory, and goes on until that is gone."""
    try:
        spin.function(600)
    except (JobTimeout, JobCancelled):
        gate.function(path)


@task
def crash(how: str) -> None:
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


@task
def talk() -> None:
    print("one")
    subprocess.run(["echo", "two"], check=True)
    print("three", file=sys.stderr)
    os.write(1, b"four\n")
    logging.getLogger("shop").info("five")


@task
def say(text: str) -> None:
    print(text)
    logging.getLogger("shop").warning(text)


@task
def bytes_out() -> None:
    sys.stdout.buffer.write(b"\xff\x1b[31m\n")


@task
def flood(megabytes: int) -> None:
    line = "x" * 1023 + "\n"
    for _ in range(megabytes * 1024):
        sys.stdout.write(line)


@task
def advance(seconds: float) -> None:
    current_job().progress(0.5, "half way")
    print("working")
    time.sleep(seconds)


@task
def spawn(path: str) -> None:
    """Leaves a subprocess's pid behind, and waits for it."""
    process = subprocess.Popen(["sleep", "600"])
    Path(path).write_text(str(process.pid))
    process.wait()


@task
def gate(path: str) -> None:
    """Says that it has started by making a directory, and ends when that is gone."""
    Path(path).mkdir()
    while Path(path).exists():
        time.sleep(0.002)


@task
def note(path: str, word: str) -> None:
    """One line in a file, in one write."""
    with Path(path).open("a") as log:
        log.write(f"{word}\n")


@task
def between(path: str, seconds: float) -> None:
    """``+`` when it begins and ``-`` when it ends."""
    note(path, "+")
    time.sleep(seconds)
    note(path, "-")


@task
def which_attempt(path: str) -> int:
    """Tells when it has ended."""
    time.sleep(0.2)
    note(path, str(current_job().attempt))
    return current_job().attempt


@task
def hog(megabytes: int) -> None:
    """Runs into the limit of its memory."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), most))
    try:
        bytearray(2 * megabytes << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@task
def hoard(megabytes: int) -> int:
    """Takes memory, and uses it."""
    return len([os.urandom(1 << 20) for _ in range(megabytes)])


@task
def deaf(seconds: float) -> None:
    """Ignores every signal that can be."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    time.sleep(seconds)


@task
def put_off_for(how: str, text: str) -> None:
    """Asks to be run again in so many seconds; ``late``: as an exception that is changed after it was made."""
    seconds = float(text)
    asked: Retry | Snooze = Retry() if "retry" in how else Snooze()
    if "late" in how:
        asked.in_ = seconds
        raise asked
    raise Retry(in_=seconds) if "retry" in how else Snooze(seconds)


@task
def crash_once(path: str, seconds: float) -> int:
    """Takes its process down the first time; then like :func:`between`."""
    if not current_job().previous_crash:
        os._exit(7)
    between(path, seconds)
    return current_job().crashes


@task(on_crash="dead")
def frail(path: str) -> None:
    """Is not to be tried again after a crash."""
    gate(path)


@task
def call_in_c(mark: str, seconds: float) -> None:
    """Says that it has begun, and is then in one call that no exception gets into."""
    Path(mark).mkdir()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ctypes.CDLL(None).usleep(int(min(left, 600) * 1e6))


@task
async def blocks_the_loop(mark: str, seconds: float) -> None:
    """As :func:`call_in_c`, on the event loop that all share."""
    call_in_c.function(mark, seconds)


@task
def ignores_everything(mark: str, seconds: float) -> None:
    """Says that it has begun, and catches whatever is raised in it."""
    Path(mark).mkdir()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001  what a task must not do
            pass


@task
def where() -> int:
    """In which process."""
    return os.getpid()


@task
def span(seconds: float) -> tuple[int, float, float]:
    """Where, from when, until when."""
    began = time.time()
    time.sleep(seconds)
    return os.getpid(), began, time.time()


_leaked: list[bytes] = []


@task
def leak(megabytes: int) -> int:
    """Holds on to memory after its end."""
    _leaked.append(bytes([1]) * (megabytes << 20))
    return os.getpid()
