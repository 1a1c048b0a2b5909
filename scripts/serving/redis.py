"""A private Redis."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from .private import LOOPBACK, NotServing, PrivateServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROGRAMS = ("redis-server", "valkey-server")


def program() -> str | None:
    """The server that this machine has, by its whole path; None if it has none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class RedisServer(PrivateServer):
    """A Redis on a port and a unix socket of its own, empty at first, that writes nothing to disk unless told.

    ``options`` are the server's own, as on its command line: ``"--appendonly", "yes"``. With ``tls`` the port speaks
    TLS only, and :attr:`authority` is the certificate to trust.
    """

    def __init__(self, directory: Path, *options: str, password: str | None = None, tls: bool = False) -> None:
        super().__init__(directory)
        self.options = options
        self.password = password
        self.tls = tls

    @property
    def unix_socket(self) -> Path:
        """The path of its unix socket."""
        return self.directory / "socket"

    @property
    def authority(self) -> Path:
        """The certificate that a client trusts, and the server's own."""
        return self.directory / "certificate.pem"

    @property
    def key(self) -> Path:
        """The private key of :attr:`authority`."""
        return self.directory / "key.pem"

    @property
    def url(self) -> str:
        """Its address, with the password if it has one, without a database."""
        password = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"{'rediss' if self.tls else 'redis'}://{password}{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str]:
        found = program()
        if found is None:
            raise NotServing(f"there is no {PROGRAMS[0]} on this machine: scripts/services install redis")
        listens = ["--port", str(self.port)]
        if self.tls:
            files = ("--tls-cert-file", str(self.authority), "--tls-key-file", str(self.key))
            listens = ["--port", "0", "--tls-port", str(self.port), *files, "--tls-auth-clients", "no"]
        return [
            found,
            *listens,
            *("--bind", LOOPBACK),
            *("--dir", str(self.directory)),
            # From its directory: the whole path may be longer than the name of a socket can be.
            *("--unixsocket", self.unix_socket.name),
            *("--save", ""),
            *(("--requirepass", self.password) if self.password else ()),
            *self.options,
        ]

    def start(self) -> None:
        if self.tls and not self.authority.exists():
            self._certify()
        super().start()

    def _certify(self) -> None:
        """A certificate for a day, that vouches for itself."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
        names = ("-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{LOOPBACK},DNS:localhost")
        files = ("-keyout", str(self.key), "-out", str(self.authority))
        done = subprocess.run(["openssl", *kind, *names, *files], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotServing(f"openssl made no certificate: {done.stderr}")

    def ready(self) -> bool:
        """Whether it takes commands: not while it reads what it had written to disk."""
        try:
            return self.ask("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection to it, on which nothing was said yet. Raises OSError."""
        with socket.create_connection((LOOPBACK, self.port), timeout=5.0) as plain:
            if not self.tls:
                yield plain
                return
            context = ssl.create_default_context(cafile=str(self.authority))
            with context.wrap_socket(plain, server_hostname=LOOPBACK) as secure:
                yield secure

    def ask(self, *lines: str) -> bytes:
        """What it answers to the last of these commands, as it stands on the wire. Raises OSError."""
        answer = b""
        with self.connection() as connection:
            for line in lines:
                connection.sendall(f"{line}\r\n".encode())
                answer = connection.recv(65536)
        return answer
