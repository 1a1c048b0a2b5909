"""Batch after batch: the next is made while the server works on the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.errors import NotSerialisable

if TYPE_CHECKING:
    from collections.abc import Iterator


def _batch(*ids: str) -> list[Job]:
    return [Job(id=id, task="t", created_at=0.0) for id in ids]


def test_each_batch_gets_its_own_receipt(redis_url: str) -> None:
    with open_broker(redis_url) as adapter:
        assert adapter.stream is not None
        adapter.broker.enqueue(_batch("b"))
        batches = [_batch("a", "b"), [], _batch("c", "c"), _batch("a", "d")]
        receipts = list(adapter.stream(batches))
        assert [(receipt.ids, set(receipt.existing)) for receipt in receipts] == [
            (("a", "b"), {"b"}),
            (("c", "c"), {"c"}),
            (("a", "d"), {"a"}),
        ]
        assert [lease.id for lease in adapter.broker.claim("w", (), 10)] == ["b", "a", "c", "d"]


def test_what_was_sent_is_answered_before_what_cannot_be_sent(redis_url: str) -> None:
    bad = Job(id="x", task="t", args=(object(),), created_at=0.0)
    with open_broker(redis_url) as adapter:
        assert adapter.stream is not None
        receipts = adapter.stream([_batch("a"), _batch("b"), [*_batch("c"), bad], _batch("d")])
        assert next(receipts).ids == ("a",)
        assert next(receipts).ids == ("b",)
        with pytest.raises(NotSerialisable):
            next(receipts)
        assert {lease.id for lease in adapter.broker.claim("w", (), 10)} == {"a", "b"}


def test_a_server_that_forgets_its_scripts_half_way(redis_url: str) -> None:
    def batches() -> Iterator[list[Job]]:
        for n in range(6):
            if n == 3:
                with Redis.from_url(redis_url.partition("?")[0]) as server:
                    server.script_flush()
            yield _batch(f"{n}")

    with open_broker(redis_url) as adapter:
        assert adapter.stream is not None
        assert [receipt.ids for receipt in adapter.stream(batches())] == [(f"{n}",) for n in range(6)]
