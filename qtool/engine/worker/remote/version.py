"""Which qtool this is."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Looked up when it is asked for: a worker without anybody to tell it to does not pay for it."""
    from importlib import metadata

    return metadata.version("qtool")
