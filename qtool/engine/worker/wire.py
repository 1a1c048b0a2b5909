"""What the supervisor and its children say to each other.

One AF_UNIX ``SOCK_SEQPACKET`` pair a child: a message is a job, an outcome, or news of a run. Messages are msgpack
arrays whose first item says what they are. The kernel queues them, so a message is either unread (and the supervisor
can take it back from the child's end) or being worked on.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

import msgspec

from qtool.engine.worker.descriptors import read_file, receive_fds, unnamed_file

INLINE = 48 * 1024
"""Bytes of a job's arguments that travel in its message; larger ones are fetched through a file descriptor."""

BUFFER = 128 * 1024
"""Bytes of the largest message."""

_ROOM = 208 * 1024
"""Bytes asked for in a socket's buffer; the most that Linux grants anyone by default, who then gets twice that."""

_PART = 96 * 1024
_MORE, _LAST = b"\xc1", b"\xc0"
PARTS = frozenset(_MORE + _LAST)
"""First bytes of the parts of an over-long message; no msgpack array begins with them."""

# From a child.
HELLO, DONE, ENDED, STARTED, OUTPUT, PROGRESS, FETCH, REFUSED, SOURCES = range(9)

# To a child, on its control socket.
INTERRUPT, CARRY_ON, BODY, RESIZE = range(4)

TIMEOUT, CANCEL = "timeout", "cancel"
"""Why a run is interrupted, as its child is told."""

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends that keep message boundaries and order."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        # Room for some 500 small messages: the kernel counts each as nearly a kilobyte.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    return ends


def send(sock: socket.socket, message: Any) -> None:
    """Send from a child; blocks while the supervisor is behind. Over-long messages go in parts."""
    try:
        data = encode(message)
    except UnicodeEncodeError:
        data = encode(_spelled(message))
    if len(data) <= BUFFER:
        sock.send(data)
        return
    for start in range(0, len(data), _PART):
        sock.send((_MORE if start + _PART < len(data) else _LAST) + data[start : start + _PART])


class Assembler:
    """Puts the parts of over-long messages together again."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def add(self, part: bytes) -> bytes | None:
        """The whole message if ``part`` was its last."""
        self._parts += part[1:]
        if part[:1] == _MORE:
            return None
        whole = bytes(self._parts)
        self._parts.clear()
        return whole


def send_file(sock: socket.socket, message: Any, content: bytes) -> None:
    """Send ``message`` with a descriptor of an unnamed file that holds ``content``."""
    fd = unnamed_file(content)
    try:
        socket.send_fds(sock, [encode(message)], [fd])
    finally:
        os.close(fd)


def receive_with_file(sock: socket.socket, flags: int = 0) -> tuple[bytes, bytes | None]:
    """A message and the content of the file that came with it, if one did. Raises BlockingIOError."""
    data, fds = receive_fds(sock, BUFFER, flags)
    return data, read_file(fds[0]) if fds else None


def die_with_parent(parent: int) -> None:
    """Be killed when the supervisor dies (Linux); ends at once if it is gone already."""
    with suppress(OSError, AttributeError):
        import ctypes
        import signal

        set_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _spelled(value: Any) -> Any:
    """``value`` with lone surrogates (bytes that were not UTF-8) spelled out, as msgpack's text is UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return value
