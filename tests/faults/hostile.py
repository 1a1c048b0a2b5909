"""Tasks that do to their process what no task should: each is a word that :func:`hostile` is given."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import locale
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtool import task

if TYPE_CHECKING:
    from collections.abc import Callable

DOINGS: dict[str, Callable[[], object]] = {}


def _doing(function: Callable[[], object]) -> Callable[[], object]:
    DOINGS[function.__name__.removeprefix("_")] = function
    return function


@task
def hostile(doing: str) -> None:
    """Do it."""
    DOINGS[doing]()


@task
async def awaited(doing: str) -> None:
    """Do it on the event loop."""
    DOINGS[doing]()


@task
def neighbour(number: int) -> int:
    """An honest job: it works with what a process has."""
    time.sleep(0.01)
    assert os.getcwd()
    print("at work")
    return number


# --- what takes the process down ---------------------------------------------------------------------


@_doing
def _exit_0() -> None:
    os._exit(0)


@_doing
def _exit_3() -> None:
    os._exit(3)


@_doing
def _segfault() -> None:
    ctypes.string_at(0)


@_doing
def _abort() -> None:
    os.abort()


@_doing
def _kill() -> None:
    """As the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@_doing
def _terminate() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


@_doing
def _kill_own_group() -> None:
    os.killpg(0, signal.SIGKILL)


@_doing
def _overflow_the_c_stack() -> None:
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(), 2, 4, _CALLBACK(lambda _a, _b: os.abort()))


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


@_doing
def _close_all_descriptors() -> None:
    os.closerange(3, 4096)


@_doing
def _close_all_descriptors_and_open_others() -> None:
    os.closerange(0, 4096)
    for _ in range(64):
        os.open("/dev/null", os.O_RDWR)


@_doing
def _write_garbage_to_all_descriptors() -> None:
    for fd in range(3, 256):
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
            os.write(fd, b"\x93garbage")


@_doing
def _write_messages_of_others() -> None:
    """Well-formed, and wrong: about jobs that are not there."""
    import msgspec

    for message in ([0], [1, 10**6, 0.0, 0.0, None, False], [2, 7], ["?"], [5, 99, 0.5, "no"], [99, 1], 7, {"a": 1}):
        for fd in range(3, 64):
            with suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
                os.write(fd, msgspec.msgpack.encode(message))


@_doing
def _return_twice() -> None:
    os.fork()


# --- what an attempt fails with ----------------------------------------------------------------------


@_doing
def _system_exit() -> None:
    sys.exit(3)


@_doing
def _keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@_doing
def _generator_exit() -> None:
    raise GeneratorExit


@_doing
def _an_exception_of_its_own_kind() -> None:
    class OddError(BaseException):
        def __str__(self) -> str:
            raise ValueError("no words")

    raise OddError


@_doing
def _recursion() -> None:
    def again() -> None:
        again()

    again()


@_doing
def _out_of_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), most))
    try:
        hoard = []
        while True:
            hoard.append(bytes(1 << 20))
    finally:
        hoard.clear()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@_doing
def _out_of_descriptors() -> None:
    fds = []
    try:
        while True:
            fds.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for fd in fds:
            os.close(fd)


# --- what goes well, and leaves something behind -----------------------------------------------------


@_doing
def _change_directory() -> None:
    os.chdir("/")
    os.umask(0o777)
    os.umask(0o022)


@_doing
def _ignore_all_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


@_doing
def _set_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C")
    os.environ.clear()


@_doing
def _close_stdout() -> None:
    with suppress(AttributeError):
        sys.stdout.close()
        sys.stderr.close()


@_doing
def _replace_stdout() -> None:
    sys.stdout = sys.stderr = None


@_doing
def _shut_logging_down() -> None:
    logging.shutdown()
    logging.getLogger().handlers.clear()


@_doing
def _flood_stdout() -> None:
    for _ in range(64):
        print("x" * (64 << 10))
        os.write(1, b"y" * (64 << 10))


@_doing
def _leave_threads() -> None:
    for daemon in (True, False):
        threading.Thread(target=time.sleep, args=(600,), daemon=daemon).start()


@_doing
def _leave_a_thread_that_writes() -> None:
    def write() -> None:
        with suppress(Exception):
            for number in range(200):
                print(f"still here: {number}")
                time.sleep(0.005)

    threading.Thread(target=write, daemon=True).start()


@_doing
def _leave_a_child() -> None:
    subprocess.Popen(["sleep", "600"])


@_doing
def _leave_a_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(20)
        os._exit(0)
    with suppress(ChildProcessError):
        os.wait()


@_doing
def _reap_everything() -> None:
    with suppress(ChildProcessError):
        # Until there is none, or only such as live: a neighbour may have left one.
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


@_doing
def _collect_nothing() -> None:
    gc.disable()
