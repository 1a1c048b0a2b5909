"""The adapters under test. A new one joins by its line in ``URLS`` (and in :data:`qtool.engine.registry.ADAPTERS`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from qtool.engine.broker import Adapter
from qtool.engine.clock import ManualClock
from qtool.engine.policy import KEEP, Retention
from qtool.engine.registry import ADAPTERS
from tests.conformance.drive import Drive
from tests.services import place

if TYPE_CHECKING:
    from pathlib import Path

URLS: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "memory": lambda _request, _directory: "memory:",
    "sqlite": lambda _request, directory: f"sqlite://{directory}/jobs.db",
    "redis": lambda request, _directory: place(request.getfixturevalue("redis_server")),
}
"""The address of a new, empty store of each kind; ``-k redis`` runs only those of one kind."""

MakeAdapter = Callable[..., Adapter]
"""Opens a handle on the test's one store; ``retention=`` sets how long finished jobs are kept."""

Fresh = Callable[[], tuple[MakeAdapter, ManualClock]]
"""A new, empty store with a clock of its own, each time."""


@pytest.fixture(params=sorted(URLS.keys() & ADAPTERS.keys()))
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """For tests that need several stores."""
    scheme: str = request.param
    module, _, name = ADAPTERS[scheme].partition(":")
    open_ = getattr(import_module(module), name)
    every: list[Adapter] = []
    stores = 0

    def new() -> tuple[MakeAdapter, ManualClock]:
        nonlocal stores
        stores += 1
        clock = ManualClock()
        directory = tmp_path / str(stores)
        directory.mkdir()
        url = URLS[scheme](request, directory)
        mine: list[Adapter] = []

        def make(retention: Retention = KEEP) -> Adapter:
            if mine and not mine[0].capabilities.shared:
                # A second handle where the store is shared, the same one where it is not.
                return mine[0]
            adapter: Adapter = open_(url, clock=clock, retention=retention)
            mine.append(adapter)
            every.append(adapter)
            return adapter

        return make, clock

    yield new
    for adapter in every:
        adapter.close()


@pytest.fixture
def store(fresh: Fresh) -> tuple[MakeAdapter, ManualClock]:
    return fresh()


@pytest.fixture
def make_adapter(store: tuple[MakeAdapter, ManualClock]) -> MakeAdapter:
    return store[0]


@pytest.fixture
def clock(store: tuple[MakeAdapter, ManualClock]) -> ManualClock:
    return store[1]


@pytest.fixture
def adapter(make_adapter: MakeAdapter) -> Adapter:
    return make_adapter()


@pytest.fixture
def drive(adapter: Adapter, clock: ManualClock) -> Drive:
    return Drive(adapter, clock)
