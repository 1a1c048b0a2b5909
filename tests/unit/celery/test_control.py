"""Requests of Celery's remote control, as they come and as they might."""

from __future__ import annotations

import json
import re
import time
import warnings
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.engine.celery.control import SKEW, Request, encode_reply, queue_info, read_request
from qtool.engine.celery.envelope import unwrap, wrap
from qtool.errors import Undecodable

NODE, NOW = "w1@host", 1000.0
REPLY_TO = {"exchange": "reply.celery.pidbox", "routing_key": "me"}


def message(body: Any, **headers: Any) -> bytes:
    return wrap(json.dumps(body).encode(), headers, "celery.pidbox", "", "tag")


def read(body: Any, **headers: Any) -> Request | None:
    return read_request(message(body, **headers), NODE, "celery", NOW)


def test_a_request_as_kombu_publishes_it() -> None:
    """Captured: WIRE.md section 6."""
    body = {
        "method": "ping",
        "arguments": {},
        "destination": None,
        "pattern": None,
        "matcher": None,
        "ticket": "8cee",
        "reply_to": REPLY_TO,
    }
    request = read(body, clock=7, expires=NOW + 1)
    assert request == Request(
        method="ping",
        arguments={},
        ticket="8cee",
        reply_to="me.reply.celery.pidbox",
        exchange="reply.celery.pidbox",
        routing_key="me",
        clock=7,
    )
    headers, reply = unwrap(encode_reply(request, NODE, {"ok": "pong"}, 8, "tag"))
    assert headers == {"ticket": "8cee", "clock": 8}
    assert reply == {NODE: {"ok": "pong"}}


@pytest.mark.parametrize(
    "to",
    [
        {"exchange": "", "routing_key": "celery"},
        {"exchange": "celery", "routing_key": "celery"},
        {"exchange": "reply.other.pidbox", "routing_key": "me"},
        {"exchange": "reply.celery.pidbox", "routing_key": ""},
        {"exchange": "reply.celery.pidbox"},
        "celery",
        ["celery"],
    ],
)
def test_a_reply_goes_to_a_mailbox_and_nowhere_else(to: object) -> None:
    with pytest.raises(Undecodable, match="mailbox"):
        read({"method": "ping", "reply_to": to})


def test_what_is_over_is_over_when_no_clock_can_be_that_wrong() -> None:
    assert read({"method": "shutdown"}, expires=NOW - SKEW + 1) is not None
    assert read({"method": "shutdown"}, expires=NOW - SKEW - 1) is None
    assert read({"method": "shutdown"}, expires=0) is not None


@pytest.mark.parametrize("pattern", ["(a+)+$", "((w)*)*x", "(w|w)*x", "w*w*w*w*w*x", "[", "x" * 500])
def test_no_pattern_is_matched_that_could_take_long(pattern: str) -> None:
    began = time.monotonic()
    node = "w" * 60 + "@host"
    assert read_request(message({"method": "m", "pattern": pattern, "matcher": "pcre"}), node, "celery", NOW) is None
    assert time.monotonic() - began < 5


@given(st.text(alphabet="w1@.*+?^$[]h\\d", max_size=12))
def test_a_pattern_that_is_matched_means_what_it_says(pattern: str) -> None:
    request = read({"method": "m", "pattern": pattern, "matcher": "pcre"})
    with warnings.catch_warnings(action="ignore"):
        try:
            found = re.match(pattern, NODE) is not None
        except re.error:
            found = False
    if pattern and request is not None:
        assert found


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_what_is_no_request_says_so(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        read_request(raw, NODE, "celery", NOW)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("method", "arguments", "destination", "pattern", "matcher", "ticket", "reply_to")


@given(st.dictionaries(st.sampled_from(_FIELDS), _json), st.dictionaries(st.sampled_from(("clock", "expires")), _json))
def test_whatever_a_field_holds_it_is_read_or_refused(body: dict[str, Any], headers: dict[str, Any]) -> None:
    try:
        request = read(body, **headers)
    except Undecodable:
        return
    assert request is None or isinstance(request.method, str)


def test_other_content_than_json_is_not_read() -> None:
    envelope = json.loads(message({"method": "ping"})) | {"content-type": "application/x-python-serialize"}
    with pytest.raises(Undecodable):
        read_request(json.dumps(envelope).encode(), NODE, "celery", NOW)


def test_a_body_in_plain_text_is_read() -> None:
    envelope = json.loads(message({"method": "ping"}))
    assert envelope["body"] == b64encode(b'{"method": "ping"}').decode()
    envelope |= {"body": '{"method": "ping"}', "properties": {}}
    assert read_request(json.dumps(envelope).encode(), NODE, "celery", NOW) is not None


def test_a_queue_has_what_kombus_own_have() -> None:
    from kombu import Exchange, Queue

    theirs = Queue("q", Exchange("q"), routing_key="q").as_dict(recurse=True)
    ours = queue_info("q")
    assert ours.keys() == theirs.keys()
    assert ours["exchange"].keys() == theirs["exchange"].keys()
    assert json.dumps(ours)
