"""What a Redis server can promise; read from its settings where it shows them, and only when somebody asks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from redis import exceptions

from qtool.engine.broker import NO_SCHEDULES, Capabilities
from qtool.engine.brokers.redis.records import text

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store

UNSEEN = "Celery's workers, and what they ran, are not listed."

_REPLICAS = "replication is asynchronous: a replica that takes over may lack the last changes"


class _Settings:
    """What the server shows of its settings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _setting(self, name: str) -> str | None:
        """None where the server does not show it."""
        client = self._store.client
        with suppress(exceptions.ResponseError):
            found: Any = client.config_get(name)
            return next((text(value) for value in found.values()), None)
        # Servers for rent hide their settings, and tell of memory nevertheless.
        with suppress(exceptions.ResponseError):
            told: Any = client.info("memory")
            value = told.get(name.replace("-", "_"))
            return str(value) if value is not None else None
        return None


class _Asked(Sequence[str]):
    """Sentences or names; the server is asked at every look."""

    @abstractmethod
    def _now(self) -> list[str]: ...

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())


class _Hazards(_Settings, _Asked):
    """What can lose jobs, until somebody follows the advice."""

    def _now(self) -> list[str]:
        with self._store.translated():
            policy = _evicting(self._setting)
        if policy is None:
            return []
        return [
            f"The server at {self._store.url} throws jobs away when its memory is full: {policy}. "
            "Set it to noeviction: redis-cli config set maxmemory-policy noeviction"
        ]


class _Others(_Asked):
    """The queues that Celery's clients and workers have bound, as upkeep has found them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _now(self) -> list[str]:
        with self._store.translated():
            found: Any = self._store.client.smembers(self._store.layout.bound)
        return sorted(text(name) for name in found)


class _Weakened(_Settings, Mapping[int, str]):
    """The guarantees that this server weakens, with the reasons; the server is asked at the first look."""

    @cached_property
    def _found(self) -> dict[int, str]:
        return {1: f"{_disk(self._setting)}; {_REPLICAS}", **_more(self._setting), 5: NO_SCHEDULES}

    def __getitem__(self, number: int) -> str:
        with self._store.translated():
            return self._found[number]

    def __iter__(self) -> Iterator[int]:
        with self._store.translated():
            return iter(self._found)

    def __len__(self) -> int:
        with self._store.translated():
            return len(self._found)


def _disk(setting: Any) -> str:
    append, sync = setting("appendonly"), setting("appendfsync")
    if append is None:
        return "the server does not show how it writes to disk"
    if append != "yes":
        saves = setting("save")
        return (
            "the server writes snapshots now and then (appendonly is off): a crash loses what came since"
            if saves
            else "the server writes nothing to disk (appendonly is off, and so are snapshots)"
        )
    if sync == "always":
        return "every change is on the server's disk when it is acknowledged"
    if sync == "everysec":
        return "the server syncs its log once a second (appendfsync everysec): a crash loses up to a second"
    return "the server leaves syncing to its system (appendfsync no): a crash loses some seconds"


def _more(setting: Any) -> dict[int, str]:
    if setting("maxmemory-policy") is None:
        return {2: "the server does not show whether it throws jobs away when its memory is full"}
    policy = _evicting(setting)
    return {2: f"the server may throw jobs away when its memory is full ({policy})"} if policy else {}


def _evicting(setting: Any) -> str | None:
    """The setting by which the server throws away whatever it likes; None where it keeps jobs.

    The policies that are named volatile take only what has a time to live, which of ours are results and statistics.
    """
    policy = setting("maxmemory-policy")
    if policy is None or not policy.startswith("allkeys-") or setting("maxmemory") == "0":
        return None
    return f"maxmemory-policy is {policy}"


def capabilities(store: Store) -> Capabilities:
    """Of the broker behind ``store``; nothing is asked of it yet."""
    return Capabilities(
        name="redis",
        shared=True,
        durable=True,
        network=True,
        # kombu's priority steps: 0, 1 to 3, 4 to 6, and 7 to 9.
        priority_levels=4,
        # Nobody waits half a minute for what a worker on another host held that is gone.
        lease=10.0,
        local_rescue=True,
        unseen=UNSEEN,
        weakened=_Weakened(store),
        hazards=_Hazards(store),
        others=_Others(store),
    )
