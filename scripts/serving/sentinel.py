"""A private Redis Sentinel: it watches a server and its replicas, and makes a replica the master when that is gone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .private import LOOPBACK, NotServing
from .redis import PROGRAMS, RedisServer, program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVICE = "mymaster"
"""What it calls the server that it watches."""

NOTICED = 0.5
"""Seconds without an answer after which a server is taken for dead."""


class RedisSentinel(RedisServer):
    """One that agrees with ``quorum - 1`` others, all of which watch ``master``; it finds replicas and the others."""

    def __init__(self, directory: Path, master: RedisServer, *, quorum: int = 1, password: str | None = None) -> None:
        super().__init__(directory, password=password)
        self.master = master
        self.quorum = quorum

    @property
    def _configuration(self) -> Path:
        return self.directory / "sentinel.conf"

    def command(self) -> Sequence[str]:
        found = program()
        if found is None:
            raise NotServing(f"there is no {PROGRAMS[0]} on this machine: scripts/services install redis")
        return [found, str(self._configuration), "--sentinel"]

    def start(self) -> None:
        if not self._configuration.exists():
            self._configure()
        super().start()

    def _configure(self) -> None:
        """Write its configuration, in which it keeps what it learns."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [
            f"port {self.port}",
            f"bind {LOOPBACK}",
            f"dir {self.directory}",
            f"sentinel monitor {SERVICE} {LOOPBACK} {self.master.port} {self.quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {NOTICED * 1000:.0f}",
            f"sentinel failover-timeout {SERVICE} 10000",
        ]
        if self.master.password:
            lines.append(f"sentinel auth-pass {SERVICE} {self.master.password}")
        if self.password:
            lines.append(f"requirepass {self.password}")
        self._configuration.write_text("\n".join(lines) + "\n")

    @property
    def _login(self) -> Sequence[str]:
        return [f"AUTH {self.password}"] if self.password else []

    def leads(self) -> int | None:
        """The port of who is the master now, as far as it knows. Raises OSError."""
        found = re.findall(rb"\r\n(\d+)\r\n", self.ask(*self._login, f"SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}"))
        return int(found[-1]) if found else None

    def knows(self) -> tuple[int, int]:
        """How many replicas and how many other sentinels it has found. Raises OSError."""
        said = self.ask(*self._login, f"SENTINEL MASTER {SERVICE}").split(b"\r\n")
        return _after(said, b"num-slaves"), _after(said, b"num-other-sentinels")


def _after(said: list[bytes], name: bytes) -> int:
    """The number that stands two lines (a length, itself) after a name."""
    return int(said[said.index(name) + 2]) if name in said else 0
