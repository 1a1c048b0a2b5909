"""Celery's task messages: ours read by Celery's own code, anybody's read by ours."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import math
import zlib
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery
from celery.utils.time import timezone as celery_timezone
from celery.worker.request import Request
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import Connection
from kombu.asynchronous.timer import to_timestamp

from qtool.engine.celery import message as m
from qtool.engine.celery.body import EMPTY_EMBED, MAX_UNPACKED
from qtool.engine.celery.times import LAST
from qtool.engine.job import Job, Policy
from qtool.errors import ContentRefused, NotSerialisable, PayloadTooLarge, Undecodable
from tests.unit.test_codec import texts, values

app = Celery("proj", broker="memory://", set_as_current=False)
channel = Connection("memory://").channel()


@app.task(shared=False, name="proj.add")
def add(*args: Any, **kwargs: Any) -> None:
    """Never run."""


EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

names = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
spans = st.none() | st.floats(0, 1e300)
jobs = st.builds(
    Job,
    id=names,
    task=names,
    args=st.lists(values, max_size=3).map(tuple),
    kwargs=st.dictionaries(texts, values, max_size=3),
    queue=names,
    priority=st.integers(0, 9),
    created_at=st.floats(1, 1e10),
    run_at=st.none() | st.floats(0, 1e15),
    expires_at=st.none() | st.floats(0, 1e15),
    unique=st.none() | names,
    key=st.none() | names,
    key_limit=st.integers(1, 9),
    tags=st.dictionaries(texts, texts, max_size=2),
    parents=st.lists(texts, max_size=2).map(tuple),
    policy=st.builds(Policy, retries=st.none() | st.integers(0, 99), timeout=spans, grace=spans),
)


def job(**fields: Any) -> Job:
    return Job(**{"id": "job-1", "task": "proj.add", "args": (2, 3), "queue": "celery", "created_at": 1e9, **fields})


def received(raw: bytes) -> Request:
    """What a Celery worker makes of a message before it runs it; whatever this raises ends the worker."""
    arrived = channel.message_to_python(json.loads(raw))
    assert arrived.headers["task"]
    request = Request(arrived, app=app, task=add, hostname="w1@here", decoded=False)
    if request.eta:
        to_timestamp(celery_timezone.to_system(request.eta))
    request.revoked()
    assert json.loads(json.dumps(request.info(safe=True)))
    return request


@given(jobs)
@example(job(expires_at=-5.0, run_at=-5.0))
@example(job(run_at=1e200, expires_at=1e200))
def test_a_celery_worker_takes_every_message_of_ours(job: Job) -> None:
    raw = m.encode_message(job)
    assert raw.startswith(b'{"properties":{"delivery_tag":' + json.dumps(job.id).encode())
    arrived = channel.message_to_python(json.loads(raw))
    request = received(raw)
    assert (request.id, request.type) == (job.id, job.task)
    assert (tuple(request.args), request.kwargs) == (job.args, job.kwargs)
    assert arrived.delivery_tag == job.id
    assert arrived.delivery_info == {"exchange": "", "routing_key": job.queue}
    assert arrived.properties["priority"] == 9 - job.priority
    assert arrived.payload[2] == EMBED
    # What kombu writes when it gives the message back.
    assert json.loads(raw) == arrived.serializable() | {"headers": arrived.headers}


@given(jobs)
def test_a_message_says_all_of_the_job(job: Job) -> None:
    raw = m.encode_message(job)
    back = m.job_of(m.decode_message(raw), created_at=0)
    for name in Job.__slots__:
        if name in ("run_at", "expires_at"):
            said, read = getattr(job, name), getattr(back, name)
            assert (said is None) is (read is None)
            assert said is None or read == pytest.approx(min(said, LAST), abs=2e-6)
        else:
            assert getattr(back, name) == getattr(job, name)
    assert m.lease_body(raw) == m.decode_message(raw).body


@given(jobs, st.integers(0, 5), st.floats(0, 1e10))
def test_a_celery_worker_takes_what_is_issued_again(job: Job, retries: int, eta: float) -> None:
    first = m.decode_message(m.encode_message(job))
    raw = m.reissue(first, queue="elsewhere", priority=3, retries=retries, eta=eta, expires=None, body='[["x"],{}]')
    request = received(raw)
    assert raw.startswith(b'{"properties":{"delivery_tag":' + json.dumps(job.id).encode())
    assert (request.args, request.kwargs) == (["x"], {})
    assert request.parent_id == job.id
    again = m.decode_message(raw)
    assert (again.retries, again.queue, again.weight, again.expires) == (retries, "elsewhere", 3, None)
    assert again.eta == pytest.approx(eta, abs=2e-6)
    assert m.lease_body(raw) == '[["x"],{}]'
    assert m.decode_message(m.reissue(first)).options == first.options


def test_time_limits_are_celerys() -> None:
    def limits(**policy: Any) -> tuple[float | None, float | None]:
        return m.decode_message(m.encode_message(job(policy=Policy(**policy)))).timelimit

    assert limits() == (None, None)
    assert limits(timeout=10.0) == (15.0, 10.0)
    assert limits(timeout=10.0, grace=1.5) == (11.5, 10.0)
    assert m.policy_of((10.0, 4.0)) == Policy(timeout=4.0, grace=6.0)
    assert m.policy_of((10.0, None)) == Policy(timeout=10.0, grace=0.0)
    assert m.policy_of((None, 4.0)) == Policy(timeout=4.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": math.nan},
        {"created_at": math.inf},
        {"created_at": "now"},
        {"run_at": math.nan},
        {"run_at": True},
        {"expires_at": math.inf},
        {"id": 5},
        {"task": None},
        {"queue": 5},
        {"priority": 10},
        {"priority": 1.5},
        {"unique": 7},
        {"key": ["a"]},
        {"key_limit": "many"},
        {"args": (object(),)},
        {"args": (math.nan,)},
        {"args": (10**5000,)},
        {"policy": Policy(timeout=math.inf)},
    ],
)
def test_what_would_be_no_message_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(NotSerialisable):
        m.encode_message(job(**fields))


def test_large_arguments_are_shown_in_part() -> None:
    raw = m.encode_message(job(args=("x" * 100_000, ["y"] * 10_000), kwargs={"k": "z" * 5000}))
    headers = json.loads(raw)["headers"]
    assert len(headers["argsrepr"]) <= 1024
    assert len(headers["kwargsrepr"]) <= 1024
    with pytest.raises(PayloadTooLarge):
        m.encode_message(job(args=("x" * 17_000_000,)))


# --- of others ---------------------------------------------------------------------------------------


def published(
    body: Any = None, *, headers: dict[str, Any] | None = None, kind: Any = "application/json", encoding: str = "utf-8"
) -> bytes:
    """A message as Celery 5.7 publishes it."""
    said: dict[str, Any] = {"lang": "py", "task": "proj.add", "id": "263b", "eta": None, "expires": None, "group": None}
    said |= {"retries": 0, "timelimit": [None, None], "root_id": "263b", "argsrepr": "(2, 3)"} | (headers or {})
    properties: dict[str, Any] = {"correlation_id": "263b", "reply_to": "b64b", "delivery_mode": 2, "priority": 0}
    properties |= {"delivery_info": {"exchange": "", "routing_key": "celery"}, "delivery_tag": "11f6"}
    properties["body_encoding"] = "base64"
    content = body if isinstance(body, bytes) else json.dumps(body or [[2, 3], {"k": 1}, EMBED]).encode()
    envelope: dict[str, Any] = {"body": base64.b64encode(content).decode(), "content-encoding": encoding}
    envelope |= {"content-type": kind, "headers": said, "properties": properties}
    return json.dumps(envelope).encode()


def test_a_message_of_celerys_is_read() -> None:
    read = m.decode_message(
        published(headers={"eta": "2026-11-22T08:48:20.5+00:00", "retries": 2, "timelimit": [9, 4], "my": "own"})
    )
    assert (read.id, read.task, read.queue, read.weight, read.delivery_tag) == ("263b", "proj.add", "celery", 9, "11f6")
    assert (read.body, read.content.embed, read.ours) == ('[[2, 3],{"k": 1}]', {}, False)
    assert (read.eta, read.expires, read.retries, read.timelimit) == (1795337300.5, None, 2, (9, 4))
    assert read.headers["my"] == "own"
    assert json.loads(read.options or "") == {"timeout": 4, "grace": 5}
    made = m.job_of(read, created_at=7.0)
    assert (made.args, made.kwargs, made.created_at, made.policy) == ((2, 3), {"k": 1}, 7.0, Policy(timeout=4, grace=5))
    assert m.lease_body(published()) is None


def test_what_is_to_follow_is_kept() -> None:
    embed = EMBED | {"chain": [{"task": "proj.next", "args": [], "kwargs": {}, "options": {"task_id": "n1"}}]}
    read = m.decode_message(published([[1], {}, embed]))
    assert read.content.embed == embed
    again = m.decode_message(m.reissue(read, retries=1))
    assert again.content.embed == embed
    assert m.lease_body(again.raw) is None


@pytest.mark.parametrize("embed", [{}, None, EMBED], ids=["object", "null", "nothing"])
def test_nothing_may_follow(embed: Any) -> None:
    assert m.decode_message(published([[1], {}, embed])).content.embed_text == EMPTY_EMBED


@pytest.mark.parametrize("said", ["base64", "utf-8", None])
def test_wrappings(said: str | None) -> None:
    envelope = json.loads(published())
    envelope["properties"]["body_encoding"] = said
    if said != "base64":
        envelope["body"] = '[["\u00e9"], {}, {}]'
    read = m.decode_message(json.dumps(envelope, ensure_ascii=False))
    assert json.loads(read.body) == ([[2, 3], {"k": 1}] if said == "base64" else [["\u00e9"], {}])


@pytest.mark.parametrize(
    ("name", "pack"),
    [("application/x-gzip", zlib.compress), ("application/x-bz2", bz2.compress), ("application/x-lzma", lzma.compress)],
)
def test_packed_bodies(name: str, pack: Any) -> None:
    plain = json.dumps([["x" * 1000], {}, EMBED]).encode()
    read = m.decode_message(published(pack(plain), headers={"compression": name}))
    assert json.loads(read.body) == [["x" * 1000], {}]
    again = m.decode_message(m.reissue(read))
    assert again.body == read.body
    with pytest.raises(Undecodable, match="does not unpack"):
        m.decode_message(published(pack(plain)[:-4], headers={"compression": name}))
    with pytest.raises(Undecodable, match="does not unpack"):
        m.decode_message(published(b"not packed at all", headers={"compression": name}))
    with pytest.raises(Undecodable, match="more than"):
        m.decode_message(published(pack(b"x" * (MAX_UNPACKED + 1)), headers={"compression": name}))


@pytest.mark.parametrize("headers", [{}, {"task": "proj.add", "id": "263b"}], ids=["none", "of version 2"])
def test_version_1(headers: dict[str, Any]) -> None:
    body = {"task": "proj.add", "id": "263b", "args": [1], "kwargs": {"k": 2}, "retries": 1, "utc": True}
    body |= {"eta": "2026-11-22T08:48:20Z", "timelimit": [9, None], "taskset": "g1", "callbacks": [{"task": "t"}]}
    read = m.decode_message(published(json.dumps(body).encode(), headers=None) if headers else _bare(body))
    assert (read.id, read.task, read.body) == ("263b", "proj.add", '[[1],{"k":2}]')
    assert read.content.embed["callbacks"] == [{"task": "t"}]
    if not headers:
        assert (read.retries, read.eta, read.timelimit, read.headers["group"]) == (1, 1795337300.0, (9, None), "g1")


def _bare(body: dict[str, Any]) -> bytes:
    return json.dumps(json.loads(published(json.dumps(body).encode())) | {"headers": {}}).encode()


def test_numbers_and_text_that_only_pythons_json_takes() -> None:
    read = m.decode_message(published(b'[[NaN, "\\ud800"], {}, {"callbacks": null}]'))
    args, _ = json.loads(read.body)
    assert math.isnan(args[0])
    assert args[1] == "\ud800"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "Expecting value"),
        (b"hello", "Expecting value"),
        (b"[1]", "not an object"),
        (b"\xff\xfe", "."),
        (b"[" * 100_000, "."),
        (b'{"properties":[1]}', "not an object"),
        (b'{"headers":{"id":"a","task":"t"}}', "there is none"),
        (published(headers={"id": None}), "no id"),
        (published(headers={"id": 7}), "no id"),
        (published(headers={"task": ""}), "names no task"),
        (published(headers={"eta": "tomorrow"}), "'tomorrow' is not an ISO 8601 time"),
        (published(headers={"expires": 60}), "ISO 8601 text"),
        (published(headers={"qtool.options": 3}), "options"),
        (published([[1], {}]), "not \\[args"),
        (published([{}, [], {}]), "not \\[args"),
        (published([[], {}, 7]), "third part"),
        (published(b"[[1], {}, {"), "."),
        (published(b"\x80\x04nothing"), "."),
        (published(headers={"compression": "application/zstd"}), "packed as"),
        (published(encoding="ebcdic-x"), "unknown encoding"),
        (json.dumps(json.loads(published()) | {"body": "abc"}).encode(), "padding"),
        (json.dumps(json.loads(published()) | {"body": {}}).encode(), "there is none"),
    ],
)
def test_what_nobody_can_read_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        m.decode_message(raw)


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "text/plain", 7])
def test_other_content_than_json_is_refused(kind: Any) -> None:
    with pytest.raises(ContentRefused) as refused:
        m.decode_message(published(b"cos\nsystem\n(S'true'\ntR.", kind=kind))
    assert refused.value.data["id"] == "263b"
    assert refused.value.data["task"] == "proj.add"


@given(st.binary() | st.recursive(values, lambda v: st.fixed_dictionaries({"properties": v, "headers": v, "body": v})))
def test_no_message_raises_anything_else(content: Any) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with suppress(Undecodable):
        m.decode_message(raw)
