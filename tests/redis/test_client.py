"""The Python client on Redis: one batch is made while the server takes in the one before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool import connect
from qtool.errors import NotSerialisable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.client import Client


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with connect(redis_url) as client:
        yield client


def test_many_jobs_come_in_in_order(client: Client) -> None:
    batch = client.send_many("t", ((number,) for number in range(2500)))
    (queue,) = client.adapter().inspector.snapshot().queues
    assert sum(queue.counts.values()) == len(batch) == 2500
    leases = client.adapter(write=True).broker.claim("w", (), 2500)
    assert [lease.id for lease in leases] == [job.id for job in batch]


def test_a_bad_item_is_named_and_what_came_before_stays(client: Client) -> None:
    items: list[tuple[Any]] = [(number,) for number in range(3500)]
    items[2200] = (object(),)
    with pytest.raises(NotSerialisable, match="Item 2200 cannot be written as JSON") as caught:
        client.send_many("t", items)
    assert caught.value.__notes__ == ["2000 jobs were enqueued before this."]
    assert client.adapter().inspector.count() == 2000


def test_an_iterable_that_fails_keeps_what_came_before(client: Client) -> None:
    def items() -> Iterator[tuple[int]]:
        for number in range(2001):
            yield (number,)
        raise OSError("the file ended early")

    with pytest.raises(OSError, match="ended early") as caught:
        client.send_many("t", items())
    assert caught.value.__notes__ == ["2000 jobs were enqueued before this."]
    assert client.adapter().inspector.count() == 2000
