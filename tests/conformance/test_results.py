"""Results, and output kept within its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.job import Chunk, Report
from qtool.engine.output import HEAD, TAIL
from qtool.engine.states import State
from tests.conformance.drive import BOOM, LATER, Drive, chunk

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter


def test_results_keep_the_order_and_say_what_is_unknown(drive: Drive, adapter: Adapter) -> None:
    first, second = drive.put(2)
    drive.succeed(drive.claim_one(), "[1]")
    results = adapter.results.results([second, "no-such", first])
    assert [result.id if result else None for result in results] == [second, None, first]
    assert adapter.results.results([]) == []


@pytest.mark.parametrize("state", [state for state in State if state is not State.WAITING])
def test_a_result_tells_the_present_state(drive: Drive, adapter: Adapter, state: State) -> None:
    id = drive.reach(state)
    result = adapter.results.results([id])[0]
    assert result is not None
    assert (result.state, result.value) == (state, "1" if state is State.SUCCEEDED else None)
    assert result.error == (BOOM if state in (State.DEAD, State.RETRY) else None)


@pytest.mark.parametrize("text", [None, "null", '"\\u0000\\udcff"', '"' + "x" * 1_000_000 + '"'])
def test_results_come_back_as_they_were(drive: Drive, adapter: Adapter, text: str | None) -> None:
    lease = drive.start()
    drive.succeed(lease, text)
    result = adapter.results.results([lease.id])[0]
    assert result is not None
    assert result.value == text


def report(drive: Drive, *chunks: Chunk) -> None:
    (lease,) = drive.leases.values()
    drive.adapter.broker.report([Report(lease, output=chunks)])


def test_output_comes_back_as_it_was(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    every_byte = bytes(range(256))
    chunks = [Chunk("stdout", 0, every_byte), Chunk("stderr", 256, b"\xff\xfe"), Chunk("log", 258, b"\x00")]
    report(drive, *chunks[:2])
    report(drive, chunks[2])
    assert adapter.results.output(lease.id) == chunks


def test_output_from_a_byte_on(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    report(drive, chunk("abc"), chunk("def", 3), chunk("ghi", 6))
    assert adapter.results.output(lease.id, after=4) == [chunk("ef", 4), chunk("ghi", 6)]
    assert adapter.results.output(lease.id, after=3) == [chunk("def", 3), chunk("ghi", 6)]
    assert adapter.results.output(lease.id, after=9) == []


def test_there_is_no_output_of_what_there_is_not(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    assert adapter.results.output("no-such") == []
    assert adapter.results.output(lease.id) == []
    assert adapter.results.output(lease.id, attempt=7) == []


def test_each_attempt_has_its_own_output(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    drive.retry(lease, output=(chunk("first"),))
    assert adapter.results.output(lease.id) == [chunk("first")]
    drive.clock.advance(LATER)
    again = drive.claim_one()
    assert adapter.results.output(lease.id) == [], "the last attempt has not written anything yet"
    adapter.broker.report([Report(again, output=(chunk("second"),))])
    assert adapter.results.output(lease.id) == [chunk("second")]
    assert adapter.results.output(lease.id, attempt=1) == [chunk("first")]
    drive.succeed(again, output=(chunk("!", 6),))
    assert adapter.results.output(lease.id, attempt=2) == [chunk("second"), chunk("!", 6)]


@pytest.mark.parametrize("leaves", [False, True], ids=["snooze", "leave"])
def test_an_attempt_that_was_given_back_does_not_mix_with_the_next(
    drive: Drive, adapter: Adapter, leaves: bool
) -> None:
    lease = drive.start()
    report(drive, chunk("given back"))
    if leaves:
        adapter.broker.leave("w1")
    else:
        drive.snooze(lease)
    again = drive.claim_one()
    adapter.broker.report([Report(again, output=(chunk("new"),))])
    assert adapter.results.output(lease.id) == [chunk("new")]


def text_of(length: int) -> bytes:
    return b"".join(b"%07d\n" % n for n in range(length // 8))


def kept(chunks: list[Chunk]) -> dict[int, bytes]:
    """Stretches of what is there, by where they start."""
    stretches: dict[int, bytes] = {}
    start = end = -1
    for each in chunks:
        assert each.offset >= end, "chunks overlap or are out of order"
        if each.offset != end:
            start = each.offset
            stretches[start] = b""
        stretches[start] += each.data
        end = each.offset + len(each.data)
    return stretches


@pytest.mark.parametrize("piece", [1000, 64 * 1024, 10**7], ids=["small", "large", "whole"])
def test_head_and_tail_are_kept_and_the_gap_shows(drive: Drive, adapter: Adapter, piece: int) -> None:
    lease = drive.start()
    text = text_of(1_000_000)
    for at in range(0, len(text), piece):
        report(drive, Chunk("stdout", at, text[at : at + piece]))
    stretches = kept(adapter.results.output(lease.id))
    assert sorted(stretches)[0] == 0
    head, tail = (stretches[at] for at in sorted(stretches))
    tail_at = max(stretches)
    assert text.startswith(head)
    assert len(head) >= HEAD
    assert text[tail_at:] == tail
    assert len(tail) >= TAIL
    assert len(head) + len(tail) <= 2 * (HEAD + TAIL)
    assert sum(len(each.data) for each in adapter.results.output(lease.id, after=tail_at + 10)) == len(tail) - 10


def test_output_within_the_bound_is_whole(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    text = text_of(HEAD + TAIL)
    for at in range(0, len(text), 4096):
        report(drive, Chunk("stdout", at, text[at : at + 4096]))
    drive.succeed(lease)
    assert kept(adapter.results.output(lease.id)) == {0: text}


def test_the_bound_holds_also_for_what_comes_with_the_end(drive: Drive, adapter: Adapter) -> None:
    lease = drive.start()
    text = text_of(1_000_000)
    report(drive, Chunk("stdout", 0, text[:100_000]))
    drive.succeed(lease, output=(Chunk("stdout", 100_000, text[100_000:]),))
    stretches = kept(adapter.results.output(lease.id))
    assert text.endswith(stretches[max(stretches)])
    assert HEAD + TAIL <= sum(len(each) for each in stretches.values()) <= 2 * (HEAD + TAIL)
