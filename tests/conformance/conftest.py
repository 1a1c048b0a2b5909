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

if TYPE_CHECKING:
    from pathlib import Path

URLS: dict[str, str] = {
    "memory": "memory:",
    "sqlite": "sqlite://{tmp}/jobs.db",
}

MakeAdapter = Callable[..., Adapter]
"""Opens a handle on the test's one store; ``retention=`` sets how long finished jobs are kept."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=sorted(URLS))
def make_adapter(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[MakeAdapter]:
    """A second handle where the store is shared, the same one where it is not."""
    scheme: str = request.param
    module, _, name = ADAPTERS[scheme].partition(":")
    open_ = getattr(import_module(module), name)
    opened: list[Adapter] = []

    def make(retention: Retention = KEEP) -> Adapter:
        if opened and not opened[0].capabilities.shared:
            return opened[0]
        adapter: Adapter = open_(URLS[scheme].format(tmp=tmp_path), clock=clock, retention=retention)
        opened.append(adapter)
        return adapter

    yield make
    for adapter in opened:
        adapter.close()


@pytest.fixture
def adapter(make_adapter: MakeAdapter) -> Adapter:
    return make_adapter()


@pytest.fixture
def drive(adapter: Adapter, clock: ManualClock) -> Drive:
    return Drive(adapter, clock)
