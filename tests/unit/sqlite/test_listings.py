"""Listings agree with the predicate, page by page, however many queues there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qtool.engine.brokers.sqlite import look, open_sqlite
from qtool.engine.brokers.sqlite.rows import error_columns
from qtool.engine.clock import ManualClock
from qtool.engine.codec import encode_body
from qtool.engine.filter import parse
from qtool.engine.states import FINAL, Reason, State
from qtool.errors import AmbiguousJob, BadFilter, UnknownJob
from tests.unit.sqlite.tools import job, query, store_of
from tests.unit.test_filter import FILTERS, JOBS, NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter
    from qtool.engine.filter import Filter
    from qtool.engine.job import JobInfo
    from tests.conformance.drive import Drive


def everything(adapter: Adapter, where: Filter | None, limit: int, *, oldest_first: bool) -> list[JobInfo]:
    """All pages of a listing."""
    found: list[JobInfo] = []
    after = None
    while True:
        page = adapter.inspector.browse(where, after=after, limit=limit, oldest_first=oldest_first)
        assert len(page.jobs) <= limit
        found += page.jobs
        if page.next is None:
            return found
        assert len(page.jobs) == limit
        after = page.next


def put_as(adapter: Adapter, info: JobInfo, id: str) -> None:
    """A row that looks like ``info``, as far as the schema lets such a job stand."""
    final, due = info.state in FINAL, info.state in (State.SCHEDULED, State.RETRY)
    kind, message, detail = error_columns(info.error)
    row: dict[str, Any] = {"id": id, "state": str(info.state), "body": encode_body(info.args, info.kwargs)}
    for name in ("task", "queue", "priority", "attempt", "failures", "crashes", "worker", "created_at", "ready_at"):
        row[name] = getattr(info, name)
    row |= {"expires_at": info.expires_at, "started_at": info.started_at}
    row |= {
        "finished_at": (info.finished_at or NOW) if final else None,
        "due_at": (info.due_at or NOW) if due else None,
    }
    row |= {"token": 1 if info.state is State.RUNNING else None}
    row |= {"reason": str(info.reason or Reason.FAILED) if info.state is State.DEAD else None}
    row |= {"error_type": kind, "error_message": message, "error_detail": detail}
    row |= {"options": json.dumps({"tags": dict(info.tags)}) if info.tags else None}
    with store_of(adapter).write(durable=False) as db:
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        db.execute(
            "INSERT INTO counters VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1", (str(info.state), info.queue)
        )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """A file that the examples fill up."""
    path = tmp_path_factory.mktemp("crowd") / "q.db"
    with open_sqlite(f"sqlite:{path}", clock=ManualClock(NOW)) as adapter:
        yield adapter


@pytest.mark.slow
@given(FILTERS, JOBS, st.sampled_from([1, 7, 1000]), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_filtered_listing_is_what_the_predicate_lets_through(
    crowd: Adapter, text: str, info: JobInfo, limit: int, oldest_first: bool
) -> None:
    """The file grows by a job an example."""
    try:
        where = parse(text)
    except BadFilter:
        assume(False)
    number = crowd.inspector.count()
    put_as(crowd, info, f"{info.id[:3]}{number}".replace("\0", ""))
    jobs = everything(crowd, None, 1000, oldest_first=oldest_first)
    assert len(jobs) == number + 1
    expected = [each.id for each in jobs if where.matches(each, NOW)]
    assert [each.id for each in everything(crowd, where, limit, oldest_first=oldest_first)] == expected
    assert crowd.inspector.count(where) == len(expected)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("file_is_small", [False, True])
def test_runs_beyond_what_is_merged_at_once(
    drive: Drive, adapter: Adapter, monkeypatch: pytest.MonkeyPatch, oldest_first: bool, file_is_small: bool
) -> None:
    monkeypatch.setattr(look, "AT_A_TIME", 3)
    monkeypatch.setattr(look, "RUN_COST", 1000 if file_is_small else 0)
    for number in range(60):
        drive.put(queue=f"q{number * 7 % 11}")
    drive.claim(13)
    ids = [each.id for each in everything(adapter, None, 100, oldest_first=oldest_first)]
    states = {each.id: each.state for each in everything(adapter, None, 100, oldest_first=oldest_first)}
    for text, state in (("state:ready", State.READY), ("state:running", State.RUNNING)):
        where = parse(text)
        expected = [id for id in ids if states[id] is state]
        for limit in (1, 2, 10, 100):
            assert [each.id for each in everything(adapter, where, limit, oldest_first=oldest_first)] == expected
        assert adapter.inspector.count(where) == len(expected)


def test_counting_the_states_of_very_many_queues(drive: Drive, adapter: Adapter) -> None:
    jobs = [drive.job(queue=f"q{number}") for number in range(300)]
    adapter.broker.enqueue(jobs)
    drive.claim(5)
    assert adapter.inspector.count(parse("state:ready")) == 295
    assert adapter.inspector.count(parse("state:running")) == 5
    assert adapter.inspector.count(parse("state:ready,running")) == 300
    assert adapter.inspector.count(parse("state:ready task:t")) == 295
    assert len(everything(adapter, parse("state:running"), 2, oldest_first=False)) == 5


def test_a_listing_holds_on_to_nothing(drive: Drive, adapter: Adapter, path: str) -> None:
    """Walks that were not read to their end are closed, or the view would outlive the transaction."""
    drive.put(50, queue="a")
    drive.put(50, queue="b")
    where = parse("state:ready")
    runs = adapter.inspector.browse(where, limit=3)
    assert len(runs.jobs) == 3
    assert query(path, "PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0


@pytest.mark.parametrize("limit", [0, -5])
def test_a_page_has_room_for_one_at_least(drive: Drive, adapter: Adapter, limit: int) -> None:
    drive.put(3)
    page = adapter.inspector.browse(limit=limit)
    assert (len(page.jobs), page.next) == (1, 3)


# --- by id -------------------------------------------------------------------------------------------

ODD_IDS = [
    "%",
    "a%b",
    "a_b",
    "*",
    "a*",
    "é",
    "😀",
    "a'b",
    'a"b',
    "a\\",
    "A",
    "ab",
    "[a]",
    "x" * 255,
    "1",
    "01",
    "0x1",
    "NULL",
]


def test_ids_of_all_kinds(drive: Drive, adapter: Adapter) -> None:
    adapter.broker.enqueue([job(id) for id in ODD_IDS])
    for id in ODD_IDS:
        assert adapter.inspector.find(id) == id
        (info,) = adapter.inspector.get([id])
        assert info is not None
        assert info.id == id
        (result,) = adapter.results.results([id])
        assert result is not None
        assert adapter.operator.cancel([id])[0].after is State.CANCELLED
    assert adapter.inspector.find("a%") == "a%b"
    assert adapter.inspector.find("xx") == "x" * 255
    with pytest.raises(AmbiguousJob):
        adapter.inspector.find("a")


@pytest.mark.parametrize("prefix", ["", "?", "%%", "z", "\0", "\udcff", "a\udcff", "\U0010ffff"])
def test_what_begins_no_id(adapter: Adapter, prefix: str) -> None:
    adapter.broker.enqueue([job(id) for id in ODD_IDS])
    with pytest.raises(UnknownJob):
        adapter.inspector.find(prefix)
    assert adapter.inspector.get([prefix]) == [None]
    assert adapter.inspector.attempts(prefix) == []
    assert adapter.results.results([prefix]) == [None]
    assert adapter.results.output(prefix) == []
    for verb in (adapter.operator.retry, adapter.operator.cancel, adapter.operator.delete):
        (change,) = verb([prefix])
        assert (change.before, change.after) == (None, None)


def test_what_has_ended_is_looked_for_where_it_stands(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not among a backlog; but where most have ended, a walk over the whole file is the shorter way."""
    adapter.broker.enqueue([job(f"job-{number}", queue=f"q{number % 3}") for number in range(60)])
    asked: list[Any] = []
    stretch = look._stretch

    def watched(columns: str, run: Any, *more: Any) -> Any:
        asked.append(run)
        return stretch(columns, run, *more)

    monkeypatch.setattr(look, "_stretch", watched)
    ids = [each.id for each in adapter.inspector.browse(limit=100).jobs]
    asked.clear()
    adapter.operator.cancel(ids[:20])
    where = parse("finished>-1h")
    assert [each.id for each in adapter.inspector.browse(where).jobs] == ids[:20]
    assert {state for _, state, _ in asked} == {State.CANCELLED}
    assert adapter.inspector.count(where) == 20
    asked.clear()
    adapter.operator.cancel(ids[20:50])
    assert [each.id for each in adapter.inspector.browse(where).jobs] == ids[:50]
    assert asked == [None]
    assert adapter.inspector.count(where) == 50
