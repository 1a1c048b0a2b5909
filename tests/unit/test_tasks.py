"""The decorator and its options, names, the registry, and what a worker may reach through it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qtool import Task, shared_task, task
from qtool.engine import tasks
from qtool.engine.job import HTTP, UNSAID, Policy
from qtool.engine.options import UNLIMITED, moment
from qtool.errors import AppNotImported, BadName, UnknownTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tasks, "_tasks", {})
    monkeypatch.setattr(tasks, "_apps", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write files into the current directory, an empty one."""
    monkeypatch.chdir(tmp_path)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("/init", "/__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def module_level(x: int) -> int:
    return x


# --- the decorator -----------------------------------------------------------------------------------


def test_a_task_is_still_the_function() -> None:
    @task
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    assert double(4) == 8
    assert double.__doc__ == "Twice."
    assert double.name == f"{__name__}.test_a_task_is_still_the_function.double"
    assert tasks.find(double.name) is double


def test_options_reach_the_policy_and_the_producer() -> None:
    @task(
        name="mail",
        queue="slow",
        priority=7,
        retries=4,
        backoff=1.5,
        backoff_cap=60,
        jitter=False,
        timeout=9,
        grace=2,
        on_crash="dead",
        expires=30,
    )
    def send() -> None: ...

    assert send.name == "mail"
    assert (send.queue, send.priority, send.expires) == ("slow", 7, 30)
    assert send.policy == Policy(
        retries=4, backoff=1.5, backoff_cap=60, jitter=False, timeout=9, grace=2, on_crash="dead"
    )
    assert send.retry_for is None


def test_a_plain_task_says_nothing() -> None:
    plain = task(module_level)
    assert plain.policy is UNSAID
    assert (plain.queue, plain.priority, plain.retry_for, plain.is_async) == (None, None, None, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retires": 3}, "unknown option retires"),
        ({"retires": 3, "que": "x"}, "unknown options que, retires"),
        ({"acks_late": False}, "acks_late=False is not supported yet"),
        ({"serializer": "pickle"}, "serializer='pickle' is not supported yet"),
        ({"retry_kwargs": {"max": 1}}, "unknown retry_kwargs: max"),
    ],
)
def test_what_is_not_understood_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        task(**options)(module_level)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *(("priority", value, "a whole number from 0 to 9") for value in (-1, 10, 1.5, True, "high")),
        *(("retries", value, "a whole number, 0 or more") for value in (-1, 1.5, "3", None)),
        *(("timeout", value, "a number of seconds, 0 or more") for value in (-1, "5m", float("nan"), float("inf"))),
        *(("queue", value, "a string that is not empty") for value in ("", None, 3)),
        *(("tags", value, "a mapping of strings to strings") for value in ({"a": 1}, ["a"])),
        ("max_retries", -1, "a whole number, 0 or more, or None"),
        *(("rate_limit", value, "written 10/s, 100/m or 1000/h") for value in ("x/s", "0/s", "10/y", -1)),
        *(("key_limit", value, "a whole number, 1 or more") for value in (0, True, "2")),
        *(("key", value, "a string that is not empty, or a function") for value in ("", 3)),
        ("on_crash", "discard", "'retry' or 'dead'"),
        ("jitter", 0, "True or False"),
        ("grace", -1, "a number of seconds, 0 or more"),
        *((name, "OSError", "a class of errors, or several of them") for name in ("autoretry_for", "throws")),
        ("dont_autoretry_for", (3,), "a class of errors, or several of them"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_once(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is {words}, not "):
        task(**{name: value})(module_level)  # type: ignore[call-overload]


def test_durations_may_be_timedeltas() -> None:
    made = task(timeout=timedelta(minutes=1), backoff=timedelta(seconds=2))(module_level)
    assert made.policy == Policy(timeout=60, backoff=2)


def test_a_positional_option_is_refused() -> None:
    with pytest.raises(TypeError, match="options are given by name"):
        task("mail")  # type: ignore[call-overload]


def test_celerys_harmless_options_are_taken() -> None:
    @shared_task(acks_late=True, serializer="json", track_started=True, ignore_result=True)
    def send() -> None: ...

    assert send.ignore_result
    assert send.retry_for is None


@pytest.mark.parametrize(
    ("options", "policy", "retry_for", "delay"),
    [
        ({"bind": True}, Policy(retries=3), (), None),
        ({"bind": True, "retries": 5}, Policy(retries=5), None, None),
        ({"max_retries": 2}, Policy(retries=2), (), None),
        ({"max_retries": None}, Policy(retries=UNLIMITED), (), None),
        ({"bind": True, "max_retries": 2, "default_retry_delay": 60}, Policy(retries=2), (), 60),
        ({"autoretry_for": (OSError,)}, Policy(retries=3), (OSError,), None),
        ({"autoretry_for": OSError, "retries": 1}, Policy(retries=1), (OSError,), None),
        (
            {"autoretry_for": (OSError,), "retry_kwargs": {"max_retries": 9, "countdown": 4}},
            Policy(retries=9),
            (OSError,),
            4,
        ),
        (
            {"autoretry_for": (OSError,), "retry_backoff": True, "retry_backoff_max": 700, "default_retry_delay": 9},
            Policy(retries=3, backoff=1.0, backoff_cap=700),
            (OSError,),
            None,
        ),
        ({"time_limit": 60}, Policy(timeout=60), None, None),
        ({"time_limit": 60, "soft_time_limit": 50}, Policy(timeout=50, grace=10), None, None),
        ({"time_limit": 60, "soft_time_limit": 50, "grace": 3}, Policy(timeout=50, grace=3), None, None),
        ({"soft_time_limit": 50, "grace": timedelta(minutes=1)}, Policy(timeout=50, grace=60), None, None),
        ({"time_limit": 60, "timeout": 9}, Policy(timeout=9), None, None),
        ({"retry_jitter": False}, Policy(jitter=False), None, None),
        ({"retry_jitter": True, "jitter": False}, Policy(jitter=False), None, None),
        ({"dont_autoretry_for": OSError, "retries": 2}, Policy(retries=2), None, None),
        ({"throws": (KeyError,)}, UNSAID, None, None),
    ],
)
def test_celerys_options_mean_what_they_mean_there(
    options: dict[str, object], policy: Policy, retry_for: object, delay: float | None
) -> None:
    made = shared_task(**options)(module_level)  # type: ignore[call-overload]
    assert made.policy == policy
    assert made.retry_for == retry_for
    assert made.retry_delay == delay


def test_a_kill_before_the_end_of_the_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time_limit=5 ends before soft_time_limit=9"):
        task(time_limit=5, soft_time_limit=9)(module_level)


def test_async_functions_are_known_as_such() -> None:
    @task
    async def fetch() -> None: ...

    class Fetcher:
        async def __call__(self) -> None: ...

    assert fetch.is_async
    assert Task(Fetcher(), "callable").is_async
    assert not Task(print, "print").is_async


def test_arguments_are_checked_like_a_call() -> None:
    @task(bind=True)
    def send(self: object, to: str, *, subject: str = "") -> None: ...

    send.check(("ann",), {"subject": "hello"})
    with pytest.raises(TypeError, match=r"send: missing a required argument: 'to'"):
        send.check((), {})
    with pytest.raises(TypeError, match="unexpected keyword argument 'cc'"):
        send.check(("ann",), {"cc": "bob"})


def test_two_functions_cannot_have_one_name() -> None:
    @task(name="mail")
    def send() -> None: ...

    with pytest.raises(BadName, match=r"'mail' cannot be used: .*send has it already"):

        @task(name="mail")
        def other() -> None: ...


def test_qtools_own_names_are_reserved() -> None:
    with pytest.raises(BadName, match="qtool's own"):
        task(name="qtool.mail")(module_level)


def test_a_task_is_pickled_by_name(app: Callable[..., None]) -> None:
    app(shop="from qtool import task\n\n@task\ndef send(): pass\n")
    found = tasks.import_app("shop").send
    assert pickle.loads(pickle.dumps(found)) is found


def test_moments() -> None:
    at = datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert moment(at, 0, relative=True) == at.timestamp()
    assert moment(timedelta(minutes=5), 1000, relative=True) == 1300
    assert moment(90, 1000, relative=True) == 1090
    assert moment(90, 1000, relative=False) == 90


# --- names -------------------------------------------------------------------------------------------

NAMED = """
import sys
from qtool import task

@task
def send(): pass

if __name__ == "__main__":
    print(send.name)
"""


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["send.py"], "send.send"),
        (["-m", "send"], "send.send"),
        (["shop/mail.py"], "shop.mail.send"),
        (["-m", "shop.mail"], "shop.mail.send"),
        (["-c", NAMED], "__main__.send"),
    ],
)
def test_a_script_and_its_worker_agree_on_names(app: Callable[..., None], command: list[str], name: str) -> None:
    app(send=NAMED, shop__init="", shop__mail=NAMED)
    run = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.stdout.strip() == name
    if name != "__main__.send":
        tasks.import_app(name.rpartition(".")[0])
        assert tasks.find(name).name == name


# --- the registry ------------------------------------------------------------------------------------


def test_an_unknown_task_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownTask, match=r"No task 'shop\.send' is registered\. Known: none; name the module with -A"):
        tasks.find("shop.send")
    task(name="shop.sent")(module_level)
    with pytest.raises(UnknownTask, match=r"Known: shop\.sent"):
        tasks.find("shop.send")


def test_an_app_brings_its_tasks_and_its_functions(app: Callable[..., None]) -> None:
    app(
        shop="from os import system\nfrom os.path import join\nimport os\nfrom qtool import task\n"
        "@task(name='mail', retries=2)\ndef send(): pass\n"
        "def plain(x): return x\ndef _private(): pass\nclass Thing: pass\nnumber = 3\n"
    )
    tasks.import_app("shop")
    assert tasks.find("mail").policy.retries == 2
    assert tasks.find("shop.send") is tasks.find("mail")
    assert tasks.find("shop.plain")(3) == 3
    for name in ("system", "join", "_private", "Thing", "number", "os", "absent", "os.system"):
        with pytest.raises(UnknownTask):
            tasks.find(f"shop.{name}")


def test_only_apps_are_reachable(app: Callable[..., None]) -> None:
    app(shop="", other="def plain(): pass\n", shopping="def plain(): pass\n")
    tasks.import_app("shop")
    for name in ("other.plain", "os.path.join", "plain", "", ".", "shop.", "shopping.plain"):
        with pytest.raises(UnknownTask):
            tasks.find(name)


def test_modules_below_an_app_are_found_when_they_are_needed(app: Callable[..., None]) -> None:
    app(
        shop__init="",
        shop__mail="from qtool import task\n@task\ndef send(): pass\ndef plain(): pass\n",
        shop__broken="import nowhere_to_be_found\n",
    )
    tasks.import_app("shop")
    assert tasks.find("shop.mail.send").name == "shop.mail.send"
    assert tasks.find("shop.mail.plain")
    with pytest.raises(UnknownTask):
        tasks.find("shop.nothing.send")
    with pytest.raises(AppNotImported, match="nowhere_to_be_found"):
        tasks.find("shop.broken.send")


def test_the_webhook_is_built_in() -> None:
    assert tasks.find(HTTP).name == "qtool.http"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("absent", "there is no module 'absent' here or on the Python path"),
        ("needy", r"ModuleNotFoundError: No module named 'absent' \(.*needy.py, line 2\)"),
        ("torn", r"SyntaxError: .* \(.*torn.py, line 1\)"),
        ("rude", r"SystemExit: 3 \(.*rude.py, line 1\)"),
        ("wrong", r"TypeError: @task wrong.send: unknown option retires; known: .*"),
        ("needy.py", "that is a file; write -A needy"),
        ("./shop/needy.py", r"that is a file; write -A shop\.needy"),
        ("", "Empty module name"),
        (".relative", "relative"),
    ],
)
def test_an_app_that_does_not_import_says_why(app: Callable[..., None], module: str, words: str) -> None:
    app(
        needy="\nimport absent\n",
        torn="def (\n",
        rude="raise SystemExit(3)\n",
        wrong="from qtool import task\n@task(retires=3)\ndef send(): pass\n",
    )
    with pytest.raises(AppNotImported, match=words):
        tasks.import_app(module)
    assert tasks._apps == []


def test_import_qtool_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import qtool; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == ["qtool"]


def test_everything_promised_is_there() -> None:
    import qtool

    for name in qtool.__all__:
        assert getattr(qtool, name) is not None
    assert set(qtool.__all__) <= set(dir(qtool))
    with pytest.raises(AttributeError, match="no attribute 'tsak'"):
        _ = qtool.tsak  # type: ignore[attr-defined]
