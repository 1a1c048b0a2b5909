"""Customers sign up here."""

from __future__ import annotations

from shop.tasks import remind, welcome

DAY = 24 * 3600


def sign_up(address: str) -> None:
    """Register a customer, who is welcomed at once and reminded after a week."""
    welcome.delay(address)
    remind.apply_async([address], countdown=7 * DAY, tags={"kind": "reminder"})
