"""Jobs to text and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtool.engine import codec
from qtool.engine.job import UNSAID, Job, Policy
from qtool.errors import NotSerialisable, PayloadTooLarge, Undecodable

texts = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))
"""NUL and lone surrogates included."""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
jobs = st.builds(
    Job,
    id=st.text(min_size=1),
    task=texts,
    args=st.lists(values, max_size=3).map(tuple),
    kwargs=st.dictionaries(texts, values, max_size=3),
    queue=st.text(min_size=1),
    priority=st.integers(0, 9),
    created_at=st.floats(1, 1e10),
    run_at=st.none() | st.floats(0, 1e10),
    expires_at=st.none() | st.floats(0, 1e10),
    unique=st.none() | texts,
    key=st.none() | texts,
    key_limit=st.integers(1, 9),
    tags=st.dictionaries(texts, texts, max_size=2),
    parents=st.lists(texts, max_size=2).map(tuple),
    policy=st.builds(
        Policy,
        retries=st.none() | st.integers(0, 9),
        timeout=st.none() | st.floats(0, 1e6),
        grace=st.none() | st.floats(0, 1e6),
        jitter=st.none() | st.booleans(),
        on_crash=st.sampled_from([None, "retry", "dead"]),
    ),
)


def job(**said: Any) -> Job:
    values: dict[str, Any] = {"id": "j", "task": "t", "created_at": 1.0}
    return Job(**(values | said))


def decode(envelope: dict[str, Any]) -> Job:
    return codec.decode(envelope, id="new", created_at=9.0, queue="default")


# --- body --------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(values, max_size=4).map(tuple), st.dictionaries(texts, values, max_size=4))
def test_arguments_come_back_as_they_were(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    body = codec.encode_body(args, kwargs)
    assert codec.decode_body(body) == (args, kwargs)
    assert body.isascii()
    assert "\0" not in body


@given(st.lists(texts, max_size=4).map(tuple))
def test_the_short_way_for_text_writes_the_same(args: tuple[str, ...]) -> None:
    assert codec.encode_body(args, {}) == json.dumps([args, {}], separators=(",", ":"))


class Word(str):
    __slots__ = ()


def test_what_only_looks_like_text_takes_the_long_way() -> None:
    assert codec.encode_body((Word("a"), 1), {}) == '[["a",1],{}]'


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("bad", [object(), {1, 2}, b"x", math.nan, math.inf, {(1, 2): 3}, circle(), deep()], ids=type)
def test_what_is_not_json_is_refused(bad: object) -> None:
    with pytest.raises(NotSerialisable) as caught:
        codec.encode_body((bad,), {})
    assert "cannot be written as JSON" in str(caught.value)


@pytest.mark.parametrize("args", [("x" * codec.MAX_PAYLOAD,), ("x" * codec.MAX_PAYLOAD, 1)], ids=["short", "long"])
def test_a_payload_has_a_limit(args: tuple[Any, ...]) -> None:
    with pytest.raises(PayloadTooLarge):
        codec.encode_body(args, {})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "1",
        "[]",
        "[[]]",
        "[[],{},1]",
        "[[],{},{},{}]",
        "[{},{}]",
        "[{},[]]",
        "[[],[]]",
        "[" * 200_000,
        b"\xff",
    ],
)
def test_a_body_that_is_no_body_is_refused(body: str | bytes) -> None:
    with pytest.raises(Undecodable):
        codec.decode_body(body)


@pytest.mark.parametrize("embed", ['{"callbacks": null}', "{}", "null"])
def test_the_third_part_of_celery_s_body_is_passed_over(embed: str) -> None:
    assert codec.decode_body(f'[[1], {{"a": 2}}, {embed}]') == ((1,), {"a": 2})


# --- options -----------------------------------------------------------------------------------------


def test_a_job_that_says_nothing_has_no_options() -> None:
    assert codec.encode_options(job()) is None
    assert codec.encode_options(job(policy=Policy())) is None
    assert codec.decode_options(None) == (UNSAID, {}, ())


def test_only_what_is_said_is_written() -> None:
    assert codec.encode_options(job(policy=Policy(retries=0))) == '{"retries":0}'
    assert codec.encode_options(job(tags={"a": "b"})) == '{"tags":{"a":"b"}}'


@settings(max_examples=40)
@given(jobs)
def test_options_come_back_as_they_were(made: Job) -> None:
    assert codec.decode_options(codec.encode_options(made)) == (made.policy, made.tags, made.parents)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "[]",
        "1",
        "{",
        "[" * 200_000,
        *(f'{{"timeout":{each}}}' for each in ("NaN", "Infinity", "-1", '"5m"', "true")),
    ],
)
def test_options_that_are_none_are_refused(options: str) -> None:
    with pytest.raises(Undecodable):
        codec.decode_options(options)


# --- envelopes ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(jobs)
def test_an_envelope_is_the_whole_job(made: Job) -> None:
    envelope = json.loads(json.dumps(codec.encode(made)))
    assert decode(envelope) == made
    assert envelope["v"] == codec.VERSION


def test_what_an_envelope_leaves_out_is_filled_in() -> None:
    assert decode({"task": "t"}) == Job(id="new", task="t", created_at=9.0)


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ({}, "it names no task"),
        ({"task": 5}, "it names no task"),
        ({"task": "t", "v": 2}, "version 2 is not known"),
        ({"task": "t", "retrys": 3}, "'retrys' is not a field"),
        ({"task": "t", "policy": {"retries": 3}}, "'policy' is not a field"),
        ({"task": "t", "args": {}}, "args is not an array"),
        ({"task": "t", "kwargs": []}, "kwargs not an object"),
        ({"task": "t", "timeout": "5m"}, "timeout is a number from 0 on, not '5m'"),
        ({"task": "t", "retries": -1}, "retries is a number from 0 on, not -1"),
    ],
)
def test_an_envelope_that_is_wrong_says_why(envelope: dict[str, Any], why: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(envelope)
    assert why in str(caught.value)
