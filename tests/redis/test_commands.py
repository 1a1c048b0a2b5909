"""Commands on a server that others can write to: they run only where they are allowed, and only signed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from qtool.engine.ids import new_id
from qtool.engine.job import EXEC, NOTHING, UNSAID, Job, Policy
from qtool.engine.registry import open_broker
from qtool.engine.signing import Guard, signed
from qtool.engine.states import State
from qtool.errors import KeyNeeded
from tests.worker.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo

KEY = "a secret"


def command(*words: str, tags: Mapping[str, str] = NOTHING, policy: Policy = UNSAID) -> Job:
    return Job(id=new_id(), task=EXEC, args=words, created_at=time.time(), tags=tags, policy=policy)


def ended(url: str, id: str, *options: str, key: str | None) -> JobInfo:
    """The job once a worker has emptied the queues."""
    environ = {name: value for name, value in os.environ.items() if name != "QTOOL_KEY"}
    words = [sys.executable, "-m", "qtool", "worker", "-b", url, "--burst", "-q", *options]
    subprocess.run(words, cwd=ROOT, env=environ | ({"QTOOL_KEY": key} if key else {}), check=True, timeout=60)
    with open_broker(url) as adapter:
        info = adapter.inspector.get([id])[0]
    assert info is not None
    return info


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.mark.parametrize(
    ("options", "key", "why"),
    [
        ((), KEY, "--allow-exec"),
        (("--allow-exec",), None, "no key"),
        (("--allow-exec",), "another", "signature is wrong"),
    ],
)
def test_a_command_that_is_not_allowed_does_not_run(
    redis_url: str, marker: Path, options: tuple[str, ...], key: str | None, why: str
) -> None:
    job = command("touch", str(marker))
    with open_broker(redis_url, key=KEY) as adapter:
        adapter.broker.enqueue([job])
    info = ended(redis_url, job.id, *options, key=key)
    assert info.state is State.DEAD
    assert info.error is not None
    assert info.error.type == "CommandRefused"
    assert why in info.error.message
    assert not marker.exists()


def test_a_signed_command_runs_where_it_is_allowed(redis_url: str, marker: Path) -> None:
    job = command("touch", str(marker), tags={"a": "b"}, policy=Policy(retries=1))
    with open_broker(redis_url, key=KEY) as adapter:
        adapter.broker.enqueue([job])
    assert ended(redis_url, job.id, "--allow-exec", key=KEY).state is State.SUCCEEDED
    assert marker.exists()


def test_a_command_that_others_put_there_does_not_run(
    redis_url: str, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = command("touch", str(marker))
    monkeypatch.setattr("qtool.engine.brokers.redis.intake.signed", lambda job, _key, _url: job)
    with open_broker(redis_url) as adapter:
        adapter.broker.enqueue([job])
    info = ended(redis_url, job.id, "--allow-exec", key=KEY)
    assert info.error is not None
    assert "not signed" in info.error.message
    assert not marker.exists()


def test_without_a_key_none_is_enqueued(redis_url: str) -> None:
    with open_broker(redis_url) as adapter, pytest.raises(KeyNeeded, match="QTOOL_KEY"):
        adapter.broker.enqueue([command("true")])
    with open_broker(redis_url) as adapter:
        assert adapter.inspector.count() == 0


@pytest.mark.parametrize("field", ["id", "args", "kwargs", "tags", "policy"])
def test_whatever_a_command_does_is_signed(redis_url: str, field: str) -> None:
    guard = Guard("redis://", allowed=True, key=KEY)
    honest = signed(command("echo", "a"), KEY, redis_url)
    others = {
        "id": new_id(),
        "args": ("echo", "b"),
        "kwargs": {"cwd": "/"},
        "tags": {"x": "y"},
        "policy": Policy(timeout=1),
    }
    fields = {name: getattr(honest, name) for name in Job.__slots__}
    with open_broker(redis_url, key=KEY) as adapter:
        assert refusal(adapter, guard, honest) is None
    forged = Job(**(fields | {field: others[field]}))
    assert "wrong" in (refusal_of(guard, forged) or "")


def refusal(adapter: Adapter, guard: Guard, job: Job) -> str | None:
    """What the guard says of the job as it comes off the broker."""
    adapter.broker.enqueue([job])
    (lease,) = adapter.broker.claim("w", [], 1)
    assert lease.id == job.id
    return guard.refusal(lease)


def refusal_of(guard: Guard, job: Job) -> str | None:
    """Of a job that nobody signs on its way."""
    with open_broker("memory:") as adapter:
        return refusal(adapter, guard, job)
