"""What Celery's tools, and an application's own code, call a worker."""

from __future__ import annotations

import os
import socket


def node_name(said: str | None) -> str:
    """What Celery's tools call a worker: ``said@host``, with the host's name for ``%h``, its first part for ``%n``
    and the rest for ``%d``; by its process where none is said, so that no two have the same.
    """
    host = socket.gethostname()
    if not said:
        return f"qtool-{os.getpid()}@{host}"
    first, _, domain = host.partition(".")
    name = said.replace("%h", host).replace("%n", first).replace("%d", domain)
    return name if "@" in name else f"{name}@{host}"
