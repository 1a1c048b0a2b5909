"""What the shop does in the background."""

from __future__ import annotations

from qtool import Discard, task
from shop import post


@task(queue="mail", retries=3, backoff=10, on_error={post.Refused: "discard"})
def welcome(address: str) -> str:
    """Send the welcome mail."""
    return post.send(address, "Welcome!")


@task
def remind(address: str) -> str:
    """Send a reminder, if the customer still wants one."""
    if address.startswith("gone"):
        raise Discard(f"{address} has left")
    return post.send(address, "Come back!")


@task
async def report(addresses: list[str]) -> dict[str, int]:
    """Count the customers of each host."""
    hosts = [address.partition("@")[2] for address in addresses]
    return {host: hosts.count(host) for host in hosts}
