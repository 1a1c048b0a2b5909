"""One embedded file a test, on a clock that stands still until it is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from tests.conformance.drive import Drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "q.db")


@pytest.fixture
def adapter(path: str, clock: ManualClock) -> Iterator[Adapter]:
    with open_sqlite(f"sqlite:{path}", clock=clock) as opened:
        yield opened


@pytest.fixture
def drive(adapter: Adapter, clock: ManualClock) -> Drive:
    return Drive(adapter, clock)
