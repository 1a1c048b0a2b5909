"""What a worker learns of a Celery application before it starts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Queue

from qtool.engine.worker.celery.describe import described, same, shown, url_of
from qtool.working.application import Application, ask

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "transport", "secure", "url"),
    [
        (None, {}, None, None),
        ("redis://host", {}, None, "redis://host"),
        ("redis://u:p%40@host:1/2", {}, None, "redis://u:p%40@host:1/2"),
        ("redis://host/2", {"global_keyprefix": "pre:"}, None, "redis://host/2?prefix=pre:"),
        ("redis://host/2", {"visibility_timeout": 7200}, None, "redis://host/2?visibility_timeout=7200"),
        ("redis+socket:///tmp/s?virtual_host=3", {}, None, "redis+socket:///tmp/s?db=3"),
        ("rediss://host?ssl_cert_reqs=CERT_NONE", {}, None, "rediss://host?ssl_cert_reqs=CERT_NONE"),
        ("redis://host", {}, {"ssl_cert_reqs": ssl.CERT_NONE}, "rediss://host?ssl_cert_reqs=CERT_NONE"),
        ("redis://host", {}, True, "rediss://host"),
        ("redis://one;redis://two", {}, None, "redis://one"),
        (["redis://one", "redis://two"], {}, None, "redis://one"),
        (
            "sentinel://:pw@a:1/2;sentinel://:pw@b:2/2",
            {"master_name": "main", "sentinel_kwargs": {"password": "s"}},
            None,
            "sentinel://:pw@a:1,b:2/main/2?sentinel_password=s",
        ),
        ("amqp://host//", {}, None, "amqp://host//"),
    ],
)
def test_a_broker_of_celery_s_as_qtool_writes_it(said: Any, transport: dict[str, Any], secure: Any, url: str) -> None:
    assert url_of(said, transport, secure) == url


def test_its_queues_are_those_that_celery_s_worker_serves() -> None:
    app = Celery("a", broker="redis://host/1", set_as_current=False)
    assert described([app]) == {"broker": "redis://host/1", "queues": ["celery"]}
    app.conf.task_default_queue = "work"
    other = Celery("b", set_as_current=False)
    other.conf.task_queues = (Queue("fast"), Queue("slow"))
    app = Celery("a", broker="redis://host/1", set_as_current=False)
    app.conf.task_default_queue = "work"
    assert described([app, other]) == {"broker": "redis://host/1", "queues": ["work", "fast", "slow"]}
    assert described([]) is None


def test_it_is_asked_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text("print('hello')\nfrom celery import Celery\napp = Celery(broker='redis://h')\n")
    (tmp_path / "plain.py").write_text("print('hello')\n")
    (tmp_path / "broken.py").write_text("import celery\nraise SystemExit(3)\n")
    assert ask(["plain", "shop"]) == Application("redis://h", ("celery",))
    assert ask(["plain"]) is None
    assert ask(["broken"]) is None
    assert ask([]) is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("redis://:pw@127.0.0.1/0?timeout=3", "redis://localhost:6379", True),
        ("sentinel://b,a:1/main", "sentinel://:pw@a:1,b:26379/main/0", True),
        ("redis://h/0?prefix=a:", "redis://h/0", False),
        ("redis://h/1", "redis://h/0", False),
        ("redis://h/0?socket_keepalive=1", "redis://h/0?socket_keepalive=1", True),
        ("amqp://guest:guest@h//", "redis://h/0", False),
    ],
)
def test_two_ways_to_write_a_place(one: str, other: str, alike: bool) -> None:
    assert same(one, other) is alike


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://me:pw@h/1", "redis://me@h:6379/1"),
        ("redis://me:pw@h/1?odd=x", "redis://h/1"),
        ("amqp://me:pw@h:5672//", "amqp://h:5672//"),
    ],
)
def test_it_is_told_without_a_password(url: str, told: str) -> None:
    assert shown(url) == told
