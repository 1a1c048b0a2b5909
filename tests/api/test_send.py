"""Enqueueing from Python: what a job gets from the call, the task, the routes and the defaults; handles and batches."""

from __future__ import annotations

import os
import re
import threading
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from qtool import Batch, Client, Handle, JobFailed, Task, WaitTimedOut, connect, task
from qtool.engine.job import Policy
from qtool.engine.states import State
from qtool.errors import BadName, NotSerialisable, PayloadTooLarge, ReadOnlyContext, UnknownJob, UnknownScheme

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.conftest import RunAll

Send = Task[[str], str, str]


@pytest.fixture
def send(client: Client) -> Send:
    @task(name="mail.send")
    def send(to: str) -> str:
        if to == "nobody":
            raise ValueError("no such address")
        return f"sent to {to}"

    return send


# --- one job -----------------------------------------------------------------------------------------


def test_send_and_read_the_result(send: Send, run_all: RunAll) -> None:
    handle = send.delay("ann")
    assert handle.state is State.READY
    assert not handle.ready()
    assert run_all() == 1
    assert handle.ready()
    assert handle.successful()
    assert not handle.failed()
    assert handle.result(timeout=0) == "sent to ann"
    assert handle.get(timeout=0) == "sent to ann"
    assert handle.info().args == ("ann",)
    assert not handle.existing


def test_a_failure_is_raised_with_the_remote_traceback(send: Send, run_all: RunAll) -> None:
    handle = send.delay("nobody")
    run_all()
    assert handle.failed()
    with pytest.raises(JobFailed, match=r"ended dead \(failed\): ValueError: no such address") as caught:
        handle.result()
    assert caught.value.data["id"] == handle.id
    assert 'raise ValueError("no such address")' in caught.value.__notes__[0]


def test_waiting_has_a_bound(send: Send) -> None:
    handle = send.delay("ann")
    before = time.monotonic()
    with pytest.raises(WaitTimedOut, match=r"did not finish within 0\.05 s \(it is ready\)"):
        handle.result(timeout=0.05)
    assert time.monotonic() - before < 5


def test_waiting_is_woken(send: Send, run_all: RunAll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtool.engine.handle.POLL", 60.0)
    handle = send.delay("ann")
    found: list[str] = []
    waiter = threading.Thread(target=lambda: found.append(handle.result(timeout=30)))
    waiter.start()
    run_all()
    waiter.join(20)
    assert found == ["sent to ann"]


def test_cancelling(send: Send, run_all: RunAll) -> None:
    handle = send.delay("ann")
    assert handle.cancel()
    assert not handle.cancel()
    assert handle.state is State.CANCELLED
    assert run_all() == 0
    with pytest.raises(JobFailed, match="ended cancelled"):
        handle.result()


def test_killing(client: Client, send: Send) -> None:
    waiting, running = send.delay("ann"), send.delay("bob")
    broker = client.adapter().broker
    (lease,) = broker.claim("me", (), 1)
    assert waiting.kill()
    assert running.kill()
    assert not next(each for each in (waiting, running) if each.id != lease.id).kill()
    with pytest.raises(UnknownJob):
        client.job("nothing").kill()


def test_arguments_that_do_not_fit_are_refused_at_once(client: Client, send: Send) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'to'"):
        send.delay()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'cc'"):
        send.apply_async(("ann",), {"cc": "bob"})
    with pytest.raises(TypeError, match="missing a required argument: 'to'"):
        client.enqueue(send)
    with pytest.raises(TypeError, match="too many positional arguments"):
        send.starmap([("ann",), ("ann", "bob")])
    assert client.adapter().inspector.count() == 0


def test_what_is_not_json_is_refused(client: Client, send: Send) -> None:
    with pytest.raises(NotSerialisable, match="The job's arguments cannot be written as JSON"):
        send.delay(object())  # type: ignore[arg-type]
    with pytest.raises(PayloadTooLarge):
        send.delay("x" * (17 * 1024 * 1024))
    assert client.adapter().inspector.count() == 0


def test_an_unknown_option_is_named(send: Send) -> None:
    with pytest.raises(TypeError, match="apply_async: unknown option retires"):
        send.apply_async(("ann",), retires=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"link=.* is not supported yet"):
        send.apply_async(("ann",), link="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "two words"}, "queue 'two words' cannot be used"),
        ({"queue": "\x1b[31m"}, "control"),
        ({"task_id": "a\0"}, "id "),
        ({"unique": ""}, "unique key '' cannot be used: it is empty"),
        ({"unique": lambda to: f"{to}\0"}, "NUL"),
        ({"tags": {"": "x"}}, "tag '' cannot be used"),
    ],
)
def test_bad_names_are_refused(client: Client, send: Send, options: Any, words: str) -> None:
    with pytest.raises(BadName, match=re.escape(words)):
        send.apply_async(("ann",), **options)
    with pytest.raises(BadName, match="task 'two words'"):
        client.enqueue("two words")
    assert client.adapter().inspector.count() == 0


# --- where options come from -------------------------------------------------------------------------


def test_a_calls_options_reach_the_job(send: Send) -> None:
    info = send.apply_async(
        ["ann"], queue="slow", priority=3, retries=2, backoff=1, timeout=9, tags={"team": "x"}, task_id="my-id"
    ).info()
    assert (info.id, info.queue, info.priority, dict(info.tags)) == ("my-id", "slow", 3, {"team": "x"})
    assert info.policy == Policy(retries=2, backoff=1, timeout=9)


def test_times(send: Send) -> None:
    now = time.time()
    later = datetime.now(UTC) + timedelta(hours=1)
    assert send.apply_async(["ann"], countdown=60).info().due_at == pytest.approx(now + 60, abs=5)
    assert send.apply_async(["ann"], eta=later).info().due_at == pytest.approx(later.timestamp())
    assert send.apply_async(["ann"], eta=now + 30).info().due_at == pytest.approx(now + 30)
    assert send.apply_async(["ann"], countdown=timedelta(hours=1)).info().due_at == pytest.approx(now + 3600, abs=5)
    assert send.apply_async(["ann"], countdown=60).state is State.SCHEDULED
    assert send.apply_async(["ann"], expires=60).info().expires_at == pytest.approx(now + 60, abs=5)
    assert send.apply_async(["ann"], expires=timedelta(minutes=2)).info().expires_at == pytest.approx(now + 120, abs=5)
    assert send.apply_async(["ann"], expires=later).info().expires_at == pytest.approx(later.timestamp())


def test_call_over_task_over_route_over_default(client: Client, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[routes]\n"mail.*" = {queue = "post", priority = 5}\n')
    client = connect(str(client._settings.broker))

    @task(name="mail.plain")
    def plain() -> None: ...

    @task(name="mail.own", queue="own", priority=0)
    def own() -> None: ...

    @task(name="other.plain")
    def other() -> None: ...

    def where(handle: Handle[Any]) -> tuple[str, int]:
        info = handle.info()
        return info.queue, info.priority

    assert where(client.enqueue(plain)) == ("post", 5)
    assert where(client.enqueue("mail.by_name")) == ("post", 5)
    assert where(client.enqueue(own)) == ("own", 0)
    assert where(client.send(own, queue="call", priority=9)) == ("call", 9)
    assert where(client.send(plain, queue="call")) == ("call", 5)
    assert where(client.enqueue(other)) == ("default", 0)
    client.close()


def test_the_tasks_policy_stays_with_the_task(client: Client) -> None:
    @task(retries=5, expires=60, tags={"team": "x"})
    def send() -> None: ...

    info = send.delay().info()
    assert info.policy == Policy()
    assert info.expires_at is not None
    assert dict(info.tags) == {"team": "x"}


def test_unique(client: Client) -> None:
    @task(unique=True)
    def by_arguments(user: int, *, note: str = "", other: str = "") -> None: ...

    @task(unique=lambda user, note="": f"user-{user}")
    def by_user(user: int, note: str = "") -> None: ...

    @task
    def plain() -> None: ...

    first = by_arguments.delay(1, note="a", other="b")
    again = by_arguments.delay(1, other="b", note="a")
    assert (again.id, again.existing) == (first.id, True)
    assert by_arguments.delay(2).id != by_arguments.delay(3).id
    assert by_user.delay(1, "x").id == by_user.delay(1, "y").id
    assert by_user.delay(1).info().unique == "user-1"
    key = plain.apply_async(unique="only")
    assert plain.apply_async(unique="only").id == key.id
    assert plain.delay().id != plain.delay().id


def test_key(client: Client) -> None:
    @task(key="whole", key_limit=2)
    def one_place() -> None: ...

    @task(key=lambda user=None: f"user-{user}" if user else None)
    def by_user(user: int | None = None) -> None: ...

    @task
    def plain() -> None: ...

    def told(handle: Handle[None]) -> tuple[str | None, int]:
        info = handle.info()
        return info.key, info.key_limit

    assert told(one_place.delay()) == ("whole", 2)
    assert told(one_place.apply_async(key="other", key_limit=5)) == ("other", 5)
    assert told(one_place.apply_async(key=None)) == (None, 1)
    assert told(by_user.delay(7)) == ("user-7", 1)
    assert told(by_user.delay()) == (None, 1)
    assert told(plain.delay()) == (None, 1)
    assert told(plain.apply_async(key="k")) == ("k", 1)
    with pytest.raises(BadName, match="key '' cannot be used"):
        task(key=lambda: "")(lambda: None).delay()


# --- many --------------------------------------------------------------------------------------------


def test_map(send: Send, run_all: RunAll) -> None:
    batch = send.map(f"user-{number}" for number in range(2500))
    assert len(batch) == 2500
    assert len(set(batch.ids)) == 2500
    assert run_all() == 2500
    assert list(batch.results(timeout=5)) == [f"sent to user-{number}" for number in range(2500)]
    assert batch[1234].result() == "sent to user-1234"
    assert batch[-1].result() == "sent to user-2499"
    assert [handle.id for handle in batch[998:1002]] == list(batch.ids)[998:1002]
    assert next(iter(batch)) == batch[0]
    with pytest.raises(IndexError):
        _ = batch[2500]


def test_map_of_nothing(send: Send) -> None:
    batch = send.map([])
    assert len(batch) == 0
    assert list(batch.results()) == []
    assert list(batch) == []


def test_starmap_and_options(client: Client) -> None:
    @task
    def add(x: int, y: int) -> int:
        return x + y

    batch = add.starmap([(1, 2), (3, 4)], queue="sums", priority=2)
    info = batch[1].info()
    assert (info.args, info.queue, info.priority) == ((3, 4), "sums", 2)
    with pytest.raises(TypeError, match="task_id names one job"):
        add.starmap([(1, 2)], task_id="x")


def test_a_batch_raises_at_its_first_failure_and_shows_all_ends(send: Send, run_all: RunAll) -> None:
    batch = send.map(["ann", "nobody", "bob"])
    run_all()
    results = batch.results()
    assert next(results) == "sent to ann"
    with pytest.raises(JobFailed, match="no such address"):
        next(results)
    assert [end.state for end in batch.ends()] == [State.SUCCEEDED, State.DEAD, State.SUCCEEDED]
    with pytest.raises(WaitTimedOut):
        list(send.map(["ann"]).results(timeout=0.01))


def test_a_bad_item_is_named_and_what_came_before_stays(client: Client, send: Send) -> None:
    items: list[Any] = [str(number) for number in range(1500)]
    items[1200] = object()
    with pytest.raises(NotSerialisable, match="Item 1200 cannot be written as JSON") as caught:
        send.map(items)
    assert caught.value.__notes__ == ["1000 jobs were enqueued before this."]
    assert client.adapter().inspector.count() == 1000


def test_an_iterable_that_fails_keeps_what_came_before(client: Client, send: Send) -> None:
    def items() -> Any:
        yield from map(str, range(1001))
        raise OSError("the file ended early")

    with pytest.raises(OSError, match="ended early") as caught:
        send.map(items())
    assert caught.value.__notes__ == ["1000 jobs were enqueued before this."]
    assert client.adapter().inspector.count() == 1000


@pytest.mark.slow
def test_a_long_map_takes_little_memory(tmp_path: Path) -> None:
    with connect(f"sqlite://{tmp_path}/jobs.db") as client:
        tracemalloc.start()
        try:
            batch: Batch[Any] = client.send_many("any.task", ((number,) for number in range(50_000)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(batch) == 50_000
    # 37 bytes a job for its id, and a batch of jobs in flight.
    assert peak < 50_000 * 40 + 4_000_000


# --- clients -----------------------------------------------------------------------------------------


def test_a_task_can_be_enqueued_by_name_without_its_code(client: Client) -> None:
    handle = client.enqueue("shop.tasks.send", 42, to="ann")
    info = client.job(handle.id).info()
    assert (info.task, info.args, dict(info.kwargs)) == ("shop.tasks.send", (42,), {"to": "ann"})
    with pytest.raises(TypeError, match="a task or its name is wanted, not 3"):
        client.enqueue(3)  # type: ignore[arg-type]


def test_an_unknown_job(client: Client) -> None:
    with pytest.raises(UnknownJob):
        client.job("0000")
    lost: Handle[Any] = Handle("0000", client.adapter)
    for use in (lambda: lost.state, lost.info, lost.cancel, lost.result):
        with pytest.raises(UnknownJob):
            use()


def test_connect_says_what_is_wrong(client: Client) -> None:
    with pytest.raises(UnknownScheme):
        connect("carrier-pigeon://coop")


def test_a_client_can_be_closed_and_used_again(tmp_path: Path) -> None:
    with connect(f"sqlite://{tmp_path}/jobs.db") as client:
        handle = client.enqueue("any.task")
    assert handle.state is State.READY
    client.close()


def test_a_read_only_context_only_looks(client: Client, tmp_path: Path) -> None:
    with connect(f"sqlite://{tmp_path}/other.db") as other:
        stands = other.enqueue("any.task").id
    (tmp_path / "config.toml").write_text(
        f'[contexts.prod]\nbroker = "sqlite://{tmp_path}/other.db"\nread_only = true\n'
    )
    with connect(context="prod") as prod:
        with pytest.raises(ReadOnlyContext):
            prod.enqueue("any.task")
        with pytest.raises(ReadOnlyContext):
            prod.send_many("any.task", [()])
        with pytest.raises(ReadOnlyContext):
            prod.job(stands).cancel()
        assert prod.adapter().inspector.count() == 1
        assert prod.job(stands).state is State.READY


def test_threads_share_the_default_client(client: Client, send: Send) -> None:
    threads = [threading.Thread(target=lambda: send.map(["ann"] * 50)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.adapter().inspector.count() == 200


@pytest.mark.parametrize("client", ["sqlite"], indirect=True)
def test_a_forked_process_opens_its_own_connection(client: Client, send: Send) -> None:
    before = send.delay("ann")
    child = os.fork()
    if child == 0:
        # Whatever happens here must not go on as a second pytest.
        try:
            send.delay("bob")
            os._exit(0 if len(client._inherited) == 1 else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert before.cancel()
    assert client.adapter().inspector.count() == 2
    assert client.adapter().inspector.check() == []
