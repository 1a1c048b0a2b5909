"""Each test starts with an empty letter box."""

from __future__ import annotations

import pytest
from shop import post


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was sent."""
    monkeypatch.setattr(post, "closed", 0)
    monkeypatch.setattr(post, "sent", [])
    return post.sent
