"""No statement walks over all jobs: what it costs does not grow with the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.sqlite.look import _stretch
from qtool.engine.brokers.sqlite.rows import JOB_COLUMNS
from qtool.engine.brokers.sqlite.store import SQL
from qtool.engine.filter import parse
from tests.unit.sqlite.tools import store_of

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter

COUNTS_FOR_CHECK = {"miscounted"}
SMALL = re.compile(r"SCAN (counters|r|paused|limits|workers|p VIRTUAL|json_each VIRTUAL|\(subquery)|SCAN CONSTANT ROW")
"""One row a queue, a limit, a worker, a priority or a name asked for, or what an inner query found by an index."""


def plan(adapter: Adapter, statement: str, values: Any) -> list[str]:
    with store_of(adapter).read() as db:
        return [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]


def values_for(statement: str) -> Any:
    if named := set(re.findall(r"(?<!:):([a-z_]+)", statement)):
        return dict.fromkeys(named, 1)
    if numbered := re.findall(r"\?(\d+)", statement):
        return [1] * max(map(int, numbered))
    return [1] * statement.count("?")


@pytest.mark.parametrize("name", sorted(SQL.keys() - COUNTS_FOR_CHECK))
def test_no_named_statement_scans_jobs(adapter: Adapter, name: str) -> None:
    steps = plan(adapter, SQL[name], values_for(SQL[name]))
    for step in steps:
        if step.startswith("SCAN"):
            assert SMALL.match(step), steps


def test_the_claim_reads_its_index_in_order(adapter: Adapter) -> None:
    steps = plan(adapter, SQL["claim"], values_for(SQL["claim"]))
    assert any("USING INDEX jobs_ready (queue=?)" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_nothing_that_is_bounded_sorts_more_than_its_stretch(adapter: Adapter) -> None:
    for name in ("due", "overdue", "next_due", "prefix", "holder", "claimable", "oldest_ready"):
        steps = plan(adapter, SQL[name], values_for(SQL[name]))
        assert not any("FOR ORDER BY" in step for step in steps), (name, steps)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("after", [None, 5])
@pytest.mark.parametrize("where", ["error~x", "state:dead or task:a*", 'tag.team=billing not args~"x"'])
def test_a_listing_walks_in_its_own_order(adapter: Adapter, oldest_first: bool, after: int | None, where: str) -> None:
    condition, values = parse(where).sql(0.0)
    ends = (
        (None, "jobs"),
        (("q", "ready", 1), "SEARCH jobs USING INDEX jobs_state (queue=? AND state=?"),
        (("q", "running", 1), "SEARCH jobs USING INDEX jobs_running (queue=?"),
    )
    for run, walks in ends:
        steps = plan(adapter, *_stretch(JOB_COLUMNS, run, condition, values, after, 101, oldest_first))
        assert walks in steps[0]
        assert not any("TEMP B-TREE" in step for step in steps), steps
        if after is not None:
            assert re.search(r"(rowid|seq)[<>]\?", steps[0]), steps


def test_history_reads_only_its_own_time(adapter: Adapter) -> None:
    steps = plan(adapter, SQL["history"], values_for(SQL["history"]))
    assert steps[0] == "SEARCH rollups USING PRIMARY KEY (span=? AND at>? AND at<?)"
