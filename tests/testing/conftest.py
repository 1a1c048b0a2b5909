"""Tasks of a test's own."""

from __future__ import annotations

import pytest

from qtool.engine import hooks, middleware, tasks


@pytest.fixture(autouse=True)
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_tasks", {})
    monkeypatch.setattr(hooks, "producers", [])
    monkeypatch.setattr(middleware, "registered", [])
    monkeypatch.setattr(middleware, "_composed", {})
