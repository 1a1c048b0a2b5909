"""The launcher by itself, over its socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from qtool.engine.worker import launcher
from qtool.engine.worker.board import Board

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@contextmanager
def running() -> Iterator[socket.socket]:
    """A launcher, and the supervisor's end of its socket."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    board = Board.create()
    board.renewed(time.monotonic())
    board.be_patient(600.0)
    fds = [far.fileno(), board.fd]
    process = subprocess.Popen(
        [sys.executable, "-m", "qtool.engine.worker.launcher", *map(str, fds), "-1"],
        pass_fds=fds,
        start_new_session=True,
    )
    far.close()
    with near:
        yield near
    assert process.wait(10) == 0


def test_every_command_is_reaped_where_several_are_killed_at_once() -> None:
    """Also one that ends between a look at it and the reaping of another."""
    payload = launcher.pack(b"/", [b"/bin/sleep", b"600"], [])
    null = os.open(os.devnull, os.O_RDWR)
    with running() as near:
        near.settimeout(10)
        for first in range(1, 400, 8):
            serials = range(first, first + 8)
            for serial in serials:
                socket.send_fds(near, [launcher.REQUEST.pack(launcher.START, serial, 2), payload], [null, null])
            for serial in serials:
                near.send(launcher.REQUEST.pack(launcher.KILL, serial, signal.SIGKILL))
            replies = [launcher.REPLY.unpack(near.recv(launcher.REPLY.size)) for _ in serials]
            assert sorted(serial for _, serial, _ in replies) == list(serials)
            assert {kind for kind, _, _ in replies} == {launcher.STOPPED}
    os.close(null)
