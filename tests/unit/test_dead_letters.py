"""Dead jobs in groups: read a bounded number at a time, and read again."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.memory import open_memory
from qtool.engine.brokers.sqlite import open_sqlite
from qtool.engine.clock import ManualClock
from qtool.engine.dead_letters import AGAIN, FIRST, GROUPS, OTHERS, PAGE, WINDOWS, DeadLetters
from qtool.engine.filter import parse
from qtool.engine.job import UNSAID, Fail, Failure, Job
from qtool.engine.policy import decide
from qtool.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qtool.engine.broker import Adapter

NOW = 1_767_225_600.0


class Hall:
    """A broker in which jobs die."""

    def __init__(self, adapter: Adapter, clock: ManualClock) -> None:
        self.adapter, self.clock = adapter, clock
        self.letters = DeadLetters(clock)
        self._number = 0

    def die(
        self,
        count: int,
        message: str | Callable[[int], str] = "no order {}".format,
        *,
        queue: str = "q",
        task: str = "pay",
    ) -> list[str]:
        """So many jobs die of this."""
        ids = [f"j{self._number + n:07}" for n in range(count)]
        self._number += count
        now = self.clock.now()
        said = message if callable(message) else message.format
        self.adapter.broker.enqueue([Job(id=id, task=task, queue=queue, created_at=now) for id in ids])
        leases = self.adapter.broker.claim("w", [queue], count)
        settlements = [
            decide(
                lease,
                Fail(Failure(type="ValueError", message=said(n)), final=True),
                UNSAID,
                now=now,
                started_at=now,
                random=lambda: 0.5,
            )
            for n, lease in enumerate(leases)
        ]
        assert None not in self.adapter.broker.settle(settlements)
        return ids

    def read(self, **more: Any) -> dict[str, int]:
        """Read once more: how many there are by message."""
        self.letters.read(self.adapter.inspector, **more)
        return {group.fingerprint.message: group.count for group in self.letters.found().groups}


@pytest.fixture(params=["memory", "sqlite"])
def hall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hall]:
    clock = ManualClock(NOW)
    adapter = (
        open_memory(clock=clock) if request.param == "memory" else open_sqlite(f"sqlite://{tmp_path}/d.db", clock=clock)
    )
    with adapter:
        yield Hall(adapter, clock)


def test_the_same_errors_are_one_group(hall: Hall) -> None:
    hall.die(30)
    hall.clock.advance(90)
    hall.die(3, queue="r")
    hall.die(2, "disk full")
    hall.die(1, "no money", task="refund")
    assert hall.read() == {"no order <n>": 33, "disk full": 2, "no money": 1}
    group, _, other = hall.letters.found().groups
    assert (dict(group.queues), dict(group.tasks), dict(group.reasons)) == (
        {"q": 30, "r": 3},
        {"pay": 33},
        {"failed": 33},
    )
    assert other.tasks == {"refund": 1}


def test_a_group_tells_when_and_gives_the_last_one_as_example(hall: Hall) -> None:
    hall.die(3)
    hall.clock.advance(90)
    last = hall.die(1)[0]
    hall.read()
    (group,) = hall.letters.found().groups
    assert (group.first_at, group.last_at, group.example) == (NOW, NOW + 90, last)
    assert group.message == "no order 0"
    hour = group.series(0, hall.clock.now())
    assert (len(hour), hour[-3:]) == (WINDOWS[0].steps, (0.0, 3.0, 1.0))
    assert sum(group.series(1, hall.clock.now())) == 4.0


def test_new_ones_come_in_without_reading_all_again(hall: Hall) -> None:
    hall.die(PAGE * 3)
    assert hall.read() == {"no order <n>": PAGE * 3}
    hall.die(10, "disk full")
    assert hall.read(again=20)["disk full"] == 10


def test_a_reading_is_bounded_and_tells_how_far_it_is(hall: Hall) -> None:
    hall.die(PAGE * 4)
    assert hall.read(first=PAGE) == {"no order <n>": PAGE}
    found = hall.letters.found()
    assert (found.read, found.total, found.complete) == (PAGE, PAGE * 4, False)
    hall.die(5, "disk full")
    assert hall.read(first=PAGE)["disk full"] == 5
    for _ in range(4):
        hall.read(first=PAGE)
    found = hall.letters.found()
    assert (found.read, found.total, found.complete) == (PAGE * 4 + 5, PAGE * 4 + 5, True)


def test_what_was_retried_or_deleted_leaves_its_group(hall: Hall) -> None:
    ids = hall.die(PAGE * 2)
    gone = hall.die(4, "disk full")
    hall.read()
    hall.adapter.operator.retry(ids[:100])
    hall.adapter.operator.delete(gone)
    before = hall.letters.found().read_at
    hall.clock.advance(5)
    assert hall.read(again=PAGE) == {"no order <n>": PAGE * 2, "disk full": 4}
    assert hall.letters.found().again == PAGE
    hall.read(again=PAGE)
    assert hall.read(again=PAGE) == {"no order <n>": PAGE * 2 - 100}
    assert hall.letters.found().read_at > before


def test_where_nothing_changes_nothing_is_read(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.die(3)
    hall.read()
    asked: list[object] = []
    browse = type(hall.adapter.inspector).browse

    def counted(*args: Any, **more: Any) -> Any:
        asked.append(args)
        return browse(*args, **more)

    monkeypatch.setattr(type(hall.adapter.inspector), "browse", counted)
    hall.read(changed=False)
    assert not asked
    hall.read(changed=True)
    assert asked


def test_a_change_in_what_was_read_already_starts_another_pass(hall: Hall) -> None:
    ids = hall.die(PAGE * 2)
    hall.read()
    hall.read(again=PAGE, changed=True)
    hall.adapter.operator.retry(ids[-10:])
    hall.read(again=PAGE, changed=True)
    for _ in range(3):
        hall.read(again=PAGE, changed=False)
    assert hall.letters.found().read == PAGE * 2 - 10


def test_a_filter_chooses_among_them(hall: Hall) -> None:
    hall.die(3)
    hall.die(2, queue="r")
    hall.letters = DeadLetters(hall.clock, parse("queue:r or queue:x"))
    assert hall.read() == {"no order <n>": 2}


def test_a_group_is_met_again_by_its_filter_and_its_fingerprint(hall: Hall) -> None:
    mine = hall.die(3)
    hall.die(2, "disk full")
    hall.read()
    group = hall.letters.found().groups[0]
    passed = hall.adapter.inspector.browse(group.where()).jobs
    assert sorted(job.id for job in passed if group.holds(job)) == mine
    hall.adapter.operator.retry(mine[:1])
    (job,) = hall.adapter.inspector.get(mine[:1])
    assert job is not None
    assert job.state is State.READY
    assert not group.holds(job)


def test_names_that_look_like_patterns_are_taken_as_they_are(hall: Hall) -> None:
    mine = hall.die(2, queue='q"*', task="a task\\with?")
    hall.read()
    (group,) = hall.letters.found().groups
    assert sorted(job.id for job in hall.adapter.inspector.browse(group.where()).jobs) == mine


def test_too_many_different_errors_are_counted_together(hall: Hall) -> None:
    hall.die(GROUPS + 50, lambda n: "error " + "".join(chr(ord("a") + int(digit)) for digit in str(n)))
    hall.read()
    groups = hall.letters.found().groups
    assert len(groups) == GROUPS + 1
    others = groups[0]
    assert (others.fingerprint, others.count, others.together) == (OTHERS, 50, False)


def test_nothing_dead_is_no_group(hall: Hall) -> None:
    assert hall.read() == {}
    assert hall.letters.found().complete
    hall.die(1, "disk full")
    assert hall.read() == {"disk full": 1}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixty_thousand_are_read_in_bounded_steps_and_memory(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    with open_sqlite(f"sqlite://{tmp_path}/d.db", clock=clock) as adapter:
        hall = Hall(adapter, clock)
        for _ in range(60):
            hall.die(1_000, "no order {} for 'somebody'")
        pages: list[int] = []
        browse = adapter.inspector.browse

        class Counted:
            def __getattr__(self, name: str) -> Any:
                return getattr(adapter.inspector, name)

            def browse(self, *args: Any, **more: Any) -> Any:
                pages.append(more["limit"])
                return browse(*args, **more)

        inspector: Any = Counted()
        tracemalloc.start()
        readings = 0
        while not hall.letters.complete:
            pages.clear()
            hall.letters.read(inspector)
            assert sum(pages) <= FIRST + PAGE
            readings += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert hall.letters.found().read == 60_000
        assert readings >= 60_000 / FIRST
        assert peak < 20_000_000
        pages.clear()
        hall.letters.read(inspector)
        assert sum(pages) <= AGAIN + PAGE
