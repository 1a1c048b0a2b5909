"""What should never be in a job: the producer is told, the worker ends the job, and nobody else is touched.

Some of it can only get into the file by hand, or by another program; that is how it gets there here.
"""

from __future__ import annotations

import base64
import pickle
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from qtool.__main__ import main
from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import Reason, State
from qtool.errors import BadName, NotSerialisable, PayloadTooLarge
from tests.worker.conftest import Shop

from .payloads import ERRORS, RESULTS, STORED
from .tools import qtool

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

APP = "tests.faults.payloads"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


class Hostile:
    """``__reduce__`` runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def by_hand(path: Path) -> dict[str, tuple[str, object]]:
    """By a name for it: the column, and what is put there."""
    return {
        "not JSON": ("body", "not JSON"),
        "empty": ("body", ""),
        "cut short": ("body", '[["a"'),
        "no pair": ("body", "[]"),
        "kwargs that are an array": ("body", "[[1],[2]]"),
        "args that are an object": ("body", "[{},{}]"),
        "deep": ("body", "[" * 200_000),
        "deep and sound": ("body", f"[[{'[' * 100_000}{']' * 100_000}],{{}}]"),
        "a huge integer": ("body", f"[[{'9' * 50_000}],{{}}]"),
        "pickled": ("body", base64.b64encode(pickle.dumps(Hostile(path))).decode()),
        "pickled, as text": ("body", pickle.dumps(Hostile(path), 0).decode("latin-1")),
        "bytes that are no text": ("body", b"[[\xff\xfe],{}]"),
        "a NUL": ("body", "[[\0],{}]"),
        "100 MB of nothing": ("body", "x" * (100 << 20)),
        "options that are not JSON": ("options", "nope"),
        "options of the wrong kind": ("options", "[1]"),
        "retries that are text": ("options", '{"retries":"x"}'),
        "a timeout below nothing": ("options", '{"timeout":-1}'),
        "tags that are none": ("options", '{"tags":5}'),
        "parents that are none": ("options", '{"parents":7}'),
        "options that are no text": ("options", b"\xff"),
        "a task that is no text": ("task", b"\xff\xfe"),
        "a task with a NUL": ("task", "a\0b"),
        "a task that nobody has": ("task", "nobody.has.it"),
        "a task with a path": ("task", "../../etc/passwd"),
    }


def put(shop: Shop, id: str, column: str, value: object) -> None:
    """Write into the job's row what no producer could."""
    path = shop.url.removeprefix("sqlite://")
    with closing(apsw.Connection(path)) as db:
        db.set_busy_timeout(10_000)
        bound = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
        db.execute(f"UPDATE jobs SET {column} = {bound} WHERE id = ?", (value, id))


@pytest.mark.timeout(180)
def test_rows_written_by_hand_end_their_own_job_alone(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    bad = {}
    honest = [shop.add(f"{APP}.take", 1)]
    for what, (column, value) in by_hand(ran).items():
        bad[what] = shop.add(f"{APP}.take", 1)
        put(shop, bad[what], column, value)
        honest += [shop.add(f"{APP}.take", number) for number in range(3)]
    worker = shop.start("-A", APP, "-j", "2", apps=False)
    for what, id in (*bad.items(), *(("honest", id) for id in honest)):
        try:
            shop.until(id)
        except AssertionError:
            pytest.fail(f"{what}: {shop.job(id)}; worker: {worker.poll()}\n{shop.stderr[-3000:]}")
    for what, id in bad.items():
        job = shop.job(id)
        reasons = (Reason.UNDECODABLE, Reason.UNKNOWN_TASK) if "task" in what else (Reason.UNDECODABLE,)
        assert (job.state, job.crashes) == (State.DEAD, 0), (what, job.error)
        assert job.reason in reasons, (what, job.reason, job.error)
    assert not ran.exists(), "a pickle was opened"
    for id in honest:
        job = shop.job(id)
        assert (job.state, job.attempt, job.crashes) == (State.SUCCEEDED, 1, 0)
    assert worker.poll() is None
    for words in (["jobs", "-o", "jsonl"], ["jobs", "-o", "json"], ["queues"], *(["show", id] for id in bad.values())):
        code, said = main([*words, "-b", shop.url]), capsys.readouterr().err
        assert (code, "Traceback" in said) == (0, False), (words, said)


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_results_and_errors_of_every_kind_end_their_own_job_alone(shop: Shop, pool: str) -> None:
    refused = {what: shop.add(f"{APP}.give", what) for what in RESULTS}
    stored = {what: shop.add(f"{APP}.give", what) for what in STORED}
    raised = {what: shop.add(f"{APP}.fail", what) for what in ERRORS}
    honest = [shop.add(f"{APP}.take", number) for number in range(5)]
    worker = shop.start("-A", APP, "-j", "2", "--pool", pool, apps=False)
    for id in (*refused.values(), *stored.values(), *raised.values(), *honest):
        shop.until(id)
    for what, id in (refused | raised).items():
        job = shop.job(id)
        assert (job.state, job.reason, job.crashes) == (State.DEAD, Reason.FAILED, 0), (what, job.error)
        assert job.error is not None
    for what, id in stored.items():
        assert shop.result(id) == STORED[what]()
    assert all(shop.job(id).state is State.SUCCEEDED for id in honest)
    assert worker.poll() is None
    for id in (*refused.values(), *stored.values(), *raised.values()):
        ended = qtool("show", id, "-b", shop.url)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "\x1b" not in ended.stdout
        assert "\0" not in ended.stdout


REFUSED: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "100 MB": ({"args": ("x" * (100 << 20),)}, PayloadTooLarge),
    "a huge integer": ({"args": (10**6000,)}, NotSerialisable),
    "NaN": ({"args": (float("nan"),)}, NotSerialisable),
    "bytes": ({"kwargs": {"a": b""}}, NotSerialisable),
    "an object": ({"args": (object(),)}, NotSerialisable),
    "a queue that is no text": ({"queue": "\ud800"}, BadName),
    "a task that is no text": ({"task": "\ud800"}, BadName),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_stored_is_refused_before_anything_is(tmp_path: Path, what: str) -> None:
    fields, error = REFUSED[what]
    with open_broker(str(tmp_path / "q.db")) as adapter:
        good = Job(id=new_id(), task="some.task", created_at=time.time())
        said: dict[str, Any] = {"id": new_id(), "task": "some.task", "created_at": time.time()}
        bad = Job(**(said | fields))
        with pytest.raises(error) as caught:
            adapter.broker.enqueue([good, bad])
        assert len(str(caught.value)) < 1000
        assert adapter.inspector.count() == 0


def test_the_command_refuses_100_mb_in_one_line(tmp_path: Path) -> None:
    ended = qtool("enqueue", "-b", tmp_path / "q.db", "some.task", "--lines", stdin="x" * (100 << 20))
    assert ended.returncode not in (0, 1)
    assert len(ended.stderr) < 1000
    assert "Traceback" not in ended.stderr
