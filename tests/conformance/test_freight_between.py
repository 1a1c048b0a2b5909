"""From each adapter to each other and back: all that can be seen of a job is the same, whatever it went through."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from qtool.engine.clock import ManualClock
from qtool.engine.job import Failure, Policy
from qtool.engine.moving import Mover
from qtool.engine.registry import ADAPTERS
from qtool.engine.states import FINAL, PENDING, Event, State
from tests.conformance.conftest import URLS
from tests.conformance.drive import LATER, Drive, chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter

KINDS = sorted(URLS.keys() & ADAPTERS.keys())


# What JSON and every store can hold; names without what no terminal shows.
_text = st.text(max_size=12)
_name = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_jobs = st.fixed_dictionaries(
    {"args": st.lists(_values, max_size=3).map(tuple), "kwargs": st.dictionaries(_text, _values, max_size=2)},
    optional={
        "task": _name,
        "queue": _name,
        "priority": st.integers(0, 9),
        "expires_at": st.floats(20 * LATER, 90 * LATER),
        "key": _name,
        "key_limit": st.integers(1, 3),
        "tags": st.dictionaries(_name, _text, min_size=1, max_size=2),
        "parents": st.lists(_name, max_size=2).map(tuple),
        "policy": st.builds(
            Policy,
            retries=st.none() | st.integers(0, 9),
            timeout=st.none() | st.floats(0.5, 99),
            jitter=st.none() | st.booleans(),
        ),
    },
)
_failures = st.builds(
    Failure,
    type=st.just("ValueError"),
    message=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    traceback=st.none() | st.just("Traceback…\n"),
    exit_code=st.none() | st.integers(0, 255),
)
_ways = st.lists(st.tuples(st.sampled_from(("retry", "snooze")), _failures, st.text("ab\n", max_size=5)), max_size=3)
_ends = st.sampled_from(("stay", "later", "succeed", "fail", "cancel", "expire"))


@pytest.fixture
def open_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened: list[Adapter] = []

    def new(kind: str, clock: ManualClock) -> Adapter:
        module, _, name = ADAPTERS[kind].partition(":")
        url = URLS[kind](request, tmp_path_factory.mktemp("store"))
        adapter: Adapter = getattr(import_module(module), name)(url, clock=clock)
        opened.append(adapter)
        return adapter

    yield new
    for adapter in opened:
        adapter.close()


def live(drive: Drive, way: list[tuple[str, Failure, str]], end: str, result: Any, job: dict[str, Any]) -> str:
    """A job that has been through all that."""
    id = drive.put_one(**job)
    for what, failure, wrote in way:
        lease = drive.claim_one()
        output = (chunk(wrote),) if wrote else ()
        if what == "retry":
            assert drive.retry(lease, failure=failure, output=output)
        else:
            assert drive.snooze(lease, LATER)
        drive.clock.advance(LATER + 1)
        drive.adapter.broker.maintain()
    if end == "later":
        assert drive.retry(drive.claim_one())
    elif end == "succeed":
        assert drive.succeed(drive.claim_one(), result, output=(chunk("done"),))
    elif end == "fail":
        assert drive.fail(drive.claim_one())
    elif end == "cancel":
        assert drive.settle(drive.claim_one(), Event.CANCEL, State.CANCELLED)
    elif end == "expire" and "expires_at" in job:
        drive.clock.advance(100 * LATER)
        drive.adapter.broker.maintain()
    return id


def seen(adapter: Adapter, id: str) -> Any:
    """Everything but what holds it back, which is the store's own affair."""
    (info,) = adapter.inspector.get([id])
    assert info is not None
    outputs = [adapter.results.output(id, attempt=number) for number in range(info.attempt + 1)]
    return replace(info, held=None), adapter.inspector.attempts(id), adapter.results.results([id]), outputs


def carry(source: Adapter, target: Adapter, id: str) -> None:
    mover = Mover(source, target)
    mover.begin()
    assert list(mover.finish()) == []
    ((moved,),) = mover.move([id], PENDING | FINAL)
    assert moved.moved, moved
    assert source.inspector.get([id]) == [None]


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("here", KINDS)
@pytest.mark.timeout(120)
def test_there_and_back_is_where_it_was(open_: Any, here: str, there: str) -> None:
    clock = ManualClock()
    source, target = open_(here, clock), open_(there, clock)
    drive = Drive(source, clock)

    @settings(max_examples=20, deadline=None, phases=[Phase.generate])
    @given(job=_jobs, way=_ways, end=_ends, result=st.sampled_from((None, "1", '"text"', '{"a": [1.50]}', "null")))
    def round_trip(job: dict[str, Any], way: list[tuple[str, Failure, str]], end: str, result: Any) -> None:
        if "expires_at" in job:
            job = job | {"expires_at": clock.now() + job["expires_at"]}
        id = live(drive, way, end, result, job)
        before = seen(source, id)
        carry(source, target, id)
        assert seen(target, id) == before
        carry(target, source, id)
        assert seen(source, id) == before
        for adapter in (source, target):
            assert adapter.inspector.check() == []
        source.operator.delete([id])

    round_trip()
