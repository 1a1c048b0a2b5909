"""A private RabbitMQ."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

from .private import LOOPBACK, NotServing, PrivateServer, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Debian's /usr/sbin/rabbitmq-server changes to the user of the machine's own server; the program below it does not.
PLACES = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")


def program() -> str | None:
    """The server that this machine has, by its whole path; None if it has none."""
    return next((path for path in map(shutil.which, PLACES) if path), None)


class RabbitServer(PrivateServer):
    """A RabbitMQ with a node name, an Erlang port mapper, a cookie and a database of its own."""

    PATIENCE = 90.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.mapper, self.distribution = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    def command(self) -> Sequence[str]:
        found = program()
        if found is None:
            raise NotServing("there is no rabbitmq-server on this machine: scripts/services install rabbitmq")
        return [found]

    @property
    def aftermath(self) -> Sequence[str]:
        """The port mapper outlives the node that started it."""
        return ("epmd", "-port", str(self.mapper), "-kill")

    def environment(self) -> Mapping[str, str]:
        own = {
            "HOME": self.directory,
            "ERL_EPMD_PORT": self.mapper,
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"qtool{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self.distribution,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": self.directory / "mnesia",
            "RABBITMQ_LOG_BASE": self.directory / "logs",
            "RABBITMQ_SCHEMA_DIR": self.directory / "schema",
            "RABBITMQ_GENERATED_CONFIG_DIR": self.directory / "config",
            "RABBITMQ_PID_FILE": self.directory / "node.pid",
            # Files that are not there: the machine's own settings are for the machine's own server.
            "RABBITMQ_CONFIG_FILE": self.directory / "rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.directory / "advanced",
            "RABBITMQ_CONF_ENV_FILE": self.directory / "environment",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.directory / "plugins",
        }
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return theirs | {name: str(value) for name, value in own.items()}

    def ready(self) -> bool:
        """Whether it answers a client's greeting with its own."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return client.recv(1) == b"\x01"
        except OSError:
            return False
