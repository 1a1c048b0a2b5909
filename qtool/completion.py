"""What the shell completes: names that the broker knows. Silent whenever there is nothing to ask."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter

RECENT = 200
"""How many of the newest jobs are offered."""


def queue_names(incomplete: str) -> list[str]:
    """Queues whose name begins so; after a comma, for the last name of a list."""
    head, comma, last = incomplete.rpartition(",")
    with suppress(Exception), _adapter() as adapter:
        names = [queue.name for queue in adapter.inspector.snapshot().queues]
        return [head + comma + name for name in names if name.startswith(last)]
    return []


def job_ids(incomplete: str) -> list[str]:
    """Recent ids that begin so."""
    with suppress(Exception), _adapter() as adapter:
        return [job.id for job in adapter.inspector.browse(limit=RECENT).jobs if job.id.startswith(incomplete)]
    return []


def _adapter() -> Adapter:
    from qtool.config import load_settings, open_adapter

    return open_adapter(load_settings())


def context_names(incomplete: str) -> list[str]:
    """Contexts of the configuration file that begin so."""
    with suppress(Exception):
        from qtool.config import load_settings

        return [entry.name for entry in load_settings().contexts if entry.name.startswith(incomplete)]
    return []
