"""Text that SQLite's UTF-8 cannot hold, large payloads, and output to the byte."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest

from qtool.engine.codec import MAX_PAYLOAD
from qtool.engine.job import Chunk, Failure, Report
from qtool.engine.output import HEAD, TAIL
from qtool.engine.states import State
from qtool.errors import BadName
from tests.unit.sqlite.tools import job

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from tests.conformance.drive import Drive


@pytest.mark.parametrize("field", ["id", "task", "queue", "unique"])
def test_a_name_that_is_not_utf_8_is_refused(adapter: Adapter, field: str) -> None:
    with pytest.raises(BadName, match="not valid text"):
        adapter.broker.enqueue([job("fine"), job(**{"id": "other", field: "a\udcff"})])
    assert adapter.inspector.count() == 0


@pytest.mark.parametrize("column", ["task", "body", "options"])
def test_a_job_that_somebody_broke_is_shown_before_a_worker_finds_it(adapter: Adapter, path: str, column: str) -> None:
    adapter.broker.enqueue([job("sound"), job("broken")])
    with closing(apsw.Connection(path)) as db:
        db.execute(f"UPDATE jobs SET {column} = CAST(? AS TEXT) WHERE id = 'broken'", (b"a\xff",))
    (info,) = adapter.inspector.get(["broken"])
    assert info is not None
    assert info.state is State.READY
    shown = {"task": info.task == "a\\xff", "body": info.error is not None, "options": info.error is not None}
    assert shown[column]
    assert {each.id for each in adapter.inspector.browse().jobs} == {"sound", "broken"}


@pytest.mark.parametrize("field", ["id", "task", "queue", "unique"])
def test_a_nul_is_kept(adapter: Adapter, field: str) -> None:
    """Names with it are refused where they come in; what is stored reads back as it was."""
    adapter.broker.enqueue([job(**{"id": "x", field: "a\0b"})])
    (info,) = adapter.inspector.browse().jobs
    assert getattr(info, field) == "a\0b"
    assert adapter.inspector.check() == []


def test_arguments_and_tags_hold_any_text(adapter: Adapter) -> None:
    torn = "a\0b\udcffé\x1b"
    adapter.broker.enqueue([job(args=(torn,), kwargs={torn: torn}, tags={"t": torn})])
    (info,) = adapter.inspector.browse().jobs
    assert (info.args, dict(info.kwargs), dict(info.tags)) == ((torn,), {torn: torn}, {"t": torn})


def test_errors_and_progress_are_stored_escaped(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    adapter.broker.report([Report(lease, 0.5, "half\udcff\0")])
    assert drive.info(lease.id).message == "half\\udcff\\x00"
    failure = Failure(type="E\udcff", message="a\udcff\0b", traceback="t\udcff\0")
    assert drive.fail(lease, failure=failure)
    stored = drive.info(lease.id).error
    assert stored == Failure(type="E\\udcff", message="a\\udcff\\x00b", traceback="t\udcff\0")
    assert adapter.inspector.attempts(lease.id)[0].error == stored


def test_a_worker_or_queue_that_nothing_can_be_called(drive: Drive, adapter: Adapter) -> None:
    drive.put()
    for act in (
        lambda: adapter.broker.claim("w\udcff", [], 1),
        lambda: adapter.broker.leave("w\udcff"),
        lambda: adapter.operator.pause("q\udcff"),
    ):
        with pytest.raises(BadName):
            act()
    assert drive.claim(5, ("q\udcff",)) == []
    assert not adapter.operator.resume("q\udcff")
    assert len(drive.claim(5)) == 1


def test_the_largest_payload_and_result(drive: Drive, adapter: Adapter) -> None:
    text = "x" * (MAX_PAYLOAD - len('[[""],{}]'))
    id = drive.put_one(args=(text,))
    lease = drive.claim_one()
    assert len(lease.body) == MAX_PAYLOAD
    assert drive.succeed(lease, f'"{text}"')
    assert drive.info(id).args == (text,)
    (result,) = adapter.results.results([id])
    assert result is not None
    assert result.value == f'"{text}"'


@pytest.mark.parametrize("piece", [1000, 4096, 65536, 100_000])
def test_output_is_bounded_to_the_byte(drive: Drive, adapter: Adapter, piece: int) -> None:
    lease = drive.start()
    whole = bytes(n % 251 for n in range(300_001))
    for start in range(0, len(whole), piece):
        data = whole[start : start + piece]
        stream = "stderr" if start // piece % 2 else "stdout"
        if start + piece < len(whole):
            adapter.broker.report([Report(lease, output=(Chunk(stream, start, data),))])
        else:
            assert drive.succeed(lease, output=(Chunk(stream, start, data),))
        kept = adapter.results.output(lease.id)
        end = min(start + piece, len(whole))
        covered = sorted((chunk.offset, chunk.offset + len(chunk.data)) for chunk in kept)
        assert sum(stop - first for first, stop in covered) == min(end, HEAD + TAIL)
        assert covered[0][0] == 0
        assert covered[-1][1] == end
        for chunk in kept:
            assert chunk.data == whole[chunk.offset : chunk.offset + len(chunk.data)]
    tail = adapter.results.output(lease.id, after=len(whole) - 10)
    assert b"".join(chunk.data for chunk in tail) == whole[-10:]
