"""Jobs in memory, run when the test says so."""

from __future__ import annotations

import pytest
from shop import post
from shop.customers import DAY, sign_up
from shop.tasks import remind, report, welcome

from qtool.testing import Jobs

Letters = list[tuple[str, str]]


def test_signing_up_sends_a_mail_and_schedules_a_reminder(qtool_jobs: Jobs, letters: Letters) -> None:
    sign_up("ann@example.com")
    qtool_jobs.assert_enqueued(welcome, args=["ann@example.com"], queue="mail")
    qtool_jobs.assert_enqueued(remind, tags={"kind": "reminder"})

    qtool_jobs.run()
    assert letters == [("ann@example.com", "Welcome!")]

    qtool_jobs.advance(7 * DAY)
    assert letters[1:] == [("ann@example.com", "Come back!")]
    qtool_jobs.assert_not_enqueued()


def test_a_closed_post_office_is_tried_again(
    qtool_jobs: Jobs, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "closed", 2)
    handle = welcome.delay("ann@example.com")

    (first,) = qtool_jobs.run()
    assert first.state == "retry"
    assert isinstance(first.error, ConnectionError)

    qtool_jobs.advance(10)
    assert letters == []
    qtool_jobs.advance(20)
    assert letters == [("ann@example.com", "Welcome!")]
    assert handle.info().attempt == 3


def test_it_gives_up_after_three_retries(qtool_jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "closed", 99)
    welcome.delay("ann@example.com")
    with pytest.raises(ConnectionError, match="the post office is closed"):
        qtool_jobs.drain()


def test_what_is_no_address_is_nobodys_worry(qtool_jobs: Jobs) -> None:
    handle = welcome.delay("ann")
    (ran,) = qtool_jobs.run()
    assert (ran.state, ran.job.reason) == ("dead", "discarded")
    assert handle.failed()


def test_whoever_waits_lets_the_worker_run(qtool_jobs: Jobs) -> None:
    assert report.delay(["ann@example.com", "bob@example.com"]).result() == {"example.com": 2}


def test_every_test_has_jobs_of_its_own(qtool_jobs: Jobs) -> None:
    assert qtool_jobs.all == []
