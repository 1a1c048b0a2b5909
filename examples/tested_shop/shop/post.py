"""The post office: a service that the shop does not run itself, and that is sometimes closed."""

from __future__ import annotations

sent: list[tuple[str, str]] = []
closed = 0
"""How many deliveries will fail from now on."""


class Refused(Exception):
    """There is no such address."""


def send(address: str, text: str) -> str:
    """Deliver a text. Raises ConnectionError while the office is closed, Refused for what is no address."""
    global closed
    if closed:
        closed -= 1
        raise ConnectionError("the post office is closed")
    if "@" not in address:
        raise Refused(address)
    sent.append((address, text))
    return f"sent to {address}"
