"""A worker's slate: one small file that outlives it and says which jobs it had really started.

The supervisor creates and locks it (``flock``); its children inherit the descriptor, so the lock is free exactly when
all of them are gone. Each slot is eight bytes: the mark of the lease under which a job started there last, 0 for none.
A rescuer that gets the lock blames only those for the crash; what was claimed ahead and never started is innocent, also
when the same job had started there before, under another lease. The bytes are written through a shared mapping, which
costs a store and survives the death of every process. A mark below zero is one of a job that is not to be tried again
after a crash: its task said so, and whoever rescues the job may not have the task.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
from contextlib import suppress

_MARK = struct.Struct("<q")

DRAFT = "."
"""What the names of slates that are still in the making begin with."""


def mark_of(key: int, token: int) -> int:
    """What stands on a slate for a lease: above 0, and another one when the same job is claimed again."""
    return key ^ token or 1


class Started:
    """What had started last in each slot of a worker that is dead."""

    def __init__(self, marks: frozenset[int]) -> None:
        self._marks = marks

    def has(self, key: int, token: int) -> bool:
        """Whether the job had started under this lease."""
        mark = mark_of(key, token)
        return mark in self._marks or -mark in self._marks

    def fatal(self, key: int, token: int) -> bool:
        """Whether it had, and is not to be tried again."""
        return -mark_of(key, token) in self._marks


def read_slate(path: str) -> Started | None:
    """What had started last in each slot; None where there is no slate to be read."""
    try:
        with open(path, "rb") as file:
            return _started(file.read())
    except OSError:
        return None


def _started(data: bytes) -> Started:
    whole = len(data) // _MARK.size * _MARK.size
    return Started(frozenset(mark for (mark,) in _MARK.iter_unpack(data[:whole]) if mark))


def is_abandoned(path: str) -> bool:
    """Whether nobody lives behind the slate at ``path`` any more; False also where there is none."""
    try:
        # Whoever looks shares the lock: it keeps out nobody who looks, and a rescuer for a moment at most.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return bool(os.fstat(fd).st_nlink)
    finally:
        os.close(fd)


class FileSlate:
    """The worker's side: created and locked by the supervisor, attached by its children."""

    def __init__(self, fd: int, path: str, slots: int) -> None:
        self.fd = fd
        self.path = path
        self._map = mmap.mmap(fd, max(1, slots) * _MARK.size)

    @classmethod
    def create(cls, path: str, slots: int) -> FileSlate:
        """Make and lock the file; its descriptor is inheritable. Raises OSError."""
        directory, name = os.path.split(path)
        draft = f"{directory}/{DRAFT}{name}"
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(fd, 0o600)
            # Not merely as long: a mark that finds the disk full would kill the process that sets it.
            os.posix_fallocate(fd, 0, max(1, slots) * _MARK.size)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.set_inheritable(fd, True)
            made = cls(fd, path, slots)
            # Named only once it is locked, so that no rescuer finds it free.
            os.rename(draft, path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                os.unlink(draft)
            raise
        return made

    @classmethod
    def attach(cls, fd: int) -> FileSlate:
        """The slate behind an inherited descriptor."""
        return cls(fd, "", os.fstat(fd).st_size // _MARK.size)

    def mark(self, slot: int, key: int, token: int) -> None:
        """The job of this lease starts in ``slot``."""
        _MARK.pack_into(self._map, slot * _MARK.size, mark_of(key, token))

    def mark_fatal(self, slot: int, key: int, token: int) -> None:
        """It starts there, and is not to be tried again should it crash."""
        _MARK.pack_into(self._map, slot * _MARK.size, -mark_of(key, token))

    def close(self) -> None:
        """Remove the file and let go of the lock (in the supervisor; children just end)."""
        self._map.close()
        if self.path:
            with suppress(OSError):
                os.unlink(self.path)
        os.close(self.fd)


class DeadSlate:
    """The rescuer's side: a slate whose worker and children are all gone, held while its jobs are taken back."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def seize(cls, path: str) -> DeadSlate | None:
        """The slate at ``path`` if nobody lives behind it; None if somebody does, or another rescuer was first."""
        try:
            # Read only, for flock asks for no more: and what another user's worker left is left to the lease.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(fd)
            # Another rescuer may have removed it between the two calls.
            if found.st_nlink and stat.S_ISREG(found.st_mode):
                return cls(fd, path)
        except OSError:
            pass
        os.close(fd)
        return None

    def started(self) -> Started:
        """What had started last in each slot."""
        return _started(os.pread(self._fd, os.fstat(self._fd).st_size, 0))

    def close(self, *, remove: bool) -> None:
        """Let go; ``remove`` when its jobs are safe."""
        if remove:
            with suppress(OSError):
                os.unlink(self._path)
        os.close(self._fd)
