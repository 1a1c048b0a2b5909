"""Messages with file descriptors. Stdlib only: the launcher imports it."""

from __future__ import annotations

import array
import os
import socket

_MOST = 3
# Numbers, not flags: or-ing those costs more than the system call.
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_SPACE = socket.CMSG_SPACE(_MOST * array.array("i").itemsize)


def receive_fds(sock: socket.socket, size: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """A message and its descriptors (close-on-exec). Raises BlockingIOError.

    As :func:`socket.recv_fds`, which drops its ``flags`` before Python 3.12.
    """
    data, ancillary, _, _ = sock.recvmsg(size, _SPACE, int(flags) | _CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def unnamed_file(content: bytes) -> int:
    """A descriptor of a file in memory, or on disk where there is no such thing."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("qtool", os.MFD_CLOEXEC)
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def read_file(fd: int) -> bytes:
    """All that :func:`unnamed_file` put there; closes it."""
    with open(fd, "rb") as file:
        file.seek(0)
        return file.read()
