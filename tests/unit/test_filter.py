"""The filter language: what it means, as SQL and as a predicate, and what it says to a mistake."""

from __future__ import annotations

import json
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtool.engine.codec import encode_body
from qtool.engine.filter import Filter, parse, quote
from qtool.engine.job import UNSAID, Failure, JobInfo
from qtool.engine.states import FINAL, PENDING, UNFINISHED, Reason, State
from qtool.errors import BadFilter, ExitCode

NOW = 1_770_000_000.0

SCHEMA = """
CREATE TABLE jobs (
    id TEXT NOT NULL, task TEXT NOT NULL, queue TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT, priority INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL, worker TEXT, error_type TEXT, error_message TEXT, body TEXT, options TEXT,
    unique_key TEXT, key TEXT, held TEXT, created_at REAL NOT NULL, due_at REAL, ready_at REAL, expires_at REAL,
    started_at REAL, finished_at REAL)
"""
COPIED = (
    *("id", "task", "queue", "priority", "attempt", "failures", "crashes", "worker"),
    *("created_at", "due_at", "ready_at", "expires_at", "started_at", "finished_at"),
)

DATABASE = apsw.Connection(":memory:")
DATABASE.execute(SCHEMA)


def job(**said: Any) -> JobInfo:
    """A job that says nothing but ``said``."""
    plain: dict[str, Any] = {
        "id": "019a",
        "task": "mail.send",
        "queue": "default",
        "state": State.READY,
        "args": (),
        "kwargs": {},
        "priority": 0,
        "created_at": NOW - 60,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
        "tags": {},
        "parents": (),
        "policy": UNSAID,
    }
    absent = dict.fromkeys(
        ("due_at", "ready_at", "expires_at", "started_at", "finished_at", "reason", "error", "worker")
    )
    return JobInfo(**{**absent, "progress": None, "message": None, "unique": None, **plain, **said})


def found(where: Filter, info: JobInfo) -> bool:
    """Whether SQLite finds the row of ``info``; its condition is never NULL."""
    row: dict[str, Any] = {name: getattr(info, name) for name in COPIED}
    row |= {"state": str(info.state), "reason": info.reason and str(info.reason), "unique_key": info.unique}
    row |= {"key": info.key, "held": info.held and info.held.partition(":")[0]}
    row |= {"body": encode_body(info.args, info.kwargs), "options": json.dumps({"tags": dict(info.tags)})}
    if not info.tags:
        row["options"] = None
    if info.error is not None:
        row |= {"error_type": info.error.type, "error_message": info.error.message}
    DATABASE.execute("DELETE FROM jobs")
    DATABASE.execute(f"INSERT INTO jobs({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    condition, params = where.sql(NOW)
    [(answer,)] = DATABASE.execute(f"SELECT {condition} FROM jobs", tuple(params))
    assert answer in (0, 1)
    return bool(answer)


def agrees(text: str, info: JobInfo) -> bool:
    """What the filter says of the job, in both ways."""
    where = parse(text)
    matches = where.matches(info, NOW)
    assert found(where, info) is matches, where.sql(NOW)
    return matches


# --- every operator ----------------------------------------------------------------------------------

BROKEN = Failure(type="TimeoutError", message="Connection TIMEOUT after 100%")
BARE = job()
FULL = job(
    id="019b-77",
    task="mail.send_all",
    queue="email",
    state=State.DEAD,
    reason=Reason.FAILED,
    args=("Ann@Example.com", 3, "é\0"),
    kwargs={"path": "a\\b"},
    priority=5,
    attempt=3,
    failures=3,
    crashes=1,
    worker="host-1",
    error=BROKEN,
    unique="u:1",
    key="account-7",
    held="key:account-7",
    tags={"team": "billing", "a b": 'x"y'},
    created_at=NOW - 600,
    due_at=NOW - 500,
    ready_at=NOW - 400,
    started_at=NOW - 300,
    finished_at=NOW - 200,
    expires_at=NOW + 3600,
)


@pytest.mark.parametrize(
    "text",
    [
        'state:failed queue:email task:mail.send_* age>5m error~timeout args~"@example.com" tag.team=billing',
        "id=019b-77",
        "id:019b*",
        "task:*.send_a?l",
        "task:other,mail.*",
        'queue:default,"email"',
        "queue=email",
        "queue!=default",
        "queue~MAI",
        "queue!~x",
        "state:dead,retry",
        "state=dead",
        "state!=ready",
        "state:finished",
        "state:de*",
        "reason:failed",
        "reason:f*,crashed",
        "reason!=crashed",
        "priority=5",
        "priority:4,5",
        "priority!=4",
        "priority>4",
        "priority>=5",
        "priority<6",
        "priority<=5",
        "priority>-1",
        "attempt:3 failures:3 crashes:1",
        "worker:host-?",
        "error:TimeoutError:*",
        'error="TimeoutError: Connection TIMEOUT after 100%"',
        "error~100%",
        "error~out*",
        "args~example",
        "args~É",
        r'args~"\u0000"',
        r"args~a\\b",
        'args:"*,3,*"',
        'args~"\\"path\\":"',
        "unique=u:1",
        "key:account-7",
        "key~COUNT",
        "held:key:*",
        'held="key:account-7"',
        "tag.team:bill*",
        "tag.team~BILL",
        'tag."a b"="x\\"y"',
        "tag.team:*",
        "age>9m age<11m age>=10m age<=10m",
        "wait>99s wait<101s wait>=100 wait<=100",
        "runtime>99s runtime<101s",
        "created>-11m created<-9m",
        "due:* due<-0s",
        "started<=-5m started>=-5m",
        "finished>2020-01-01 finished<2030-01-01T00:00Z",
        "expires>+59m expires<+61m",
        "MAIL.send",
        "019B",
        "ann@",
        '"x" or "Ann@Example"',
        "age > 5m",
        "queue : email",
    ],
)
def test_the_full_job_matches_and_the_bare_one_only_what_it_has(text: str) -> None:
    if "out*" in text or text.endswith("É"):
        # ~ takes * literally, and knows only the case of A to Z.
        assert not agrees(text, FULL)
    else:
        assert agrees(text, FULL)
    for opposite in (f"not ({text})", f"not({text})", f"NOT ({text})"):
        assert agrees(opposite, FULL) is not agrees(text, FULL)
        assert agrees(opposite, BARE) is not agrees(text, BARE)


@pytest.mark.parametrize("name", ["reason", "worker", "error", "unique", "key", "held", "tag.team"])
def test_what_a_job_does_not_have_equals_and_contains_nothing(name: str) -> None:
    value = "failed" if name == "reason" else "a"
    for text in (f"{name}={value}", f"{name}:{value}", f"{name}:{value[0]}*"):
        assert not agrees(text, BARE)
        assert agrees(f"not {text}", BARE)
    assert agrees(f"{name}!={value}", BARE)
    if name != "reason":
        assert not agrees(f"{name}~{value}", BARE)
        assert agrees(f"{name}!~{value}", BARE)
        assert not agrees(f"{name}:*", BARE)
        assert not agrees(f'{name}=""', BARE)
        assert agrees(f"not {name}:*", BARE)


@pytest.mark.parametrize("name", ["due", "started", "finished", "expires", "runtime"])
def test_what_a_job_does_not_have_compares_with_nothing(name: str) -> None:
    value = "5m" if name == "runtime" else "-5m"
    for op in ("<", "<=", ">", ">="):
        assert not agrees(f"{name}{op}{value}", BARE)
        assert agrees(f"not {name}{op}{value}", BARE)
    assert not agrees(f"{name}:*", BARE)


def test_words_for_several_states() -> None:
    for word, states in {
        "pending": PENDING,
        "finished": FINAL,
        "unfinished": UNFINISHED,
        "failed": {State.DEAD},
    }.items():
        assert parse(f"state:{word}").states() == states
        for state in State:
            assert agrees(f"state:{word}", job(state=state)) is (state in states)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"state": State.READY}, 60),
        ({"state": State.READY, "ready_at": NOW - 20, "due_at": NOW - 30}, 20),
        ({"state": State.READY, "due_at": NOW - 30, "started_at": NOW - 50}, 30),
        ({"state": State.RETRY, "due_at": NOW - 10, "ready_at": NOW - 50, "started_at": NOW - 45}, 10),
        ({"state": State.SCHEDULED, "due_at": NOW + 10}, -10),
        ({"state": State.RUNNING, "ready_at": NOW - 30, "started_at": NOW - 25}, 5),
        ({"state": State.SUCCEEDED, "ready_at": NOW - 30, "started_at": NOW - 25, "finished_at": NOW}, 5),
        ({"state": State.CANCELLED, "ready_at": NOW - 30, "finished_at": NOW}, None),
    ],
)
def test_wait_is_from_ready_to_started_or_until_now(said: dict[str, Any], seconds: float | None) -> None:
    info = job(**said)
    assert agrees("wait:*", info) is (seconds is not None)
    if seconds is not None and seconds >= 0:
        assert agrees(f"wait>={seconds} wait<={seconds}", info)
    assert agrees("wait<0", info) is (seconds is not None and seconds < 0)


def test_runtime_of_a_running_job_grows() -> None:
    running = job(state=State.RUNNING, started_at=NOW - 30)
    assert agrees("runtime>=30s runtime<=30s", running)
    assert not agrees("runtime:*", job(state=State.RETRY, started_at=NOW - 30))


def test_relative_times_follow_now() -> None:
    where = parse("created>-5m")
    assert where.matches(job(created_at=NOW - 60), NOW)
    assert not where.matches(job(created_at=NOW - 60), NOW + 600)


def test_and_binds_tighter_than_or_and_side_by_side_means_and() -> None:
    a, b, c = job(queue="a"), job(queue="b", priority=1), job(queue="b", priority=2)
    for text in (
        "queue:a or queue:b priority:1",
        "queue:a or queue:b and priority:1",
        "queue:a OR (queue:b AND priority:1)",
    ):
        assert [agrees(text, each) for each in (a, b, c)] == [True, True, False]
    assert [agrees("(queue:a or queue:b) priority:1", each) for each in (a, b, c)] == [False, True, False]
    assert [agrees("not queue:a priority:1", each) for each in (a, b, c)] == [False, True, False]
    assert [agrees("not not queue:a", each) for each in (a, b, c)] == [True, False, False]


def test_keywords_are_words_when_quoted_or_values() -> None:
    assert agrees('"and"', job(task="band"))
    assert agrees("queue:or", job(queue="or"))
    assert agrees("queue:not,and", job(queue="and"))
    assert agrees("android", job(task="android"))


def test_a_tag_that_is_no_text_is_compared_as_text() -> None:
    assert agrees("tag.n=5 tag.n~5 tag.n:?", job(tags={"n": 5}))


def test_options_that_are_not_json_have_no_tags() -> None:
    DATABASE.execute("DELETE FROM jobs")
    DATABASE.execute(
        "INSERT INTO jobs(id, task, queue, state, priority, attempt, failures, crashes, created_at, options)"
        " VALUES ('a', 'b', 'c', 'ready', 0, 0, 0, 0, 0.0, '{')"
    )
    condition, params = parse("tag.a:b*").sql(NOW)
    assert list(DATABASE.execute(f"SELECT {condition} FROM jobs", tuple(params))) == [(0,)]


# --- what adapters ask -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("finished>-1h", FINAL),
        ("finished<-1h", FINAL),
        ("finished>-1h state:dead,ready", {State.DEAD}),
        ("finished>-1h or state:ready", {*FINAL, State.READY}),
        ("finished>-1h or error~x", None),
        ("not finished>-1h", None),
        ("started>-1h", None),
        ("state:ready", {State.READY}),
    ],
)
def test_a_time_of_ending_leaves_only_what_has_ended(text: str, states: set[State] | None) -> None:
    assert parse(text).possible() == states


@pytest.mark.parametrize(
    ("text", "queues", "states", "counted"),
    [
        ("queue:a", {"a"}, None, True),
        ("queue:a,b state:dead", {"a", "b"}, {State.DEAD}, True),
        ('queue="a*"', {"a*"}, None, True),
        ("queue:a*", None, None, False),
        ("queue:a,b*", None, None, False),
        ("queue:*", None, None, False),
        ("queue!=a", None, None, False),
        ("queue~a", None, None, False),
        ("worker:a", None, None, False),
        ("queue:a queue:b", set(), None, True),
        ("queue:a,b queue:b,c", {"b"}, None, True),
        ("queue:a or queue:b", {"a", "b"}, None, False),
        ("queue:a or state:dead", None, None, False),
        ("queue:a error~x", {"a"}, None, False),
        ("(queue:a state:dead) or (queue:b state:retry)", {"a", "b"}, {State.DEAD, State.RETRY}, False),
        ("not state:finished", None, UNFINISHED, True),
        ("state!=ready state:unfinished", None, UNFINISHED - {State.READY}, True),
        ("not (state:finished or queue:a)", None, UNFINISHED, False),
        ("not (not queue:a)", {"a"}, None, True),
        ("state:finished,unfinished", None, None, True),
        ("age>5m", None, None, False),
    ],
)
def test_what_a_filter_confines_itself_to(
    text: str, queues: set[str] | None, states: set[State] | None, counted: bool
) -> None:
    where = parse(text)
    assert where.text == text
    assert where.queues() == queues
    assert where.states() == states
    assert where.only_queues_and_states is counted


def test_values_are_bound_and_never_part_of_the_sql() -> None:
    evil = "x'; DROP TABLE jobs; --"
    for text in (
        f"{name}{op}{quote(evil)}" for name in ("id", "error", "tag.a", "args", "worker") for op in (":", "=", "~")
    ):
        condition, params = parse(text).sql(NOW)
        assert "DROP" not in condition
        assert evil.lower() in [str(param).lower() for param in params]
    condition, params = parse(f"tag.{quote(evil)}=1").sql(NOW)
    assert "DROP" not in condition
    assert any("DROP" in str(param) for param in params)


def test_simple_terms_stay_simple_for_the_indexes() -> None:
    assert parse("queue:email state:dead").sql(NOW) == ("(queue = ? AND state = ?)", ["email", "dead"])
    assert parse("age>5m").sql(NOW) == ("created_at < ?", [NOW - 300])


# --- pathological text -------------------------------------------------------------------------------

NASTY = ['"', "'", "\\", '\\"', "%", "_", "[", "]", "[a]", "[^a]", "^", "-", "*", "?", "**", "\0", "a\0b", "\n", "\t"]
NASTY += ["é", "É", "😀", "\uffff", "\u2028", "a b", "and", "(", ")", ",", ":", "=", "~", "", " ", "\\u0041", "--", ";"]
NASTY += ["{}", "{0}", "$"]
LONE = ["\udcff", "a\udc80b"]


@pytest.mark.parametrize("text", NASTY + LONE)
def test_any_text_survives_quoting(text: str) -> None:
    tagged = job(tags={"t": text, text: "v"}, args=(text,))
    for where in (f"tag.t={quote(text)}", f"tag.t~{quote(text)}", f"tag.{quote(text)}=v"):
        assert agrees(where, tagged)
        assert agrees(f"not({where})", BARE)
    escaped = json.dumps(text)[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if escaped == json.dumps(text)[1:-1]:
        assert agrees(f"args~{quote(text)}", tagged)
    if not set(text) & set("*?\0"):
        assert agrees(f"tag.t:{quote(text)}", tagged)
        assert agrees(f"tag.t:{quote(text + '*')}", tagged)
    if text in NASTY:
        named = job(id=text, task=text, queue=text, worker=text, unique=text, error=Failure(type="E", message=text))
        for name in ("id", "task", "queue", "worker", "unique"):
            assert agrees(f"{name}={quote(text)} {name}~{quote(text)}", named)
        assert agrees(f"error~{quote(text)}", named)


def test_only_star_and_question_mark_are_wild() -> None:
    assert agrees("task:[a]?*", job(task="[a]bc"))
    assert not agrees("task:[a]*", job(task="abc"))
    assert not agrees("task:A*", job(task="abc"))
    assert agrees("task:?", job(task="😀"))
    assert agrees("task:a*b*c", job(task="a-b-b-c"))
    assert not agrees("task:a*b*c", job(task="a-b-b-c-d"))


def test_a_pattern_sees_a_text_up_to_its_first_nul_as_sqlite_does() -> None:
    torn = job(error=Failure(type="E", message="a\0b"))
    assert agrees("error:E*a", torn)
    assert not agrees("error:*b", torn)
    assert not agrees(f"error:{quote('*' + chr(0) + '*')}", torn)
    assert agrees("error~b", torn)


def test_a_pattern_does_not_tell_lone_surrogates_apart_as_sqlite_does_not() -> None:
    torn = job(tags={"t": "a\udcff"})
    for fits in ("a?", "a\ufffd*", "a\udc80*"):
        assert agrees(f"tag.t:{quote(fits)}", torn)
    assert not agrees(f"tag.t={quote(chr(0xDC80))}", torn)


@pytest.mark.parametrize(("op", "at_the_bound"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_a_comparison_keeps_its_bound(op: str, at_the_bound: bool) -> None:
    info = job(created_at=NOW - 600, priority=5)
    for name, below, bound, above in (("age", "9m", "10m", "11m"), ("priority", "4", "5", "6")):
        assert agrees(f"{name}{op}{bound}", info) is at_the_bound
        assert agrees(f"{name}{op}{below}", info) is (">" in op)
        assert agrees(f"{name}{op}{above}", info) is ("<" in op)


def test_a_pattern_of_many_stars_is_no_trap() -> None:
    assert not agrees("task:" + "*a" * 40 + "*b", job(task="a" * 5000))


# --- random filters on random jobs -------------------------------------------------------------------

LETTERS = st.sampled_from(["a", "A", "b", *'éÉ"\\%_[]*?:^', "\0", "\n", "😀", "\uffff"])
WORDS = st.lists(LETTERS, max_size=4).map("".join) | st.sampled_from(["default", "email", "failed", "dead"])
TORN = WORDS | st.sampled_from(LONE)
TAG_NAMES = st.sampled_from(["t", "a b", 'q"', "é", "\\", "", "\udcff", "x.y", "[0]"])
TIMES = st.none() | st.integers(-20, 20).map(lambda n: NOW + n * 7.5) | st.floats(0, 4e9)
COUNTS = st.integers(0, 4)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TORN
JOBS = st.builds(
    job,
    id=WORDS,
    task=WORDS,
    queue=WORDS,
    state=st.sampled_from(State),
    reason=st.none() | st.sampled_from(Reason),
    args=st.lists(VALUES, max_size=3).map(tuple),
    kwargs=st.dictionaries(TORN, VALUES, max_size=2),
    priority=COUNTS,
    attempt=COUNTS,
    failures=COUNTS,
    crashes=COUNTS,
    worker=st.none() | WORDS,
    error=st.none() | st.builds(Failure, type=WORDS, message=WORDS),
    unique=st.none() | WORDS,
    key=st.none() | WORDS,
    tags=st.dictionaries(TAG_NAMES, TORN, max_size=3),
    created_at=TIMES.filter(lambda at: at is not None),
    due_at=TIMES,
    ready_at=TIMES,
    expires_at=TIMES,
    started_at=TIMES,
    finished_at=TIMES,
)


def term(names: st.SearchStrategy[str], ops: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, names, st.sampled_from(ops), values)


def lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=3).map(",".join)


ORDER = ["<", "<=", ">", ">="]
NAMES = st.sampled_from(["id", "task", "queue", "worker", "error", "args", "unique", "key"])
NAMES |= TAG_NAMES.map(lambda name: f"tag.{quote(name)}")
SIGNED = st.integers(-150, 150).map(lambda n: f"{n:+d}") | st.just("2026-02-01T00:00Z") | st.just("2000-01-01")
TERMS = (
    term(NAMES, ["=", "!=", "~", "!~"], TORN.map(quote))
    | term(NAMES, [":"], lists(TORN.map(quote)))
    | term(st.just("state"), [":"], lists(st.sampled_from([*map(str, State), "failed", "pending", "finished", "r*"])))
    | term(st.just("state"), ["=", "!="], st.sampled_from([*map(str, State), "failed", "unfinished"]))
    | term(st.just("reason"), [":", "=", "!="], st.sampled_from([*map(str, Reason)]))
    | term(st.sampled_from(["priority", "attempt", "failures", "crashes"]), [*ORDER, "=", "!=", ":"], COUNTS.map(str))
    | term(st.sampled_from(["age", "wait", "runtime"]), ORDER, st.integers(0, 150).map(lambda n: f"{n}s"))
    | term(st.sampled_from(["created", "due", "started", "finished", "expires"]), ORDER, SIGNED)
    | term(st.sampled_from(["wait", "runtime", "due", "started", "expires"]), [":"], st.just("*"))
    | TORN.map(quote)
)
FILTERS = st.recursive(
    TERMS,
    lambda inner: (
        st.builds("({} {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("{} and {}".format, inner, inner)
        | inner.map("not {}".format)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(FILTERS, JOBS)
@settings(max_examples=400, deadline=None)
def test_sql_and_predicate_agree(text: str, info: JobInfo) -> None:
    matches = agrees(text, info)
    assert agrees(f"not ({text})", info) is not matches
    where = parse(text)
    queues, states = where.queues(), where.states()
    inside = (queues is None or info.queue in queues) and (states is None or info.state in states)
    assert inside or not matches
    if where.only_queues_and_states:
        assert matches is inside


# --- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "empty"),
        (" \t", 1, "empty"),
        ("stat:x", 1, "'stat' is not a field, did you mean state? Known: id, task"),
        ("queue:a stat:x", 9, "did you mean state?"),
        ("tags.team=x", 1, "did you mean tag.NAME?"),
        ("http://x", 1, "put it in quotes"),
        ("State:dead", 1, "did you mean state?"),
        ("tag.=x", 1, "tag.team=billing"),
        ('tag."a"', 8, "operator is missing"),
        ("state:faild", 7, "'faild' is not a state, did you mean failed? Known: waiting, scheduled"),
        ("state:dead,redy", 12, "did you mean ready?"),
        ("state:x*", 7, "'x*' is not a state"),
        ("state=dead,retry", 7, "is not a state"),
        ("state~dead", 6, "'~' cannot be asked of state; it takes : = !="),
        ("state>dead", 6, "cannot be asked"),
        ("reason:crash", 8, "did you mean crashed?"),
        ("queue==a", 6, "'==' is not an operator; queue takes : = != ~ !~ (a value that begins"),
        ("worker!a", 7, "is not an operator"),
        ("queue<a", 6, "'<' cannot be asked of queue"),
        ("age:5m", 5, "age takes < <= > >= and a value, or :*"),
        ("age=5m", 4, "'=' cannot be asked of age"),
        ("age>foo", 5, "'foo' is not a duration: write it as 90s"),
        ("age>-5m", 5, "is not a duration"),
        ("runtime>2026-01-01", 9, "is not a duration"),
        ("created>yesterday", 9, "'yesterday' is not a time"),
        ("created>5m", 9, "is not a time"),
        ("created=2026-01-01", 8, "cannot be asked of created"),
        ("priority>x", 10, "compared with a whole number, not with 'x'"),
        ("priority:1,b", 12, "whole number"),
        ("priority>1.5", 10, "whole number"),
        ("priority>99999999999999999999", 10, "whole number"),
        ("priority~1", 9, "cannot be asked of priority"),
        ("queue:", 7, "a value is missing"),
        ("queue: and x", 8, "a value is missing"),
        ("queue:a,,b", 9, "a value is missing"),
        ("queue:a, b", 9, "a value is missing"),
        ("(a", 1, "not closed"),
        ("a (b (c)", 3, "not closed"),
        ("a)", 2, "closes nothing"),
        ("()", 2, "a term is missing before ')'"),
        ("a or", 5, "a term is missing before the end"),
        ("a and and b", 7, "a term is missing before 'and'"),
        ("or a", 1, "a term is missing before 'or'"),
        ("not", 4, "a term is missing before the end"),
        ("!a", 1, "'!' stands alone; write not"),
        ("a =", 1, "'a' is not a field"),
        ('"abc', 1, "quote is not closed"),
        ('error~"abc', 7, "quote is not closed"),
        (r'error~"a\x"', 9, "after a backslash"),
        ('queue:"a"b', 10, "'b' cannot follow directly"),
        ('queue:a"b"', 8, "cannot follow directly"),
        ("task:f(x)", 7, "'(' cannot follow directly"),
        ("task:" + "a*" * 600, 6, "at most 1000"),
        ("a " * 201, 401, "more than 200 terms"),
        ("priority:" + ",".join("1" * 250), 410, "more than 200 terms"),
        ("(" * 60 + "a" + ")" * 60, 52, "nests deeper than 50"),
        ("not " * 60 + "a", 205, "nests deeper than 50"),
        ("a" * 20_001, 20_000, "longer than"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_possible(text: str, column: int, says: str) -> None:
    with pytest.raises(BadFilter) as caught:
        parse(text)
    assert says in str(caught.value.data["why"])
    assert caught.value.data["column"] == column
    assert caught.value.exit_code is ExitCode.USAGE
    assert f"column {column}" in str(caught.value)


@given(st.text(alphabet='aq:=!~<>"\\(),. *?-5m\n\0é', max_size=20) | st.text(max_size=20))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_filter_or_a_bad_one(text: str) -> None:
    column = 1
    try:
        agrees(text, BARE)
    except BadFilter as error:
        column = int(str(error.data["column"]))
    assert 1 <= column <= len(text) + 1


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f'error:"{n}*"' for n in range(200)),
        "not (" * 24 + " or ".join("abc" for _ in range(100)) + ")" * 24,
        "id:" + ",".join(str(n) for n in range(3_000)),
        "priority:" + ",".join("7" * 200),
    ],
)
def test_the_largest_filters_that_parse_run(text: str) -> None:
    assert not agrees(text, BARE)
