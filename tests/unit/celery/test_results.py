"""Celery's results: ours read by Celery's own code, Celery's read by ours."""

from __future__ import annotations

import json
import zlib
from typing import Any

import celery.exceptions
import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.backends.base import KeyValueStoreBackend
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.celery import results as r
from qtool.engine.celery.message import Message, decode_message, encode_message, reissue
from qtool.engine.job import Cancel, Done, Fail, Failure, Job, Lease, Outcome, Policy, Retry, Snooze
from qtool.engine.policy import decide
from qtool.engine.states import Reason, State
from qtool.errors import Undecodable
from tests.unit.celery.test_message import published
from tests.unit.test_codec import texts, values

app = Celery("proj", broker="memory://", set_as_current=False)
backend = KeyValueStoreBackend(app=app)
LEASE = Lease("job-1", "proj.add", "celery", 7, 1, 0, 0, "[[],{}]", None, 3, 1e9)
AT = 1795337300.5


def stored(outcome: Outcome, of: Message | None = None, **policy: Any) -> bytes | None:
    settlement = decide(LEASE, outcome, Policy(**policy), started_at=AT - 1, now=AT, random=lambda: 0.5)
    return r.settled(settlement, of)


def read(raw: bytes | None) -> dict[str, Any]:
    """As a Celery client reads it."""
    assert raw is not None
    meta: dict[str, Any] = backend.decode_result(raw)
    assert meta["task_id"] == "job-1"
    return meta


@given(values)
def test_a_value_arrives(value: Any) -> None:
    raw = stored(Done(json.dumps(value)))
    meta = read(raw)
    assert (meta["status"], meta["result"], meta["children"], meta["traceback"]) == ("SUCCESS", value, [], None)
    assert meta["date_done"] == "2026-11-22T08:48:20.500000+00:00"
    back = r.decode_result(raw or b"")
    assert (back.id, back.state, back.done_at, back.error) == ("job-1", State.SUCCEEDED, AT, None)
    assert json.loads(back.value or "null") == value
    assert back.result.value == back.value


def failed(kind: str, message: str, reason: Reason = Reason.FAILED, **said: Any) -> Fail:
    return Fail(Failure(type=kind, message=message, **said), reason, final=True)


@pytest.mark.parametrize(
    ("kind", "message", "kin", "args"),
    [
        ("ValueError", "no", ValueError, ("no",)),
        ("ValueError", "", ValueError, ()),
        ("KeyError", "'x'", KeyError, ("x",)),
        ("ValueError", "('x', {'k': 1})", ValueError, ("x", {"k": 1})),
        ("ValueError", "(not one)", ValueError, ("(not one)",)),
        ("json.decoder.JSONDecodeError", "line 1", Exception, None),
        ("celery.exceptions.Ignore", "it", celery.exceptions.Ignore, ("it",)),
    ],
)
def test_an_exception_is_raised_as_it_was(kind: str, message: str, kin: type[Exception], args: Any) -> None:
    raw = stored(failed(kind, message, traceback="Traceback (most recent call last):\n é"))
    meta = read(raw)
    assert meta["status"] == "FAILURE"
    assert isinstance(meta["result"], kin)
    assert args is None or meta["result"].args == args
    assert meta["traceback"].startswith("Traceback")
    back = r.decode_result(raw or b"")
    assert (back.state, back.reason) == (State.DEAD, Reason.FAILED)
    assert back.error == Failure(type=kind, message=message, traceback=meta["traceback"])
    assert back.value is None


@pytest.mark.parametrize(
    "kind", ["proj.errors.Odd", "proj.Outer.Inner", "proj.f.<locals>.E", "Crashed", "print", "odd"]
)
def test_an_exception_that_the_reader_does_not_have_is_made_up(kind: str) -> None:
    meta = read(stored(failed(kind, "why")))
    assert isinstance(meta["result"], Exception)
    assert type(meta["result"]).__name__ in (kind, "Odd", "Outer.Inner", "E", "Exception")
    assert "why" in str(meta["result"])


def test_what_only_qtool_calls_so_has_celerys_name() -> None:
    late = "the attempt ran longer than 1.5 s"
    soft = read(stored(failed("JobTimeout", late, Reason.TIMEOUT, traceback="Traceback")))["result"]
    assert isinstance(soft, SoftTimeLimitExceeded)
    killed = read(stored(failed("JobTimeout", f"{late} and was killed 5 s later", Reason.TIMEOUT)))["result"]
    assert isinstance(killed, TimeLimitExceeded)
    assert killed.args == (1.5,)
    hard = decode_message(published(headers={"id": "job-1", "timelimit": [1.5, None]}))
    raw = stored(failed("JobTimeout", late, Reason.TIMEOUT, traceback="Traceback"), hard)
    assert isinstance(read(raw)["result"], TimeLimitExceeded)
    assert r.decode_result(raw or b"").reason is Reason.TIMEOUT
    unknown = stored(failed("UnknownTask", "No task", Reason.UNKNOWN_TASK), hard)
    assert isinstance(read(unknown)["result"], celery.exceptions.NotRegistered)
    assert read(unknown)["result"].args == ("proj.add",)
    assert r.decode_result(unknown or b"").reason is Reason.UNKNOWN_TASK
    lost = stored(Fail(Failure(type="WorkerProcessKilled", message="by SIGKILL"), final=True, crashed=True))
    assert isinstance(read(lost)["result"], WorkerLostError)
    assert r.decode_result(lost or b"").reason is Reason.CRASHED


def test_a_retry_says_why() -> None:
    raw = stored(Retry(Failure(type="ValueError", message="no"), 5.0), retries=3)
    meta = read(raw)
    assert (meta["status"], meta["date_done"]) == ("RETRY", None)
    assert meta["children"] == [[["job-1", None], None]]
    assert isinstance(meta["result"], ValueError)
    back = r.decode_result(raw or b"")
    assert (back.state, back.error) == (State.RETRY, Failure(type="ValueError", message="no"))


def test_what_does_not_run_any_more_is_revoked() -> None:
    cancelled = stored(Cancel())
    assert read(cancelled)["status"] == "REVOKED"
    assert repr(read(cancelled)["result"]) == repr(celery.exceptions.TaskRevokedError("terminated"))
    assert r.decode_result(cancelled or b"").state is State.CANCELLED
    pending = r.ended("job-1", State.CANCELLED, AT)
    assert read(pending)["result"].args == ("revoked",)
    expired = r.ended("job-1", State.EXPIRED, AT)
    assert read(expired)["result"].args == ("expired",)
    assert r.decode_result(expired or b"").state is State.EXPIRED
    assert r.decode_result(expired or b"").error is None


def test_what_goes_on_leaves_nothing() -> None:
    assert stored(Snooze()) is None
    assert stored(Snooze(5.0)) is None
    assert r.ended("job-1", State.READY, AT) is None


def test_what_nobody_wants_is_not_stored() -> None:
    quiet = decode_message(published(headers={"ignore_result": True}))
    assert stored(Done("1"), quiet) is None
    assert stored(failed("ValueError", "no"), quiet) is None


def test_family_is_told() -> None:
    of = decode_message(published(headers={"id": "job-1", "group": "g1", "parent_id": "p1"}))
    raw = stored(Done("1"), of)
    back = r.decode_result(raw or b"")
    assert (back.group_id, back.parent_id) == ("g1", "p1")
    again = decode_message(reissue(decode_message(encode_message(Job(id="a", task="t", created_at=1))), retries=1))
    assert r.decode_result(stored(Done("1"), again) or b"").parent_id == "a"
    settlement = decide(LEASE, Done("1"), Policy(), started_at=AT, now=AT, random=lambda: 0.5)
    assert read(r.settled(settlement, of, [[["c1", None], None]]))["children"] == [[["c1", None], None]]


def test_a_start_is_told() -> None:
    raw = r.started("job-1", 5, "w1@here")
    assert read(raw)["result"] == {"pid": 5, "hostname": "w1@here"}
    back = r.decode_result(raw)
    assert (back.state, back.status) == (State.RUNNING, "STARTED")
    assert back.result.value is None


def test_a_state_of_the_tasks_own() -> None:
    raw = b'{"status":"PROGRESS","result":{"done":1},"traceback":null,"date_done":null,"task_id":"x","name":"proj.add"}'
    back = r.decode_result(raw)
    assert (back.state, back.status, back.value) == (State.RUNNING, "PROGRESS", '{"done":1}')
    assert back.extended == {"name": "proj.add"}


def test_packed_results() -> None:
    plain = b'{"status":"SUCCESS","result":"xxx","task_id":"x"}'
    assert r.decode_result(b"\0celery-compressed\0application/x-gzip\0" + zlib.compress(plain)).value == '"xxx"'
    with pytest.raises(Undecodable):
        r.decode_result(b"\0celery-compressed\0application/x-nothing\0" + plain)


@pytest.mark.parametrize("raw", [b"", b"\x80\x04K\x05.", b"[1]", b"{}", b'{"status":5}', b"[" * 99999])
def test_what_nobody_can_read_says_so(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        r.decode_result(raw)


@given(texts.map(lambda kind: kind.replace(".", "")), texts, st.none() | texts)
def test_any_error_can_be_told(kind: str, message: str, trace: str | None) -> None:
    raw = stored(failed(kind, message, traceback=trace))
    assert isinstance(read(raw)["result"], BaseException)
    assert r.decode_result(raw or b"").state is State.DEAD
