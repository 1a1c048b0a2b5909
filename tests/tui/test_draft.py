"""An edit while others change the same job: it undoes nothing, doubles nothing, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine.brokers.memory import open_memory
from qtool.engine.clock import ManualClock
from qtool.engine.codec import MAX_PAYLOAD
from qtool.engine.job import UNSAID, Done, Fail, Failure, Job, JobInfo, Lease, Policy, Retry
from qtool.engine.policy import decide
from qtool.engine.states import State
from qtool.errors import BrokerError, PayloadTooLarge, UsageError
from qtool.tui.draft import made, plan, texts, wrongs

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.broker import Adapter, Change
    from qtool.tui.deeds import Plan, Step

NOW = 1_767_225_600.0
WORKER = "w"


class Scene:
    """Jobs in memory, one that is edited, and somebody else."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.adapter = open_memory(clock=self.clock)

    def add(self, id: str, **more: Any) -> JobInfo:
        self.adapter.broker.enqueue([Job(id=id, task="shop.pay", created_at=self.clock.now(), **more)])
        return self.get(id)

    def get(self, id: str) -> JobInfo:
        found = self.adapter.inspector.get([id])[0]
        assert found is not None
        return found

    def start(self) -> Lease:
        return self.adapter.broker.claim(WORKER, (), 1)[0]

    def end(self, lease: Lease, outcome: Any) -> None:
        now = self.clock.now()
        settled = decide(lease, outcome, Policy(retries=3), now=now, started_at=now, random=lambda: 0.5)
        assert self.adapter.broker.settle([settled]) != [None]

    def dead(self, id: str) -> JobInfo:
        self.add(id)
        self.end(self.start(), Fail(Failure(type="E", message="no"), final=True))
        return self.get(id)

    def jobs(self) -> dict[str, str]:
        """Every job and its state; the copy by that name."""
        return {job.id: str(job.state) for job in self.adapter.inspector.browse(None).jobs}

    def edit_plan(self, job: JobInfo, *, instead: bool = True, delete: bool = False) -> Plan:
        """What would be done now, where the form says nothing else than the job does."""
        copy = made(texts(job, self.clock.now()), job, self.clock.now(), id="copy")
        return plan(copy, job, instead=instead, delete=delete)

    def edit(self, job: JobInfo, *, delete: bool = False, instead: bool = True, adapter: Adapter | None = None) -> Any:
        """The steps of an edit that was opened when the job was as it is here."""
        return self.edit_plan(job, instead=instead, delete=delete).steps(adapter or self.adapter)

    def broken(self, side: str, **methods: Callable[..., Any]) -> Adapter:
        """The same broker, with these methods of a side in place of its own."""
        whole = {name: getattr(self.adapter, name) for name in type(self.adapter).__slots__}
        real = whole[side]

        class Side:
            def __getattr__(self, name: str) -> Any:
                return methods.get(name) or getattr(real, name)

        return type(self.adapter)(**(whole | {side: Side()}))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def carried(steps: Any) -> tuple[list[Step], str]:
    """What was told step by step, and how it failed."""
    told: list[Step] = []
    try:
        told.extend(steps)
    except (UsageError, BrokerError) as error:
        return told, str(error)
    return told, ""


def refuses(*_: Any) -> Any:
    raise BrokerError(url="x", why="the disk is full")


def changes(told: list[Step]) -> list[tuple[State | None, State | None]]:
    found: list[Change] = [change for step in told if not isinstance(step, str) for change in step]
    return [(change.before, change.after) for change in found]


# --- the form ------------------------------------------------------------------------------------------


def test_a_form_that_nobody_touches_makes_the_same_job_again(scene: Scene) -> None:
    policy = Policy(retries=3, backoff=1.5, backoff_cap=60.0, timeout=3661.5, grace=5.0, jitter=False, on_crash="dead")
    said: dict[str, Any] = {
        "args": (1, "é"), "kwargs": {"vip": True}, "queue": "pay", "priority": 7, "run_at": NOW + 60, "unique": "one",
        "expires_at": NOW + 3600, "key": "ann", "key_limit": 2, "tags": {"team": "post"}, "parents": (),
        "policy": policy,
    }  # fmt: skip
    job = scene.add("original", **said)
    copy = made(texts(job, NOW), job, NOW)
    assert {name: getattr(copy, name) for name in said} == said
    assert (copy.task, copy.created_at) == ("shop.pay", NOW)
    assert copy.id != job.id


def test_a_payload_that_is_too_large_is_refused_before_anything_is_done(scene: Scene) -> None:
    job = scene.add("original")
    with pytest.raises(PayloadTooLarge):
        made(texts(job, NOW) | {"args": f'["{"x" * (MAX_PAYLOAD + 1)}"]'}, job, NOW)


def test_what_a_job_does_not_say_is_left_to_the_task(scene: Scene) -> None:
    job = scene.add("original")
    said = texts(job, NOW)
    assert [said[name] for name in ("retries", "backoff", "timeout", "run_at")] == ["", "", "", ""]
    assert made(said, job, NOW).policy == UNSAID


def test_times_that_are_over_are_not_copied(scene: Scene) -> None:
    job = scene.add("original", run_at=NOW + 60, expires_at=NOW + 100)
    later = NOW + 100
    assert texts(job, later)["run_at"] == ""
    assert made(texts(job, later), job, later).expires_at is None


@pytest.mark.parametrize(
    ("field", "text", "wrong"),
    [
        ("task", "", "task"),
        ("queue", "a b", "queue"),
        ("priority", "10", "is not a priority"),
        ("run_at", "soon", "soon"),
        ("retries", "-1", "-1"),
        ("backoff", "x", "x"),
        ("timeout", "0", "A timeout of 0"),
        ("args", "{}", "args is an array"),
        ("args", "[1", "args is not JSON"),
        ("kwargs", "[]", "kwargs is an object"),
        ("kwargs", "{", "kwargs is not JSON"),
    ],
)
def test_what_cannot_be_is_said_of_its_field(scene: Scene, field: str, text: str, wrong: str) -> None:
    job = scene.add("original")
    said = texts(job, NOW)
    assert wrongs(said, NOW) == {}
    found = wrongs(said | {field: text}, NOW)
    assert list(found) == [field]
    assert wrong in found[field]


# --- an edit that nobody disturbs ----------------------------------------------------------------------


def test_what_waits_is_cancelled_before_its_copy_is_there(scene: Scene) -> None:
    job = scene.add("original", unique="one")
    seen: list[dict[str, str]] = []

    def enqueue(jobs: Any) -> Any:
        seen.append(scene.jobs())
        return scene.adapter.broker.enqueue(jobs)

    told, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=enqueue)))
    assert wrong == ""
    assert seen == [{"original": "cancelled"}]
    assert scene.jobs() == {"original": "cancelled", "copy": "ready"}
    assert changes(told) == [(State.READY, State.CANCELLED)]
    assert told[-1] == "Enqueued as copy."


def test_what_runs_is_asked_to_stop_once_its_copy_is_there(scene: Scene) -> None:
    scene.add("original")
    scene.start()
    told, wrong = carried(scene.edit(scene.get("original")))
    assert wrong == ""
    assert told[0] == "Enqueued as copy."
    assert changes(told) == [(State.RUNNING, State.RUNNING)]
    assert scene.jobs() == {"original": "running", "copy": "ready"}


@pytest.mark.parametrize("delete", [False, True])
def test_what_is_dead_is_kept_or_deleted(scene: Scene, delete: bool) -> None:
    job = scene.dead("original")
    told, wrong = carried(scene.edit(job, delete=delete))
    assert wrong == ""
    assert scene.jobs() == ({"copy": "ready"} if delete else {"original": "dead", "copy": "ready"})
    assert changes(told) == ([(State.DEAD, None)] if delete else [])


@pytest.mark.parametrize("delete", [False, True])
def test_a_copy_touches_no_original(scene: Scene, delete: bool) -> None:
    job = scene.dead("original")
    carried(scene.edit(job, instead=False, delete=delete))
    assert scene.jobs() == {"original": "dead", "copy": "ready"}
    scene.adapter.operator.retry(["original"])
    carried(scene.edit(scene.get("original"), instead=False))
    assert scene.jobs()["original"] == "ready"


# --- a copy that cannot be enqueued --------------------------------------------------------------------


def test_an_original_that_was_ready_is_put_back(scene: Scene) -> None:
    job = scene.add("original")
    told, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=refuses)))
    assert scene.jobs() == {"original": "ready"}
    assert changes(told) == [(State.READY, State.CANCELLED), (State.CANCELLED, State.READY)]
    assert "the disk is full" in wrong
    assert "The original was put back." in wrong


def test_an_original_that_had_to_wait_is_not_put_back_to_run_at_once(scene: Scene) -> None:
    job = scene.add("original", run_at=NOW + 3600)
    assert "stays cancelled" in scene.edit_plan(job).happens
    told, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=refuses)))
    assert scene.get("original").state is State.CANCELLED
    assert changes(told) == [(job.state, State.CANCELLED)]
    assert "the disk is full" in wrong
    assert "stays cancelled" in wrong
    assert "at once" in wrong


def test_an_original_that_waited_for_its_next_attempt_is_put_back(scene: Scene) -> None:
    scene.add("original", policy=Policy(retries=3))
    scene.end(scene.start(), Retry(Failure(type="E", message="no"), in_=60.0))
    job = scene.get("original")
    assert "is put back" in scene.edit_plan(job).happens
    _, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=refuses)))
    assert scene.get("original").state is State.READY
    assert "The original was put back." in wrong


def test_what_has_become_due_while_the_form_was_open_is_edited_all_the_same(scene: Scene) -> None:
    job = scene.add("original", run_at=NOW + 60)
    steps = scene.edit(job)
    scene.clock.advance(61)
    scene.adapter.broker.maintain()
    assert scene.get("original").state is State.READY
    assert carried(steps)[1] == ""
    assert scene.jobs() == {"original": "cancelled", "copy": "ready"}


def test_an_original_that_cannot_be_put_back_is_not_said_to_be(scene: Scene) -> None:
    """Somebody else took its unique key, between the two steps."""
    job = scene.add("original", unique="one")

    def enqueue(jobs: Any) -> Any:
        if "theirs" not in scene.jobs():
            scene.add("theirs", unique="one")
        return scene.adapter.broker.enqueue(jobs)

    told, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=enqueue)))
    assert scene.jobs() == {"original": "cancelled", "theirs": "ready"}
    assert changes(told)[-1] == (State.CANCELLED, State.CANCELLED)
    assert "No copy was enqueued: job theirs holds its unique key 'one'." in wrong
    assert "The original stays cancelled: job theirs holds its unique key." in wrong


def test_a_broker_that_has_gone_is_said_with_what_became_of_the_original(scene: Scene) -> None:
    job = scene.add("original")
    adapter = scene.broken("broker", enqueue=refuses)
    adapter = type(adapter)(
        **{name: getattr(adapter, name) for name in type(adapter).__slots__ if name != "operator"},
        operator=scene.broken("operator", retry=refuses).operator,
    )
    told, wrong = carried(scene.edit(job, adapter=adapter))
    assert changes(told) == [(State.READY, State.CANCELLED)]
    assert "The original stays cancelled" in wrong


def test_what_somebody_did_to_the_original_between_the_steps_stays(scene: Scene) -> None:
    """It was deleted while the copy failed: nothing is put back, and nothing is said to be."""
    job = scene.add("original")

    def enqueue(jobs: Any) -> Any:
        scene.adapter.operator.delete(["original"])
        refuses()

    _, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=enqueue)))
    assert scene.jobs() == {}
    assert "put back" not in wrong
    assert "The original is gone" in wrong


def test_what_somebody_has_retried_between_the_steps_is_said_to_be_there(scene: Scene) -> None:
    job = scene.add("original")

    def enqueue(jobs: Any) -> Any:
        scene.adapter.operator.retry(["original"])
        refuses()

    told, wrong = carried(scene.edit(job, adapter=scene.broken("broker", enqueue=enqueue)))
    assert scene.jobs() == {"original": "ready"}
    assert changes(told)[-1] == (State.READY, State.READY)
    assert "The original is ready by now." in wrong


def test_a_running_original_goes_on_where_its_copy_cannot_be_enqueued(scene: Scene) -> None:
    scene.add("original", unique="one")
    scene.start()
    told, wrong = carried(scene.edit(scene.get("original")))
    assert told == []
    assert "holds its unique key 'one'. Nothing was changed." in wrong


# --- two people ----------------------------------------------------------------------------------------


def somebody_retries(scene: Scene) -> None:
    scene.adapter.operator.retry(["original"])


def somebody_cancels(scene: Scene) -> None:
    scene.adapter.operator.cancel(["original"])


def somebody_deletes(scene: Scene) -> None:
    scene.adapter.operator.delete(["original"])


def somebody_edits(scene: Scene) -> None:
    job = scene.get("original")
    assert carried(plan(made(texts(job, NOW), job, NOW, id="theirs"), job, instead=True, delete=True).steps(
        scene.adapter
    ))[1] == ""  # fmt: skip


def a_worker_starts_it(scene: Scene) -> None:
    scene.start()


def ready(scene: Scene) -> JobInfo:
    return scene.add("original")


def dead(scene: Scene) -> JobInfo:
    return scene.dead("original")


@pytest.mark.parametrize(
    ("stood", "meanwhile", "by_now"),
    [
        (ready, somebody_cancels, "cancelled"),
        (ready, somebody_deletes, "gone"),
        (ready, somebody_edits, "cancelled"),
        (ready, a_worker_starts_it, "running"),
        (dead, somebody_retries, "ready"),
        (dead, somebody_deletes, "gone"),
        (dead, somebody_edits, "gone"),
    ],
)
@pytest.mark.parametrize("delete", [False, True])
def test_what_was_changed_while_the_form_was_open_is_left_as_it_is(
    scene: Scene, stood: Any, meanwhile: Any, by_now: str, delete: bool
) -> None:
    job = stood(scene)
    steps = scene.edit(job, delete=delete)
    meanwhile(scene)
    before = scene.jobs()
    told, wrong = carried(steps)
    assert scene.jobs() == before
    assert changes(told) == []
    assert f"The job is {by_now} by now" in wrong
    assert "othing was changed" in wrong


@pytest.mark.parametrize("outcome", ["succeeds", "is tried again"])
def test_what_ran_and_does_no_more_is_not_done_twice(scene: Scene, outcome: str) -> None:
    scene.add("original", policy=Policy(retries=3))
    lease = scene.start()
    steps = scene.edit(scene.get("original"))
    scene.end(lease, Done("1") if outcome == "succeeds" else Retry(Failure(type="E", message="no"), in_=60.0))
    before = scene.jobs()
    _, wrong = carried(steps)
    assert scene.jobs() == before
    assert f"The job is {before['original']} by now" in wrong


def test_a_job_that_starts_between_the_look_and_the_cancelling_is_said_to_run(scene: Scene) -> None:
    job = scene.add("original")

    def cancel(ids: Any) -> Any:
        scene.start()
        return scene.adapter.operator.cancel(ids)

    told, wrong = carried(scene.edit(job, adapter=scene.broken("operator", cancel=cancel)))
    assert wrong == ""
    assert scene.jobs() == {"original": "running", "copy": "ready"}
    assert any("had started meanwhile" in step for step in told if isinstance(step, str))


def test_a_job_that_is_cancelled_between_the_look_and_the_cancelling_gets_no_copy(scene: Scene) -> None:
    job = scene.add("original")

    def cancel(ids: Any) -> Any:
        somebody_cancels(scene)
        return scene.adapter.operator.cancel(ids)

    told, wrong = carried(scene.edit(job, adapter=scene.broken("operator", cancel=cancel)))
    assert (told, scene.jobs()) == ([], {"original": "cancelled"})
    assert "The job is cancelled by now" in wrong


def test_a_job_that_started_and_whose_copy_failed_is_said_to_have_been_asked_to_stop(scene: Scene) -> None:
    job = scene.add("original")

    def cancel(ids: Any) -> Any:
        scene.start()
        return scene.adapter.operator.cancel(ids)

    adapter = scene.broken("operator", cancel=cancel)
    adapter = type(adapter)(
        **{name: getattr(adapter, name) for name in type(adapter).__slots__ if name != "broker"},
        broker=scene.broken("broker", enqueue=refuses).broker,
    )
    told, wrong = carried(scene.edit(job, adapter=adapter))
    assert changes(told) == [(State.RUNNING, State.RUNNING)]
    assert "was asked to stop" in wrong
    assert "put back" not in wrong
