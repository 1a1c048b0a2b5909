"""Finding a Celery application, and what becomes of a job that one of its tasks runs for."""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from qtool.engine.codec import decode_options
from qtool.engine.current import CurrentJob, JobCancelled, current_job, running
from qtool.engine.job import UNSAID, Cancel, Fail, Failure, Lease, Outcome, Policy, Snooze, Told
from qtool.engine.policy import decide
from qtool.engine.states import Event, Reason, State, allowed
from qtool.engine.worker import link, wire
from qtool.engine.worker.celery.app import Traced, find, settings_of
from qtool.engine.worker.celery.trace import Tracer, request_of
from qtool.engine.worker.inbox import _outcome
from qtool.errors import AppNotImported

if TYPE_CHECKING:
    from pathlib import Path

# --- finding -----------------------------------------------------------------------------------------

MAKES = "from celery import Celery\nmade = Celery('made', set_as_current=False)\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty package in the current directory."""
    name = f"p{uuid.uuid4().hex}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return name


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"celery.py": MAKES + "app = made"}, "{}.celery"),
        ({"celery.py": MAKES + "app = made"}, "{}"),
        ({"celery.py": MAKES}, "{}"),
        ({"__init__.py": MAKES + "celery = made"}, "{}"),
        ({"__init__.py": "from .celery import app", "celery.py": MAKES + "app = made"}, "{}"),
        ({"other.py": MAKES}, "{}.other"),
        ({"other.py": MAKES}, "{}.other:made"),
        ({"other.py": MAKES}, "{}.other.made"),
        ({"other.py": MAKES + "class at:\n    deep = made"}, "{}.other:at.deep"),
        ({"other.py": MAKES + "class app: 'of another kind'"}, "{}.other"),
        ({"tasks.py": "from .celery import app", "celery.py": MAKES + "app = made"}, "{}.tasks"),
    ],
)
def test_an_application_is_found_where_celery_finds_it(
    package: str, tmp_path: Path, files: dict[str, str], place: str
) -> None:
    for name, text in files.items():
        (tmp_path / package / name).write_text(text)
    found = find(place.format(package))
    assert isinstance(found, Celery)
    assert found.main == "made"


def test_its_settings_are_told_but_for_what_is_secret() -> None:
    app = Celery("made", broker="redis://me:s3cret@there/0", set_as_current=False)
    usual = settings_of(app)
    assert (usual["remote_control"], usual["task_events"]) == (True, False)
    assert (usual["control_exchange"], usual["event_exchange"]) == ("celery", "celeryev")
    app.conf.update(
        worker_enable_remote_control=False,
        worker_send_task_events=True,
        control_exchange="ours",
        event_exchange="oursev",
        redis_password="s3cret",
        security_key="s3cret",
        task_routes=[lambda *_: None],
        task_time_limit=7,
    )
    said = settings_of(app)
    assert (said["remote_control"], said["task_events"]) == (False, True)
    assert (said["control_exchange"], said["event_exchange"]) == ("ours", "oursev")
    assert said["conf"]["task_time_limit"] == 7
    assert "s3cret" not in wire.encode(said).decode(errors="replace")


@pytest.mark.parametrize("text", ["", "import celery", "class app: 'of another kind'"])
def test_a_module_without_one_is_a_plain_module(package: str, tmp_path: Path, text: str) -> None:
    (tmp_path / package / "__init__.py").write_text(text)
    assert find(package) is None


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("{}:nothing", "there is no module and no 'nothing' in"),
        ("{}.nothing", "there is no module and no 'nothing' in"),
        ("{}:__name__", "'__name__' in .* is no Celery application"),
        ("{}.nothing.deeper", "there is no module"),
    ],
)
def test_what_is_not_there_is_said(package: str, place: str, why: str) -> None:
    with pytest.raises(AppNotImported, match=why):
        find(place.format(package))


@pytest.mark.parametrize("place", ["{}", "{}.celery"])
def test_without_celery_it_says_so(package: str, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / package / "celery.py").write_text(MAKES + "app = made")
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(AppNotImported, match="it needs Celery, which is not installed"):
        find(place.format(package))


def test_a_package_of_qtool_s_tasks_may_have_an_old_application_in_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / package / "celery.py").write_text(MAKES + "app = made")
    (tmp_path / package / "__init__.py").write_text("from qtool import task\n@task\ndef run(): ...\n")
    monkeypatch.setitem(sys.modules, "celery", None)
    assert find(package) is None


# --- running -----------------------------------------------------------------------------------------

app = Celery("here", broker="memory://", backend="cache+memory://", set_as_current=False)


@app.task(shared=False, name="here.run", bind=True, max_retries=3)
def run(self: Any, what: str = "", *args: Any) -> Any:
    """Whatever the test asks for."""
    if what == "request":
        return [self.request.id, self.request.retries, self.request.root_id, self.request.delivery_info]
    if what == "job":
        return [current_job().id, current_job().attempt]
    if what == "fail":
        raise ValueError("bad")
    if what == "retry":
        raise self.retry(countdown=60, exc=ValueError("later"))
    if what == "retry by hand":
        raise CeleryRetry("by hand")
    if what == "replace":
        raise self.replace(app.signature("here.run"))
    raised = {
        "ignore": Ignore("enough"),
        "reject": Reject("bad", requeue=False),
        "requeue": Reject("later", requeue=True),
        "soft": SoftTimeLimitExceeded(),
        "cancel": JobCancelled(),
        "exit": SystemExit(3),
    }
    if what in raised:
        raise raised[what]
    return list(args)


def traced(body: str, options: str | None = None) -> Outcome:
    """How a run with this body ends."""
    run.__trace__ = build_tracer(run.name, run, app=app)
    task = Traced(run, Tracer(app, "qtool@here"))
    lease = Lease(uuid.uuid4().hex, run.name, "celery", 1, 1, 2, 0, body, options, 1, 0.0)
    job = CurrentJob(lease.id, lease.task, lease.queue, lease.attempt, lease.failures)
    job._lease = lease
    assert task._trace is not None
    outcome = task._trace(job, body)
    assert running.get() is None
    return outcome


def ask(what: str) -> Outcome:
    return traced(json.dumps([[what], {}]))


def told(outcome: Outcome) -> Told:
    assert isinstance(outcome, Told)
    return outcome


def test_a_value() -> None:
    assert traced('[["", 1, 2], {}]') == Told(state=State.SUCCEEDED, result="[1,2]")
    date = {"__type__": "datetime", "__value__": "2026-11-23T00:00:00"}
    assert traced(json.dumps([["", date], {}, {}])) == Told(state=State.SUCCEEDED)


def test_the_job_is_at_hand() -> None:
    value = json.loads(told(ask("job")).result or "")
    assert value[1] == 1


def test_an_error() -> None:
    outcome = told(ask("fail"))
    assert (outcome.state, outcome.reason) == (State.DEAD, Reason.FAILED)
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.message) == ("ValueError", "bad")
    assert "in run" in (outcome.failure.traceback or "")


def test_a_retry_is_published_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    outcome = told(ask("retry"))
    assert outcome == Told(state=State.RETRY, due_at=1060.0, failure=outcome.failure)
    assert str(outcome.failure) == "ValueError: later"


def test_a_retry_that_was_not_published_is_the_end() -> None:
    assert told(ask("retry by hand")).state is State.DEAD


def test_what_is_replaced_comes_again() -> None:
    assert ask("replace") == Told(state=State.READY)


@pytest.mark.parametrize(
    ("what", "reason", "said"),
    [
        ("ignore", Reason.DISCARDED, "Ignore: enough"),
        ("reject", Reason.FAILED, "Reject: "),
        ("soft", Reason.TIMEOUT, "billiard.exceptions.SoftTimeLimitExceeded: "),
        ("exit", Reason.FAILED, "billiard.exceptions.WorkerLostError: Worker exited prematurely: exitcode 3."),
    ],
)
def test_other_ends(what: str, reason: Reason, said: str) -> None:
    outcome = told(ask(what))
    assert (outcome.state, outcome.reason) == (State.DEAD, reason)
    assert str(outcome.failure).startswith(said)


def test_what_is_left_to_qtool() -> None:
    assert ask("cancel") == Cancel()
    assert ask("requeue") == Snooze()
    outcome = traced("[1]")
    assert isinstance(outcome, Fail)
    assert outcome.reason is Reason.UNDECODABLE


def test_a_job_of_qtool_s_has_a_request_too() -> None:
    value = json.loads(told(ask("request")).result or "")
    info = {"exchange": "", "routing_key": "celery", "priority": None, "redelivered": False}
    assert value == [value[0], 2, value[0], info]


def test_a_message_tells_its_request() -> None:
    headers = {"id": "a", "task": "t", "retries": 1, "root_id": "r", "tenant": "x"}
    properties = {"correlation_id": "a", "reply_to": "me", "delivery_info": {"routing_key": "q"}, "priority": 3}
    options = json.dumps({"timeout": 3, "celery": {"headers": headers, "properties": properties}})
    request = request_of(Lease("a", "t", "q", 1, 1, 0, 0, "", options, 1, 0.0), "qtool@here")
    assert request["retries"] == 1
    assert request["tenant"] == "x"
    assert request["reply_to"] == "me"
    assert request["delivery_info"] == {"exchange": None, "routing_key": "q", "priority": 3, "redelivered": False}
    assert decode_options(options)[0] == Policy(timeout=3)
    broken = Lease("a", "t", "q", 1, 1, 0, 0, "[[],{}]", '{"celery": 1}', 1, 0.0)
    assert isinstance(traced("[[],{}]", broken.options), Fail)


def test_time_limits_and_rates_are_the_task_s_policy() -> None:
    def declared(**options: Any) -> Traced:
        return Traced(app.task(shared=False, name=f"here.{uuid.uuid4().hex}", **options)(ask), Tracer(app, ""))

    assert declared().policy == UNSAID
    assert declared(soft_time_limit=2, time_limit=5).policy == Policy(timeout=2, grace=3)
    assert declared(time_limit=5).policy == Policy(timeout=5, grace=0)
    assert declared(rate_limit="60/m").rate_limit == 1
    assert declared(rate_limit=0).rate_limit is None


# --- on its way --------------------------------------------------------------------------------------

FAILED = Failure(type="E", message="bad", traceback="…")


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Told(state=State.SUCCEEDED, result="1"), Event.SUCCESS),
        (Told(state=State.DEAD, failure=FAILED, reason=Reason.TIMEOUT), Event.ERROR),
        (Told(state=State.RETRY, failure=FAILED, due_at=9.0), Event.ERROR),
        (Told(state=State.READY), Event.SNOOZE),
    ],
)
def test_it_reaches_the_broker(outcome: Told, event: Event) -> None:
    received = _outcome(wire.decode(wire.encode(link._outcome(outcome))))
    assert received == outcome
    lease = Lease("a", "t", "q", 1, 1, 0, 0, "", None, 1, 0.0)
    # Its retries are not qtool's to count: the policy allows none.
    settlement = decide(lease, received, UNSAID, started_at=1.0, now=2.0, random=lambda: 0.5)
    assert (settlement.event, settlement.state, settlement.told) == (event, outcome.state, True)
    assert (settlement.result, settlement.failure) == (outcome.result, outcome.failure)
    assert (settlement.reason, settlement.due_at) == (outcome.reason, outcome.due_at)
    assert outcome.state in allowed(State.RUNNING, event)
