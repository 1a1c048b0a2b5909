"""A Celery client, unmodified, and a Celery application's tasks: at Celery's own worker, and at qtool's, alike."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError, MaxRetriesExceededError, Reject
from celery.result import AsyncResult, GroupResult

from tests.worker.conftest import eventually

if TYPE_CHECKING:
    from celery.canvas import Signature

    from tests.interop.application.conftest import Fleet

WITHIN = 20.0


def got(result: Any) -> Any:
    """Its value; what it raises is raised."""
    return result.get(timeout=WITHIN)


def ended(result: AsyncResult) -> AsyncResult:
    """The same, once its state is final."""
    eventually(result.ready, within=WITHIN)
    return result


def failed(result: AsyncResult) -> tuple[str, tuple[Any, ...]]:
    """The class and the arguments of what it ended in."""
    ended(result)
    assert result.state == "FAILURE"
    return type(result.result).__name__, result.result.args


# --- one task ----------------------------------------------------------------------------------------


def test_a_call_has_its_result(fleet: Fleet) -> None:
    result = fleet.task("add", 2, 3).delay()
    assert got(result) == 5
    assert result.state == "SUCCESS"
    assert result.children == []
    assert result.date_done is not None


def test_a_failure_has_its_class_its_arguments_and_its_traceback(fleet: Fleet) -> None:
    result = fleet.task("fail", "too bad").delay()
    assert failed(result) == ("Odd", ("too bad",))
    stored = json.loads(cast("str", fleet.redis.get(f"celery-task-meta-{result.id}")))["result"]
    assert stored == {"exc_type": "Odd", "exc_message": ["too bad"], "exc_module": "proj.tasks"}
    assert "in fail" in result.traceback
    with pytest.raises(KeyError, match="gone"):
        got(fleet.task("fail", "gone", kind="key").delay())


@pytest.mark.parametrize(
    "value", [datetime(2026, 11, 23, tzinfo=UTC), uuid.UUID(int=7)], ids=lambda value: type(value).__name__
)
def test_celery_s_own_types_arrive_and_come_back(fleet: Fleet, value: Any) -> None:
    assert got(fleet.task("kinds", value).delay()) == [type(value).__name__, value]


def test_a_result_that_is_no_json_is_a_failure(fleet: Fleet) -> None:
    assert failed(fleet.task("unserialisable").delay())[0] == "EncodeError"


def test_what_ignores_its_result_stores_none(fleet: Fleet) -> None:
    key = uuid.uuid4().hex
    result = fleet.task("quiet", key).delay()
    assert fleet.notes(key, 1) == ["ran"]
    after = fleet.task("add", 1, 1).apply_async(ignore_result=True)
    got(fleet.task("add", 1, 2).delay())
    assert (result.state, after.state) == ("PENDING", "PENDING")


def test_an_unknown_task_is_not_registered(fleet: Fleet) -> None:
    assert failed(fleet.app.signature("proj.tasks.nothing").delay())[0] == "NotRegistered"


def test_a_bound_task_sees_its_request(fleet: Fleet) -> None:
    result = fleet.task("whoami", 1, b=[2]).apply_async(
        headers={"tenant": "a"}, time_limit=50, soft_time_limit=40, expires=500, countdown=0, priority=3
    )
    said = got(result)
    assert said == {
        "id": result.id,
        "root_id": result.id,
        "parent_id": None,
        "correlation_id": result.id,
        "reply_to": True,
        "task": "proj.tasks.whoami",
        "args": [1],
        "kwargs": {"b": [2]},
        "retries": 0,
        "eta": False,
        "expires": True,
        "group": None,
        "group_index": None,
        "chord": False,
        "chain": 0,
        "callbacks": 0,
        "errbacks": 0,
        "timelimit": [50, 40],
        "headers": said["headers"],
        "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 3, "redelivered": False},
        "priority": 3,
        "is_eager": False,
        "called_directly": False,
        "ignore_result": None,
        "argsrepr": "(1,)",
        "hostname": True,
        "stamps": {},
        "current": "proj.tasks.whoami",
    }
    assert said["headers"]["tenant"] == "a"
    assert not [name for name in said["headers"] if name.startswith("qtool")]


def test_stamps_arrive_and_travel_on(fleet: Fleet) -> None:
    step = fleet.task("whoami")
    step.stamp(tenant="a")
    steps = chain(fleet.task("add", 1, 1), fleet.task("whoami"))
    steps.stamp(tenant="b")
    assert got(step.delay())["stamps"] == {"tenant": "a"}
    assert got(steps.delay())["stamps"] == {"tenant": "b"}


def test_a_class_that_overrides_call(fleet: Fleet) -> None:
    assert got(fleet.task("called", 3).delay()) == ["called", [3, False]]


def test_the_process_s_signals_came_before_its_first_task(fleet: Fleet) -> None:
    # Celery's own come in its parent, and before the others.
    assert sorted(set(got(fleet.task("lives").delay()))) == ["finalized", "worker_init", "worker_process_init"]


# --- retries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("countdown", [0, 0.3])
def test_a_retry_runs_again_under_its_id(fleet: Fleet, countdown: float) -> None:
    result = fleet.task("flaky", 2, countdown=countdown, extra="kept").delay()
    assert got(result) == [2, {"extra": "kept"}]
    assert fleet.notes(result.id, 3) == ["0", "1", "2"]
    eventually(lambda: fleet.redis.hlen("unacked") == 0)


def test_a_retry_that_waits_says_so(fleet: Fleet) -> None:
    result = fleet.task("waiting", 1.5).delay()
    eventually(lambda: result.state == "RETRY")
    assert type(result.info).__name__ == "Odd"
    assert result.info.args == ("wait",)
    assert got(result) == "done"


def test_retries_run_out(fleet: Fleet) -> None:
    result = fleet.task("spent").delay()
    assert failed(result) == ("Odd", ("never",))
    assert fleet.notes(result.id, 3) == ["0", "1", "2"]
    without = fleet.task("spent", with_error=False).delay()
    with pytest.raises(MaxRetriesExceededError):
        got(without)


def test_a_retry_may_change_arguments_and_queue(fleet: Fleet) -> None:
    assert got(fleet.task("changed", 1).delay()) == [2, True]
    assert got(fleet.task("elsewhere").delay()) == "other"


def test_autoretry(fleet: Fleet) -> None:
    assert got(fleet.task("auto", 2).delay()) == 2
    result = fleet.task("auto", 9).delay()
    assert failed(result) == ("KeyError", ("again",))
    assert fleet.notes(result.id, 3) == ["0", "1", "2"]


def test_a_retried_link_of_a_chain_goes_on(fleet: Fleet) -> None:
    steps = chain(fleet.task("add", 1, 0), fleet.task("flaky", countdown=0), fleet.task("echo"))
    assert got(steps.delay()) == [[[1, {}]], {}]


# --- replaced, ignored, rejected ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arg", "value"),
    [("swap", 1, 11), ("swap_chain", 1, 22), ("swap_group", 3, [0, 2, 4]), ("swap_chord", 3, 6)],
)
def test_a_task_that_replaces_itself(fleet: Fleet, name: str, arg: int, value: Any) -> None:
    assert got(fleet.task(name, arg).delay()) == value
    assert got(chain(fleet.task(name, arg), fleet.task("echo")).delay()) == [[value], {}]


def test_a_replacement_counts_for_its_chord(fleet: Fleet) -> None:
    assert got(chord([fleet.task("swap", 1), fleet.task("add", 1, 1)], fleet.task("total")).delay()) == 13


def test_ignore_leaves_what_the_task_stored(fleet: Fleet) -> None:
    result = fleet.task("ignored").delay()
    eventually(lambda: result.state == "GONE")
    got(fleet.task("add", 1, 2).delay())
    assert (result.state, result.info) == ("GONE", {"at": 3})


def test_reject(fleet: Fleet) -> None:
    result = fleet.task("rejected").delay()
    assert failed(result)[0] == Reject.__name__
    key = uuid.uuid4().hex
    assert got(fleet.task("rejected", key).delay()) == "at last"
    assert len(fleet.notes(key, 2)) == 2


# --- time and processes ------------------------------------------------------------------------------


def test_a_soft_time_limit_is_celery_s_exception(fleet: Fleet) -> None:
    assert got(fleet.task("soft").delay()) == "caught"
    result = fleet.task("soft", catch=False).delay()
    assert failed(result) == ("SoftTimeLimitExceeded", ())
    assert got(fleet.task("nap", 20).apply_async(soft_time_limit=1)) == "woken"
    assert got(fleet.task("nap", 0.1).apply_async(soft_time_limit=1)) == "slept"


@pytest.mark.slow
def test_a_hard_time_limit_kills(fleet: Fleet) -> None:
    result = fleet.task("hard").apply_async(link_error=fleet.task("old_errback"))
    assert failed(result) == ("TimeLimitExceeded", (1,))
    # Celery's workers may tell it twice: of the limit, and of the process that was killed for it.
    assert set(fleet.notes(f"error:{result.id}", 1)) == {result.id}
    assert failed(fleet.task("nap", 20).apply_async(time_limit=1)) == ("TimeLimitExceeded", (1,))
    assert got(fleet.task("add", 1, 1).delay()) == 2


def test_started_is_told_where_the_task_asks(fleet: Fleet) -> None:
    assert got(fleet.task("tracked").delay()) == "STARTED"


def test_a_state_of_its_own(fleet: Fleet) -> None:
    key = uuid.uuid4().hex
    result = fleet.task("progress", key).delay()
    eventually(lambda: result.state == "PROGRESS")
    assert result.info == {"done": 1, "total": 3}
    fleet.redis.rpush(f"note:{key}", "go on")
    assert got(result) == "done"


def test_a_task_that_exits(fleet: Fleet) -> None:
    assert failed(fleet.task("exits", 3).delay())[0] == "WorkerLostError"


@pytest.mark.slow
def test_a_task_that_takes_its_process_down(fleet: Fleet) -> None:
    result = fleet.task("crash").apply_async(link_error=fleet.task("old_errback"))
    assert failed(result)[0] == "WorkerLostError"
    # Celery gives up at once; qtool tries three times in all.
    assert len(fleet.notes(result.id, 1)) == (1 if fleet.make == "celery" else 3)
    assert set(fleet.notes(f"error:{result.id}", 1)) == {result.id}


# --- hooks and signals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        (
            "ok",
            ["before_start", "on_success ok", "success ok", "after_return SUCCESS", "postrun SUCCESS"],
        ),
        (
            "fail",
            ["before_start", "on_failure Odd('bad')", "failure Odd('bad')", "after_return FAILURE", "postrun FAILURE"],
        ),
        (
            "retry",
            [
                *["before_start", "on_retry Odd('again')", "retry Odd('again')", "postrun RETRY", "prerun 1"],
                *["before_start", "on_success retry", "success retry", "after_return SUCCESS", "postrun SUCCESS"],
            ],
        ),
    ],
)
def test_hooks_and_signals_in_their_order(fleet: Fleet, how: str, lines: list[str]) -> None:
    result = ended(fleet.task("observed", how).delay())
    assert fleet.notes(result.id, 1 + len(lines)) == ["prerun 0", *lines]


# --- canvas ------------------------------------------------------------------------------------------


def test_links_run_with_the_result(fleet: Fleet) -> None:
    key = uuid.uuid4().hex
    result = fleet.task("add", 2, 2).apply_async(link=[fleet.task("on_result", key), fleet.task("double")])
    assert fleet.notes(key, 1) == ["result 4"]
    assert got(result) == 4
    eventually(lambda: result.children)
    assert len(result.children) == 1
    assert {each.get(timeout=WITHIN) for each in result.children[0].children} == {None, 8}
    one = fleet.task("add", 2, 2).apply_async(link=fleet.task("double"))
    assert got(one) == 4
    assert [each.get(timeout=WITHIN) for each in one.children] == [8]


def test_errbacks_run_with_the_error(fleet: Fleet) -> None:
    result = fleet.task("fail", "bad").apply_async(link_error=[fleet.task("old_errback"), fleet.task("new_errback")])
    assert failed(result) == ("Odd", ("bad",))
    assert sorted(fleet.notes(f"error:{result.id}", 2)) == sorted([result.id, "Odd bad True"])


def test_a_chain(fleet: Fleet) -> None:
    result = chain(fleet.task("add", 1, 2), fleet.task("add", 4), fleet.task("double")).delay()
    assert got(result) == 14
    assert got(result.parent) == 7
    assert got(result.parent.parent) == 3
    assert [each.id for each in result.parent.children] == [result.id]
    first = result.parent.parent
    assert first.get_leaf() == 14
    assert [value for _, value in first.collect()] == [3, 7, 14]


def test_the_ids_in_a_chain(fleet: Fleet) -> None:
    result = chain(fleet.task("whoami"), fleet.task("whoami")).delay()
    last, first = got(result), got(result.parent)
    assert last["root_id"] == first["id"] == result.parent.id
    assert last["parent_id"] == first["id"]
    assert (first["chain"], last["chain"]) == (1, 0)


def test_a_chain_that_breaks(fleet: Fleet) -> None:
    steps = chain(fleet.task("add", 1, 2), immutable(fleet.task("fail", "broken")), fleet.task("double"))
    result = steps.apply_async(link_error=fleet.task("old_errback"))
    # Celery stores the failure of the one that broke for those that were to follow it.
    assert failed(result) == ("Odd", ("broken",))
    assert failed(result.parent) == ("Odd", ("broken",))
    assert fleet.notes(f"error:{result.parent.id}", 1) == [result.parent.id]


def immutable(step: Signature) -> Signature:
    """The signature, to which no result is passed."""
    step.immutable = True
    return step


def test_a_group(fleet: Fleet) -> None:
    result = group(fleet.task("add", number, number) for number in range(5)).delay()
    assert got(result) == [0, 2, 4, 6, 8]
    assert len({each["group"] for each in got(group(fleet.task("whoami"), fleet.task("whoami")).delay())}) == 1


def test_a_chord(fleet: Fleet) -> None:
    result = chord([fleet.task("add", number, number) for number in range(10)], fleet.task("total")).delay()
    assert got(result) == 90
    assert isinstance(result.parent, GroupResult)
    assert got(result.parent) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    eventually(lambda: not list(fleet.redis.scan_iter("celery-taskset-meta-*.[jts]")))


def test_a_chord_with_a_header_that_fails(fleet: Fleet) -> None:
    body = fleet.task("total").on_error(fleet.task("old_errback"))
    result = chord([fleet.task("add", 1, 1), fleet.task("fail", "header")], body).delay()
    assert isinstance(ended(result).result, ChordError)
    assert re.fullmatch(r"Dependency .* raised Odd\('header'\)", str(result.result))
    assert fleet.notes(f"error:{result.id}", 1) == [result.id]


def test_a_chord_whose_body_fails(fleet: Fleet) -> None:
    result = chord([fleet.task("add", 1, 1)] * 2, immutable(fleet.task("fail", "body"))).delay()
    assert failed(result) == ("Odd", ("body",))


@pytest.mark.slow
def test_a_chord_with_a_header_that_is_killed(fleet: Fleet) -> None:
    result = chord([fleet.task("add", 1, 1), fleet.task("hard")], fleet.task("total")).delay()
    assert isinstance(ended(result).result, ChordError)
    assert re.fullmatch(r"Dependency .* raised TimeLimitExceeded\(1(\.0)?,?\)", str(result.result))


def test_a_chord_with_retries_in_its_header(fleet: Fleet) -> None:
    header = [fleet.task("auto", 1), fleet.task("auto", 2), fleet.task("auto", 0)]
    assert got(chord(header, fleet.task("total")).delay()) == 3


def test_more_for_a_chord(fleet: Fleet) -> None:
    assert got(chord([fleet.task("more_of_chord", 1), fleet.task("add", 1, 1)], fleet.task("total")).delay()) == 104


def test_nested(fleet: Fleet) -> None:
    def add(*args: int) -> Any:
        return fleet.task("add", *args)

    double, total = fleet.task("double"), fleet.task("total")
    assert got(chain(add(1, 1), group(add(1), add(2)), total, double).delay()) == 14
    inner = chord([add(1, 1), add(2, 2)], total)
    assert got(chord([inner, chain(add(1, 1), double), add(5, 5)], total).delay()) == 20
    assert got(chain(group(add(1, 1), add(2, 2)), group(total.clone(), total.clone())).delay()) == [6, 6]
    assert got(group(chain(add(1, 1), double), group(add(2, 2), add(3, 3))).delay()) == [4, 4, 6]
    assert got(chord([chain(add(1, 1), group(add(1), add(2)), total)], total).delay()) == 7


def test_map_starmap_and_chunks(fleet: Fleet) -> None:
    add = fleet.app.signature("proj.tasks.add")
    starmap = fleet.app.signature("celery.starmap", kwargs={"task": add, "it": [[1, 1], [2, 2]]}, immutable=True)
    assert got(starmap.delay()) == [2, 4]
    double = fleet.app.signature("proj.tasks.double")
    mapped = fleet.app.signature("celery.map", kwargs={"task": double, "it": [1, 2]}, immutable=True)
    assert got(mapped.delay()) == [2, 4]


def test_children_of_a_task_that_calls_others(fleet: Fleet) -> None:
    result = fleet.task("parent", 3).delay()
    ids = got(result)
    assert [child.id for child in result.children] == ids
    assert [got(child) for child in result.children] == [1, 2, 3]
