"""The worker's parts that need no process."""

from __future__ import annotations

import os
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.memory import open_memory
from qtool.engine.brokers.memory.operator import MemoryOperator
from qtool.engine.clock import ManualClock
from qtool.engine.job import Chunk, Done, Fail, Failure, Job, Policy, Retry
from qtool.engine.output import HEAD, TAIL
from qtool.engine.pipeline import Direct
from qtool.engine.states import Reason, State
from qtool.engine.worker import wire
from qtool.engine.worker.capture import Recorder
from qtool.engine.worker.descriptors import read_file, receive_fds
from qtool.engine.worker.health import Health
from qtool.engine.worker.options import Silence, Summary, WorkerEvent
from qtool.engine.worker.outbox import Outbox
from qtool.engine.worker.output import Output
from qtool.engine.worker.rates import Rates
from qtool.engine.worker.reactor import Reactor
from qtool.engine.worker.readahead import HORIZON, MOST, ReadAhead
from qtool.engine.worker.timers import Timers
from qtool.errors import BrokerBusy, BrokerDenied, BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

# --- health ------------------------------------------------------------------------------------------


def test_an_outage_is_said_once_for_each_kind_of_reason_and_that_it_is_over() -> None:
    said: list[str] = []
    clock = ManualClock()
    reactor = Reactor(clock)
    try:
        health = Health(reactor, clock, said.append)
        refused = BrokerUnreachable(url="redis://h", why="Connection refused")
        denied = BrokerDenied(url="redis://h", why="invalid password")
        for _ in range(2):
            said.clear()
            for error in (refused, refused, denied, refused, denied):
                health.failed(error)
                clock.advance(10.0)
            health.answered()
            health.answered()
            assert said == [
                f"{refused} The worker keeps its outcomes and tries again.",
                f"The broker still fails: {denied}",
                "The broker answers again.",
            ]
    finally:
        reactor.close()


# --- rates -------------------------------------------------------------------------------------------


def test_rates_are_told_once_and_again_until_the_broker_takes_them() -> None:
    clock = ManualClock()
    with open_memory(clock=clock) as adapter:
        told: list[dict[str, float | None]] = []
        busy = [True]

        class Operator(MemoryOperator):
            def declare(self, rates: Mapping[str, float | None]) -> None:
                told.append(dict(rates))
                if busy.pop() if busy else False:
                    raise BrokerBusy(url="memory:", seconds=1.0)
                adapter.operator.declare(rates)

        assert isinstance(adapter.operator, MemoryOperator)
        reactor = Reactor(clock)
        try:
            rates = Rates(Operator(adapter.operator._store), reactor, Health(reactor, clock, lambda _: None))
            rates({"slow": 2.0, "free": None})
            assert adapter.inspector.limits() == []
            clock.advance(2.0)
            reactor.turn(sleep=False)
            (limit,) = adapter.inspector.limits()
            assert (limit.name, limit.rate) == ("slow", 2.0)
            # The pool's next process says the same.
            rates({"slow": 2.0, "free": None})
            assert len(told) == 2
        finally:
            reactor.close()


# --- read-ahead --------------------------------------------------------------------------------------


def test_nothing_is_read_ahead_before_run_times_are_known() -> None:
    assert ReadAhead(4).ahead == 0


def test_short_runs_open_the_window_and_a_long_one_shuts_it() -> None:
    window = ReadAhead(2)
    seen = []
    for _ in range(20):
        window.learn(16, 16 * 5e-6)
        seen.append(window.ahead)
    assert seen[:3] == [1, 2, 4]
    assert seen[-1] > 300
    window.learn(1, 0.5)
    assert window.ahead == 0


def test_the_window_follows_the_horizon_and_the_slots() -> None:
    window = ReadAhead(1)
    for _ in range(200):
        window.learn(1, 0.001)
    assert window.ahead == pytest.approx(HORIZON / 0.001, abs=1)
    many = ReadAhead(512)
    for _ in range(200):
        many.learn(1, 0.0)
    assert many.ahead * 512 <= MOST


def test_runs_that_a_clock_says_took_less_than_no_time_shut_nothing() -> None:
    """A wall clock is set back by a few milliseconds all the time."""
    for back in (1e-9, 20e-6, 0.0005, 0.003, 3600.0):
        window = ReadAhead(2)
        for _ in range(20):
            window.learn(4, -4 * back)
            assert window.ahead >= 0
        assert window.ahead > 0


# --- timers ------------------------------------------------------------------------------------------


def test_timers_run_in_order_and_once() -> None:
    timers, ran = Timers(), []
    for when in (3.0, 1.0, 2.0):
        timers.at(when, lambda when=when: ran.append(when))  # type: ignore[misc]
    assert timers.next == 1.0
    timers.run(2.0)
    timers.run(2.0)
    assert ran == [1.0, 2.0]
    assert timers.next == 3.0


# --- output ------------------------------------------------------------------------------------------


def test_small_output_is_kept_whole_and_joined() -> None:
    output = Output()
    for stream, data in (("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")):
        output.add(stream, data)
    assert [(c.stream, c.offset, c.data) for c in output.take()] == [
        ("stdout", 0, b"ab"),
        ("stderr", 2, b"c"),
        ("stdout", 3, b"d"),
    ]
    assert output.take() == ()
    output.add("stdout", b"e")
    assert output.take()[0].offset == 4


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_written_head_and_tail_are_right_and_memory_bounded(seed: int) -> None:
    draw = random.Random(seed)
    stored: list[Chunk] = []
    whole, output = bytearray(), Output()
    for _ in range(draw.randrange(1, 60)):
        piece = draw.randbytes(draw.choice([1, 100, 5000, 65536, 200_000]))
        whole += piece
        output.add("stdout", piece)
        assert output._held <= HEAD + 2 * TAIL + len(piece)
        if draw.random() < 0.1:
            stored += output.take()
    stored += output.take()
    assert output.offset == len(whole)
    for chunk in stored:
        assert whole[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
    covered = {n for c in stored for n in range(c.offset, c.offset + len(c.data))}
    assert covered >= {*range(min(HEAD, len(whole))), *range(max(0, len(whole) - TAIL), len(whole))}


@pytest.mark.parametrize("seed", range(20))
def test_the_task_s_side_counts_what_it_drops(seed: int) -> None:
    draw = random.Random(seed)
    whole, output = bytearray(), Output()

    def send(pieces: list[tuple[str, int, bytes]]) -> None:
        for stream, skipped, data in pieces:
            output.add(stream, data, skipped)

    recorder = Recorder(send)
    for _ in range(draw.randrange(1, 60)):
        piece = draw.randbytes(draw.choice([1, 100, 5000, 65536, 400_000])) + draw.choice([b"", b"\n"])
        whole += piece
        recorder.write("stdout", piece)
    recorder.flush()
    assert output.offset == len(whole)
    chunks = output.take()
    for chunk in chunks:
        assert whole[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
    covered = {n for c in chunks for n in range(c.offset, c.offset + len(c.data))}
    assert covered >= {*range(min(HEAD, len(whole))), *range(max(0, len(whole) - TAIL), len(whole))}


def test_a_line_is_sent_at_once_and_half_a_line_is_not() -> None:
    sent: list[bytes] = []
    recorder = Recorder(lambda pieces: sent.extend(data for _, _, data in pieces))
    recorder.write("stdout", b"half")
    assert sent == []
    recorder.write("stdout", b" a line\n")
    assert sent == [b"half a line\n"]


# --- the wire ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100_000, 131_000, 300_000])
def test_messages_of_any_size_arrive(size: int) -> None:
    near, far = wire.pair()
    text = "x" * size
    parts, whole = wire.Assembler(), None
    near.setblocking(False)
    wire.send(far, (7, text))
    while whole is None:
        data = near.recv(wire.BUFFER)
        whole = parts.add(data) if data[0] in wire.PARTS else data
    assert wire.decode(whole) == [7, text]
    near.close()
    far.close()


def test_lone_surrogates_are_spelled_out() -> None:
    near, far = wire.pair()
    wire.send(far, (1, "caf\udce9"))
    assert wire.decode(near.recv(100)) == [1, "caf\\udce9"]
    near.close()
    far.close()


def test_files_travel_and_an_empty_socket_does_not_block() -> None:
    near, far = wire.pair()
    wire.send_file(near, (1,), b"content")
    data, fds = receive_fds(far, 100)
    assert (wire.decode(data), read_file(fds[0])) == ([1], b"content")
    with pytest.raises(BlockingIOError):
        receive_fds(far, 100, socket.MSG_DONTWAIT)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[0])
    near.close()
    far.close()


# --- the outbox --------------------------------------------------------------------------------------


class Ears(Silence):
    """Listens."""

    wants_events = True

    def __init__(self) -> None:
        self.heard: list[WorkerEvent] = []

    def events(self, batch: list[WorkerEvent]) -> None:
        self.heard += batch


def _outbox(count: int) -> tuple[Any, Outbox, list[Any], Ears]:
    clock, ears = ManualClock(), Ears()
    adapter = open_memory(clock=clock)
    jobs = [
        Job(id=f"job-{n}", task="t", created_at=clock.now(), policy=Policy(retries=1, backoff=8)) for n in range(count)
    ]
    adapter.broker.enqueue(jobs)
    leases = adapter.broker.claim("me", (), count)
    return adapter, Outbox(adapter.broker, clock, lambda: 0.5, ears), leases, ears


def test_outcomes_are_stored_counted_and_told() -> None:
    adapter, outbox, leases, ears = _outbox(4)
    now = ManualClock().now()
    outbox.done(leases[0], now, now, "1")
    outbox.end(leases[1], Retry(Failure(type="E", message="")), Policy(retries=9))
    outbox.end(leases[2], Fail(Failure(type="E", message="x"), Reason.FAILED, final=True))
    outbox.give_back(leases[3])
    assert outbox.flush() == now
    states = [info.state for info in adapter.inspector.get([lease.id for lease in leases])]
    assert states == [State.SUCCEEDED, State.RETRY, State.DEAD, State.READY]
    outbox.tell()
    assert [event.kind for event in ears.heard] == ["succeeded", "retry", "dead", "ready"]
    summary = outbox.summary()
    assert (summary.succeeded, summary.retried, summary.dead, summary.late) == (1, 1, 1, 0)


def test_the_job_s_own_policy_goes_over_its_task_s() -> None:
    _, outbox, leases, _ = _outbox(1)
    settlement = outbox.end(leases[0], Fail(Failure(type="E", message="")), Policy(retries=0, backoff=99))
    assert settlement.state is State.RETRY
    assert settlement.due_at == settlement.at + 4.0


def test_late_outcomes_are_counted_apart() -> None:
    adapter, outbox, leases, _ = _outbox(2)
    adapter.broker.leave("me")
    for lease in leases:
        outbox.end(lease, Done(None))
    assert outbox.flush() is None
    assert (outbox.late, outbox.summary().succeeded) == (2, 0)


def test_what_cannot_be_stored_is_kept() -> None:
    _, outbox, leases, _ = _outbox(1)
    outbox.end(leases[0], Done(None))

    class Busy:
        def settle(self, settlements: Any) -> list[bool]:
            raise BrokerBusy(url="memory:", seconds=5)

    pipeline, outbox.pipeline = outbox.pipeline, Direct(Busy())  # type: ignore[arg-type]
    with pytest.raises(BrokerBusy):
        outbox.flush()
    assert outbox.summary().abandoned == 1
    outbox.pipeline = pipeline
    outbox.flush()
    assert outbox.summary() == Summary(succeeded=1, seconds=0.0)
