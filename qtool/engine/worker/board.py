"""The board: numbers that the supervisor and the launcher both map, each to be read also when the other cannot answer.

A message for each would wake the other side for nothing. Every number is eight bytes, aligned, with one writer.
"""

from __future__ import annotations

import mmap
import os
import struct

from qtool.engine.worker.descriptors import unnamed_file

_SECONDS = struct.Struct("<d")
_WHOLE = struct.Struct("<q")
_SIZE = 8
_RENEWED_AT, _PATIENCE, _HELD, _CUTS = range(0, 4 * _SIZE, _SIZE)


class Board:
    """The mapped file behind a descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, 0)

    @classmethod
    def create(cls) -> Board:
        """A new one."""
        return cls(unnamed_file(bytes(4 * _SIZE)))

    # --- the supervisor writes -----------------------------------------------------------------------

    def renewed(self, at: float) -> None:
        """The leases were renewed by something that began at this monotonic time."""
        _SECONDS.pack_into(self._map, _RENEWED_AT, at)

    @property
    def renewed_at(self) -> float:
        """When the supervisor last renewed its leases."""
        at: float = _SECONDS.unpack_from(self._map, _RENEWED_AT)[0]
        return at

    def be_patient(self, seconds: float) -> None:
        """For how long the supervisor may go without renewing while it holds leases."""
        _SECONDS.pack_into(self._map, _PATIENCE, seconds)

    @property
    def patience(self) -> float:
        """Seconds; 0 before the supervisor has said it."""
        seconds: float = _SECONDS.unpack_from(self._map, _PATIENCE)[0]
        return seconds

    def hold(self, *, anything: bool) -> None:
        """Whether the supervisor may hold leases."""
        _WHOLE.pack_into(self._map, _HELD, anything)

    @property
    def held(self) -> bool:
        """Whether the supervisor may hold leases."""
        return bool(_WHOLE.unpack_from(self._map, _HELD)[0])

    # --- the launcher writes -------------------------------------------------------------------------

    def cut(self) -> None:
        """The launcher is about to kill everything, for the supervisor has been silent for too long."""
        _WHOLE.pack_into(self._map, _CUTS, self.cuts + 1)

    @property
    def cuts(self) -> int:
        """How often that has happened."""
        count: int = _WHOLE.unpack_from(self._map, _CUTS)[0]
        return count

    def close(self) -> None:
        """Let go of it."""
        self._map.close()
        os.close(self.fd)
