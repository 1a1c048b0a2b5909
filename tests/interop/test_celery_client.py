"""A real Celery client, and qtool's worker running qtool's own tasks under the same names."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import celery.exceptions
import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery import chain, chord, group
from celery.canvas import chunks, xmap, xstarmap

from tests.interop import proj
from tests.interop.conftest import Fleet, until

WAIT = 20


@pytest.fixture(scope="module", autouse=True)
def worker(fleet: Fleet) -> None:
    fleet.qtool_worker("-Q", "celery,other", "-j", "3")


def test_a_result_arrives(fleet: Fleet) -> None:
    result = fleet.sig("add", 2, 3).delay()
    assert result.get(WAIT) == 5
    assert (result.state, result.children, result.traceback) == ("SUCCESS", [], None)
    assert fleet.send("same", "é", [1, {"k": None}], kwargs={"x": 1.5}).get(WAIT) == [
        ["é", [1, {"k": None}]],
        {"x": 1.5},
    ]


def test_exceptions_are_raised_again(fleet: Fleet) -> None:
    result = fleet.send("boom")
    with pytest.raises(ValueError, match="boom") as raised:
        result.get(WAIT)
    assert raised.value.args == ("boom", {"k": 1})
    assert result.state == "FAILURE"
    assert "raise ValueError" in result.traceback
    with pytest.raises(proj.Odd, match="how"):
        fleet.send("odd").get(WAIT)
    with pytest.raises(KeyError) as missing:
        fleet.send("missing").get(WAIT)
    assert missing.value.args == ("key",)


def test_a_task_that_nobody_has(fleet: Fleet) -> None:
    result = fleet.send("nobody")
    with pytest.raises(celery.exceptions.NotRegistered) as raised:
        result.get(WAIT)
    assert raised.value.args == ("proj.nobody",)


@pytest.mark.parametrize("way", ["countdown", "eta"])
def test_not_before_its_time(fleet: Fleet, way: str, tmp_path: Any) -> None:
    due = time.time() + 1.5
    when: dict[str, Any] = {"countdown": 1.5} if way == "countdown" else {"eta": datetime.fromtimestamp(due, UTC)}
    file = tmp_path / "ran"
    result = fleet.send("mark", str(file), way, **when)
    assert result.get(WAIT) == way
    assert file.stat().st_mtime >= due - 0.01
    assert file.stat().st_mtime < due + 3


def test_what_is_too_late_does_not_run(fleet: Fleet, tmp_path: Any) -> None:
    file = tmp_path / "ran"
    late = fleet.send("mark", str(file), "late", expires=datetime.now(UTC) - timedelta(seconds=5))
    with pytest.raises(celery.exceptions.TaskRevokedError, match="expired"):
        late.get(WAIT)
    assert late.state == "REVOKED"
    # Due only when its time is over.
    never = fleet.send("mark", str(file), "never", countdown=3, expires=1)
    with pytest.raises(celery.exceptions.TaskRevokedError):
        never.get(WAIT)
    assert not file.exists()


def test_time_limits(fleet: Fleet) -> None:
    soft = fleet.send("sleep", 30, soft_time_limit=0.5)
    hard = fleet.send("sleep", 30, time_limit=0.5)
    with pytest.raises(SoftTimeLimitExceeded):
        soft.get(WAIT)
    with pytest.raises(TimeLimitExceeded):
        hard.get(WAIT)


def test_retries_are_seen(fleet: Fleet) -> None:
    result = fleet.send("flaky", 2)
    seen = set()
    end = time.monotonic() + WAIT
    while result.state not in ("SUCCESS", "FAILURE") and time.monotonic() < end:
        seen.add(result.state)
        time.sleep(0.02)
    assert "RETRY" in seen
    assert result.get(WAIT) == 3


def test_a_task_that_was_retried_by_its_client(fleet: Fleet) -> None:
    """Its retries count: one is left of three."""
    result = fleet.send("flaky", 9, retries=2)
    assert isinstance(result.get(WAIT, propagate=False), Exception)
    (job,) = fleet.adapter.inspector.get([result.id])
    assert job is not None
    assert job.failures == 4


def test_callbacks(fleet: Fleet) -> None:
    result = fleet.send("add", 2, 3, link=fleet.sig("add", 10))
    assert result.get(WAIT) == 5
    (child,) = result.children
    assert child.get(WAIT) == 15
    several = fleet.send("add", 2, 3, link=[fleet.sig("add", 10), fleet.sig("same", immutable=True)])
    assert several.get(WAIT) == 5
    ((first, second),) = [each.results for each in several.children]
    assert (first.get(WAIT), second.get(WAIT)) == (15, [[], {}])


def test_errbacks(fleet: Fleet, tmp_path: Any) -> None:
    file = tmp_path / "called"
    result = fleet.send("boom", link_error=fleet.sig("mark", str(file), immutable=True, kwargs={"word": "called"}))
    with pytest.raises(ValueError, match="boom"):
        result.get(WAIT)
    until(lambda: file.exists() and "end called" in file.read_text())


def test_results_nobody_wants(fleet: Fleet, tmp_path: Any) -> None:
    file = tmp_path / "ran"
    result = fleet.send("mark", str(file), "quiet", ignore_result=True)
    until(lambda: file.exists() and "end quiet" in file.read_text())
    (job,) = until(lambda: [each for each in fleet.adapter.inspector.get([result.id]) if each and each.finished_at])
    assert job.state == "succeeded"
    assert fleet.app.backend.client.get(fleet.app.backend.get_key_for_task(result.id)) is None


def test_a_task_that_wants_no_results_kept(fleet: Fleet, tmp_path: Any) -> None:
    """Nothing is, as with Celery; what follows is sent all the same, and the job's own state is known."""
    file = tmp_path / "called"
    link = fleet.sig("mark", str(file), immutable=True, kwargs={"word": "called"})
    sent = fleet.send("quiet", 0, link=link)
    until(lambda: file.exists() and "end called" in file.read_text())
    mine = fleet.qtool("enqueue", "proj.quiet", ":=0", "--wait").stdout.strip()
    ids = [sent.id, mine]
    until(lambda: all(job is not None and job.finished_at for job in fleet.adapter.inspector.get(ids)))
    for job in fleet.adapter.inspector.get(ids):
        assert job is not None
        assert job.state == "succeeded"
        assert fleet.app.backend.client.get(fleet.app.backend.get_key_for_task(job.id)) is None
    assert fleet.qtool("result", mine).stdout.strip() == "null"


def test_a_retry_is_not_the_last_that_is_heard_of_it(fleet: Fleet) -> None:
    assert fleet.send("quiet", 1).get(WAIT) is None


def test_other_queues(fleet: Fleet) -> None:
    assert fleet.send("add", 1, 2, queue="other").get(WAIT) == 3
    routed = fleet.sig("elsewhere", 7).delay()
    assert routed.get(WAIT) == [[7], {}]
    (job,) = fleet.adapter.inspector.get([routed.id])
    assert job is not None
    assert job.queue == "other"


def test_started_is_a_state(fleet: Fleet) -> None:
    result = fleet.send("sleep", 0.5)
    assert result.get(WAIT) == 0.5


# --- canvas ------------------------------------------------------------------------------------------


def test_chains(fleet: Fleet) -> None:
    result = chain(fleet.sig("add", 1, 2), fleet.sig("add", 3), fleet.sig("add", 4)).apply_async()
    assert result.get(WAIT) == 10
    assert (result.parent.get(WAIT), result.parent.parent.get(WAIT)) == (6, 3)
    assert [each.id for each in result.parent.children] == [result.id]


def test_groups(fleet: Fleet) -> None:
    result = group(fleet.sig("add", n, n) for n in range(5)).apply_async()
    assert result.get(WAIT) == [0, 2, 4, 6, 8]


def test_chords(fleet: Fleet) -> None:
    result = chord([fleet.sig("add", n, n) for n in range(5)], fleet.sig("total")).apply_async()
    assert result.get(WAIT) == 20
    after = (
        group(fleet.sig("add", 1, 1), fleet.sig("add", 2, 2)) | fleet.sig("total") | fleet.sig("add", 1)
    ).apply_async()
    assert after.get(WAIT) == 7
    keys = fleet.app.backend.client.keys(f"{fleet.prefix}celery-taskset-meta-*")
    assert not [key for key in keys if not key.endswith(b".c")]


def test_chords_in_chords(fleet: Fleet) -> None:
    inner = chord([fleet.sig("add", 1, 1), fleet.sig("add", 2, 2)], fleet.sig("total"))
    result = chord([inner, fleet.sig("add", 3, 3)], fleet.sig("same")).apply_async()
    assert result.get(WAIT) == [[[6, 6]], {}]


def test_a_group_at_the_end(fleet: Fleet) -> None:
    result = (fleet.sig("add", 1, 2) | group(fleet.sig("add", 1), fleet.sig("add", 2))).apply_async()
    assert result.get(WAIT) == [4, 5]


def test_a_chain_that_fails(fleet: Fleet) -> None:
    result = chain(fleet.sig("add", 1, 2), fleet.sig("boom"), fleet.sig("add", 4)).apply_async()
    with pytest.raises(ValueError, match="boom"):
        result.get(WAIT)
    states = ("FAILURE", "FAILURE", "SUCCESS")
    until(lambda: (result.state, result.parent.state, result.parent.parent.state) == states)


def test_a_chord_that_fails(fleet: Fleet, tmp_path: Any) -> None:
    file = tmp_path / "called"
    told = fleet.sig("mark", str(file), immutable=True, kwargs={"word": "called"})
    body = fleet.sig("total").on_error(told)
    result = chord([fleet.sig("add", 1, 1), fleet.sig("boom")], body).apply_async()
    # Unless told otherwise the client raises the error of the part.
    error = result.get(WAIT, propagate=False)
    assert isinstance(error, celery.exceptions.ChordError)
    assert str(error).endswith("raised ValueError('boom', {'k': 1})")
    until(file.exists)


def test_a_part_that_expires_breaks_its_chord(fleet: Fleet) -> None:
    late = fleet.sig("add", 1, 1).set(expires=datetime.now(UTC) - timedelta(seconds=5))
    result = chord([late, fleet.sig("add", 2, 2)], fleet.sig("total")).apply_async()
    error = result.get(WAIT, propagate=False)
    assert isinstance(error, celery.exceptions.ChordError)
    assert "TaskRevokedError('expired')" in str(error)


def test_one_task_for_many_items(fleet: Fleet) -> None:
    assert xmap(fleet.sig("total"), [[1, 2], [3]], app=fleet.app).delay().get(WAIT) == [3, 3]
    pairs = [(n, n) for n in range(5)]
    assert xstarmap(fleet.sig("add"), pairs, app=fleet.app).delay().get(WAIT) == [0, 2, 4, 6, 8]
    assert chunks(fleet.sig("add"), pairs, 2, app=fleet.app).delay().get(WAIT) == [[0, 2], [4, 6], [8]]


def test_the_family_is_told(fleet: Fleet) -> None:
    result = chain(fleet.sig("add", 1, 2), fleet.sig("add", 3)).apply_async()
    result.get(WAIT)
    meta = fleet.app.backend.get_task_meta(result.id)
    assert meta["parent_id"] == result.parent.id
