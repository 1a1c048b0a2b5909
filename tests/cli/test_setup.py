"""Settings, contexts, the doctor, schemas."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from qtool.cli import SUMMARIES
from qtool.commands.schema import schema_of
from qtool.config import load_settings, redacted
from qtool.engine.job import Chunk
from qtool.errors import BadConfig, UsageError
from tests.cli.conftest import HOSTILE, Bench

if TYPE_CHECKING:
    from pathlib import Path

Call = Any


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("QTOOL_CONFIG", str(path))
    return path


TWO = """
context = "work"
[contexts.work]
broker = "sqlite:///work.db"
[contexts.live]
broker = "sqlite:///live.db"
read_only = true
production = true
"""


def test_flags_beat_environment_beats_context_beats_file(config: Path) -> None:
    config.write_text(TWO)
    environ = {"QTOOL_CONFIG": str(config)}
    assert load_settings(environ=environ).broker == "sqlite:///work.db"
    assert load_settings(environ=environ | {"QTOOL_CONTEXT": "live"}).broker == "sqlite:///live.db"
    both = environ | {"QTOOL_CONTEXT": "live", "QTOOL_BROKER": "env.db"}
    assert load_settings(environ=both).broker == "env.db"
    assert load_settings(context="live", environ=both).broker == "sqlite:///live.db"
    assert load_settings(broker="flag.db", context="live", environ=both).broker == "flag.db"


def test_without_anything_it_is_the_file_in_the_state_directory() -> None:
    settings = load_settings(environ={"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/nowhere"})
    assert (settings.broker, settings.source) == ("sqlite:///s/qtool/qtool.db", "default")


def test_routes_retention_and_worker_defaults(config: Path) -> None:
    config.write_text(
        '[routes]\n"mail.*" = {queue = "email", priority = 5}\n"*" = "rest"\n'
        '[retention]\nsucceeded = "2d"\ndead = 60\nexpired = "forever"\n[worker]\njobs = 4\nqueues = "a"\n'
    )
    settings = load_settings()
    route = settings.route("mail.send")
    assert route is not None
    assert (route.queue, route.priority) == ("email", 5)
    rest = settings.route("x")
    assert rest is not None
    assert rest.queue == "rest"
    assert settings.retention == {"succeeded": 172800.0, "dead": 60.0, "expired": None}
    assert (settings.worker.jobs, settings.worker.queues) == ((4, 4), ("a",))


def test_a_worker_takes_from_the_file_what_its_options_do_not_say(config: Path, bench: Bench, spawn: Any) -> None:
    config.write_text('[worker]\njobs = 3\npool = "thread"\nqueues = ["email", "bulk"]\n')
    assert "serves email, bulk with 3 thread slots" in spawn("worker", "--burst").err
    ran = spawn("worker", "--burst", "-Q", "email", "-j", "2", "--pool", "async")
    assert "serves email with 2 async slots" in ran.err
    config.write_text('[worker]\napp = "no_such_module"\n')
    ran = spawn("worker", "--burst")
    assert ran.code == 2
    assert "no_such_module" in ran.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("context = ", "Invalid value"),
        ("colour = 1", "'colour' is not a setting"),
        ("context = 1", "'context' is not a string"),
        ('context = "x"', "names no [contexts.x]"),
        ("[contexts.a]\nread_only = true", "'contexts.a.broker' is missing"),
        ('[contexts.a]\nbroker = "b"\nread_only = 1', "'contexts.a.read_only' is not true or false"),
        ("[contexts]\na = 1", "'contexts.a' is not a table"),
        ('[routes]\n"m.*" = {priority = 12}', "'routes.\"m.*\".priority' is not between 0 and 9"),
        ('[retention]\ndead = "soon"', "'retention.dead'"),
        ('[worker]\njobs = "many"', "'many' is not a number of slots"),
        ("[worker]\njobs = true", "'worker.jobs' is not a whole number"),
        ('[worker]\nmax_memory_per_child = "much"', "'much' is not a size"),
        ("[worker]\nqueues = [1]", "'worker.queues' is not a list of strings"),
    ],
)
def test_a_bad_file_is_told_with_its_key(config: Path, call: Call, monkeypatch: Any, text: str, says: str) -> None:
    monkeypatch.delenv("QTOOL_BROKER")
    config.write_text(text)
    with pytest.raises(BadConfig) as error:
        load_settings()
    assert str(config) in str(error.value)
    assert says in str(error.value)
    ran = call("queues")
    assert ran.code == 2
    assert ran.err.count("\n") == 1


def test_an_unknown_context_is_a_usage_error(config: Path) -> None:
    with pytest.raises(UsageError, match="No context 'nope'"):
        load_settings(context="nope")


def test_a_read_only_context_looks_and_does_not_touch(config: Path, bench: Bench, call: Call) -> None:
    config.write_text(f'[contexts.live]\nbroker = "{bench.path}"\nread_only = true\n')
    (id,) = bench.add()
    assert call("jobs", "-c", "live").rows[0]["id"] == id
    verbs = (("cancel", id), ("retry", id), ("purge", "default", "-y"), ("pause", "default"), ("resume", "x"))
    for arguments in (*verbs, ("note", "x"), ("note", "--remove", "1")):
        ran = call(*arguments, "-c", "live")
        assert ran.code == 77
        assert "read-only" in ran.err
    assert call("cancel", "-n", id, "-c", "live").code == 0
    assert call("note", "-c", "live").code == 0
    assert bench.adapter.inspector.count() == 1


def test_contexts_are_added_used_and_removed_and_comments_stay(config: Path, call: Call, monkeypatch: Any) -> None:
    monkeypatch.delenv("QTOOL_BROKER")
    config.write_text('# mine\n[routes]\n"a.*" = "b" # keep\n')
    assert call("context", "add", "work", "work.db").code == 0
    assert call("context", "add", "live", "redis://u:secret@h/0", "--production", "--read-only").code == 0
    ran = call("context", "use", "live")
    assert [(row["name"], row["current"]) for row in ran.rows] == [("work", False), ("live", True)]
    assert "secret" not in ran.out + ran.err
    assert "secret" in config.read_text()
    assert oct(config.stat().st_mode)[-3:] == "600"
    assert call("context", "use", "work").code == 0
    assert call("context", "show").rows[0]["name"] == "work"
    assert call("context").rows[0]["name"] == "work"
    assert json.loads(call("context", "-o", "json").out)[0]["current"] is True
    assert call("context", "add", "work", "other.db").code == 0
    assert load_settings().broker == "other.db"
    assert call("context", "rm", "work").code == 0
    assert load_settings().source == "default"
    assert call("context", "use", "work").code == 2
    assert call("context", "add", "no such", "x").code == 2
    assert '# mine\n[routes]\n"a.*" = "b" # keep\n' in config.read_text()


def test_a_file_that_cannot_be_changed_by_lines_is_left_alone(config: Path, call: Call) -> None:
    text = 'contexts = {work = {broker = "w.db"}}\n'
    config.write_text(text)
    assert call("context", "add", "live", "l.db").code == 2
    assert call("context", "rm", "work").code == 2
    assert config.read_text() == text


def test_passwords_are_not_shown() -> None:
    assert redacted("redis://me:secret@host:1/0") == "redis://me:***@host:1/0"
    assert redacted("amqp://:p@ss@host//v") == "amqp://:***@host//v"
    assert redacted("sqlite:///a@b:c.db") == "sqlite:///a@b:c.db"


# --- doctor ------------------------------------------------------------------------------------------


def verdicts(rows: list[dict[str, Any]]) -> dict[str, str]:
    worst = {"ok": 0, "warning": 1, "bad": 2}
    found: dict[str, str] = {}
    for row in rows:
        found[row["check"]] = max(found.get(row["check"], "ok"), row["verdict"], key=worst.__getitem__)
    return found


def test_a_healthy_file(bench: Bench, call: Call) -> None:
    ran = call("doctor")
    assert ran.code == 0
    assert set(verdicts(ran.rows).values()) == {"ok"}


def test_what_others_can_write_is_bad(bench: Bench, call: Call) -> None:
    os.chmod(bench.path, 0o666)
    ran = call("doctor")
    assert ran.code == 1
    assert verdicts(ran.rows)["permissions"] == "bad"
    os.chmod(bench.path, 0o644)
    ran = call("doctor")
    assert ran.code == 0
    assert verdicts(ran.rows)["permissions"] == "warning"


def test_queues_that_nobody_serves_are_told(bench: Bench, call: Call) -> None:
    bench.add(queue="lonely")
    bench.adapter.operator.pause("still")
    rows = [row for row in call("doctor").rows if row["check"] == "queues"]
    assert [row["advice"] for row in rows] == ["qtool worker -Q lonely", "qtool resume still"]


def test_a_file_that_is_no_database_is_bad(tmp_path: Path, call: Call) -> None:
    (tmp_path / "text.db").write_text("hello " * 1000)
    ran = call("doctor", "-b", str(tmp_path / "text.db"))
    assert ran.code == 1
    assert verdicts(ran.rows)["broker"] == "bad"


def test_what_the_screen_cannot_use_is_bad_and_all_of_it_is_told(
    bench: Bench, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "screen.toml"
    monkeypatch.setenv("QTOOL_CONFIG", str(config))
    config.write_text(
        """
        [top]
        theme = "pink"
        [top.keys]
        "list.sortt" = "f7"
        "list.columns" = "hyp+x"
        "app.help" = "q"
        "app.pause" = "ctrl+q"
        """
    )
    ran = call("doctor")
    assert ran.code == 1
    rows = [row for row in ran.rows if row["check"] == "screen"]
    assert [row["found"] for row in rows] == [
        "top.keys: nothing is called 'list.sortt'",
        "top.keys.\"list.columns\": 'hyp+x' is not a key",
        "top.keys.\"app.help\": 'q' is the key of 'app.quit' already",
        "top.keys.\"app.pause\": 'ctrl+q' ends the program and cannot be changed",
        "top.theme: no theme 'pink'",
    ]
    assert "Did you mean 'list.sort'?" in rows[0]["advice"]
    assert all(row["advice"] for row in rows)
    config.write_text('[top]\ntheme = "nord"\nkeys = {"list.sort" = "f7", "app.help" = "f1"}\n')
    (row,) = [row for row in call("doctor").rows if row["check"] == "screen"]
    assert (row["verdict"], row["found"]) == ("ok", "nord, 2 keys of your own")


def test_the_card_names_seven_guarantees(bench: Bench, call: Call) -> None:
    rows = call("doctor", "--card").rows
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert {row["number"] for row in rows if not row["holds"]} == {5}


# --- schemas -----------------------------------------------------------------------------------------


def test_every_output_keeps_to_its_schema(bench: Bench, call: Call, monkeypatch: Any, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(TWO)
    monkeypatch.setenv("QTOOL_CONFIG", str(config))
    done = bench.run(output=[Chunk("stdout", 0, b"x")], args=(HOSTILE,), tags={"a": "b"})
    dead = bench.fail(HOSTILE, queue="q")
    waiting = bench.add(2, queue="q", run_at=4e9, kwargs={"a": [1, None]})
    bench.add(queue="r")
    bench.claim(queue="r")
    calls = {
        "queues": ["queues"],
        "jobs": ["jobs"],
        "workers": ["workers"],
        "show": ["show", dead],
        "logs": ["logs", done, "-o", "jsonl"],
        "wait": ["wait", done, dead],
        "stats": ["stats"],
        "note": ["note", HOSTILE.replace("\0", "").replace("\udcff", "")],
        "doctor": ["doctor"],
        "context": ["context", "list"],
        "cancel": ["cancel", waiting[0], "nope"],
        "kill": ["kill", waiting[1], "nope"],
        "retry": ["retry", dead],
        "pause": ["pause", "q"],
        "resume": ["resume", "q"],
        "purge": ["purge", "q", "-y"],
        "enqueue": ["enqueue", "a.b", "x", "-Q", "s", "-o", "jsonl"],
        "worker": ["worker", "-Q", "w", "--burst"],
        "limits": ["limits", "set", "q", "--concurrency", "5"],
        "bench": ["bench", "--jobs", "200"],
        "move": ["move", "--to", str(tmp_path / "other.db"), "r2", "-y"],
    }
    bench.add(queue="r2")
    bench.add(2, queue="w", task="qtool.exec", args=("true",))
    assert {name for name in SUMMARIES if schema_of(name) is not None} == {*calls, "result"}
    for name, arguments in calls.items():
        schema = schema_of(name)
        assert schema is not None, name
        rows = call(*arguments).rows
        assert rows, name
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for row in rows:
            validator.validate(row)
            assert any(list(kind.get("properties", ())) == list(row) for kind in schema["$defs"].values()), name
    for row in call("workers", "scale", call("workers").rows[0]["id"], "2").rows:
        jsonschema.validate(row, schema_of("workers"))
    for row in call("doctor", "--card").rows:
        jsonschema.validate(row, schema_of("doctor"))


def test_schema_prints_all_or_one(call: Call) -> None:
    known = {name for name in SUMMARIES if (module_exists(name) and schema_of(name) is not None)}
    assert json.loads(call("schema", "jobs").out)["title"] == "qtool jobs"
    assert call("schema", "nope").code == 2
    assert call("schema", "schema").code == 2
    assert {"jobs", "queues", "retry"} <= known


def module_exists(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"qtool.commands.{name}") is not None


def test_alerts_of_a_context_are_read_and_survive_its_commands(config: Path, call: Call) -> None:
    config.write_text(
        TWO + '[contexts.live.alerts]\nmax_age = "5m"\nmax_depth = 10000\nqueues = ["email", "web"]\nbell = true\n'
    )
    live = load_settings().contexts[1]
    assert live.alerts is not None
    assert (live.alerts.max_age, live.alerts.max_depth, live.alerts.queues) == (300.0, 10000, ("email", "web"))
    assert live.alerts.bell
    assert live.alerts.min_workers is None
    assert call("context", "add", "live", "sqlite:///new.db").code == 0
    again = load_settings().contexts[-1]
    assert (again.name, again.broker, again.alerts) == ("live", "sqlite:///new.db", live.alerts)
    assert call("context", "rm", "live").code == 0
    assert "alerts" not in config.read_text()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[contexts.live.alerts]\nmax_agee = 3", "max_agee"),
        ('[contexts.live.alerts]\nmax_depth = "many"', "max_depth' is not a whole number"),
        ('[contexts.live.alerts]\nmax_age = "soon"', "max_age"),
        ("[contexts.live.alerts]\nmin_workers = -1", "min_workers' is less than nothing"),
        ("[contexts.live]\nbroker = 'a.db'\nalerts = 3", "contexts.live.alerts' is not a table"),
        ("[top]\ntheme = 3", "top.theme' is not a string"),
        ('[top]\nrefresh = "1ms"', "top.refresh"),
        ("[top.keys]\n'app.help' = 3", 'top.keys."app.help"'),
    ],
)
def test_mistakes_about_the_screen_are_named(config: Path, text: str, wrong: str) -> None:
    head = "" if text.startswith("[contexts.live]") else "[contexts.live]\nbroker = 'a.db'\n"
    config.write_text(head + text)
    with pytest.raises(BadConfig) as caught:
        load_settings()
    assert wrong in str(caught.value)
