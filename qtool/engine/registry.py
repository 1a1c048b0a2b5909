"""URL scheme to adapter."""

from __future__ import annotations

from importlib import import_module

from qtool.engine.broker import Adapter
from qtool.engine.policy import KEEP, Retention
from qtool.errors import UnknownScheme

ADAPTERS: dict[str, str] = {
    "sqlite": "qtool.engine.brokers.sqlite:open_sqlite",
    "memory": "qtool.engine.brokers.memory:open_memory",
    **dict.fromkeys(("redis", "rediss", "redis+socket", "unix", "sentinel"), "qtool.engine.brokers.redis:open_redis"),
}
LOCAL = frozenset({"sqlite", "memory"})
"""Those whose permissions are the lock; to all others commands go signed."""
"""Names, not imports: opening one broker loads no other's client."""


def open_broker(
    url: str, *, retention: Retention = KEEP, patience: float | None = None, key: str | None = None
) -> Adapter:
    """The adapter for ``url``: ``sqlite:///abs/file.db``, ``sqlite:rel.db``, a plain path, or ``memory:``.

    ``retention`` says how long finished jobs are kept by who upkeeps the queues; ``patience`` for how many seconds a
    call waits for another process before it raises BrokerBusy; ``key`` signs commands where they go over a network
    (:mod:`qtool.engine.signing`). Raises UnknownScheme, BrokerError.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or "/" in scheme:
        scheme, url = "sqlite", f"sqlite:{url}"
    try:
        module, _, name = ADAPTERS[scheme].partition(":")
    except KeyError:
        raise UnknownScheme(scheme=scheme, known=", ".join(ADAPTERS)) from None
    signing = {} if scheme in LOCAL else {"key": key}
    adapter = getattr(import_module(module), name)(url, retention=retention, patience=patience, **signing)
    assert isinstance(adapter, Adapter)
    return adapter
