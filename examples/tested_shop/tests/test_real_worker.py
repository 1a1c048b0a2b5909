"""The whole way: a worker's process, a file, a result."""

from __future__ import annotations

from shop.tasks import report, welcome

from qtool.testing import real_worker


def test_the_whole_way() -> None:
    with real_worker("shop.tasks") as worker:
        assert welcome.delay("ann@example.com").result(timeout=30) == "sent to ann@example.com"
        assert report.delay(["ann@example.com"]).result(timeout=30) == {"example.com": 1}
        assert worker.client.adapter().inspector.count() == 2
