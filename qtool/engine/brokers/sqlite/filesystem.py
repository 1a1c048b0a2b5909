"""What the embedded file asks of the file system: a local disk, a private directory, room."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from qtool.errors import BrokerError, BrokerFull, BrokerReadOnly, NetworkFileSystem

NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""File system types where locks or shared memory do not hold between hosts, as the kernel names them."""


def kind_of(path: str, mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the file system that holds ``path``; None where the system does not tell."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    real = os.path.realpath(path)
    best, kind = "", None
    for line in lines:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The last of several mounts on one point is the visible one.
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def refuse_network(path: str, url: str, mounts: str = "/proc/self/mounts") -> None:
    """Raises NetworkFileSystem where ``path`` is not on a local disk."""
    kind = kind_of(path, mounts)
    if kind in NETWORK:
        raise NetworkFileSystem(url=url, kind=kind)


def prepare_file(path: str) -> None:
    """Make the file if it is not there; a new or empty one is its owner's alone (0600) whatever the umask.

    One that is in use is not opened: closing it again would let go of the locks that other connections of this
    process hold on it (sqlite.org/howtocorrupt.html, section 2.2). Raises OSError.
    """
    if _in_use(path):
        return
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        os.makedirs(parent, 0o700)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(fd)
        if found.st_size == 0 and found.st_mode & 0o777 != 0o600 and found.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _in_use(path: str) -> bool:
    """Whether there is something in the file that may be read and written."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0 and os.access(path, os.R_OK | os.W_OK)


def identity(path: str) -> tuple[int, int] | None:
    """What tells the file at ``path`` from any other; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def prepare_directory(directory: str) -> None:
    """Make the directory beside the file (0700), and those within, if they are not there. Raises OSError."""
    for name in (directory, f"{directory}/bells", f"{directory}/workers"):
        if not os.path.isdir(name):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700)
                os.chmod(name, 0o700)


def is_full(path: str) -> bool:
    """Whether the disk that holds ``path`` has no room for another page."""
    try:
        disk = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 64 * 1024


def refusal(error: OSError, path: str, url: str) -> BrokerError:
    """What an error of the system means for the file."""
    why = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BrokerReadOnly(url=url, why=f"{why} ({error.filename or path})")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BrokerFull(url=url, why=why)
    return BrokerError(url=url, why=f"{why} ({error.filename or path})")
