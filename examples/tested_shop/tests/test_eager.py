"""Jobs that run where they are enqueued."""

from __future__ import annotations

import pytest
from shop import post
from shop.customers import sign_up
from shop.tasks import welcome

from qtool import JobFailed
from qtool.testing import eager

Letters = list[tuple[str, str]]


def test_everything_is_sent_at_once(letters: Letters) -> None:
    with eager():
        sign_up("ann@example.com")
    assert [text for _, text in letters] == ["Welcome!", "Come back!"]


def test_an_error_is_raised_where_the_job_is_enqueued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "closed", 99)
    with eager(), pytest.raises(ConnectionError):
        sign_up("ann@example.com")


def test_or_waits_in_the_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "closed", 99)
    with eager(raises=False):
        handle = welcome.delay("ann@example.com")
    assert handle.info().failures == 4
    with pytest.raises(JobFailed, match="the post office is closed"):
        handle.result()


def test_one_job_without_any_broker(letters: Letters) -> None:
    assert welcome.apply(["ann@example.com"]).result() == "sent to ann@example.com"
    assert letters == [("ann@example.com", "Welcome!")]
