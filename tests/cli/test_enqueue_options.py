"""The short way to read the options of enqueue gives what Typer gives, or leaves the matter to Typer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import Exit
from typer._click.exceptions import ClickException

from qtool.cli import load
from qtool.commands import enqueue
from qtool.engine.job import OnCrash
from qtool.intake.options import CHOICES, FLAGS, MANY, TEXT, EnqueueOptions, mark_dashes
from qtool.intake.short import read_fast


def typer_options(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> EnqueueOptions | None:
    """What the Typer command would run, None where it refuses."""
    seen: list[EnqueueOptions] = []
    monkeypatch.setattr(enqueue, "run", seen.append)
    command = load("enqueue")
    try:
        with command.make_context("enqueue", list(arguments)) as context:
            command.invoke(context)
    except (ClickException, Exit):
        return None
    return seen[0] if seen else None


def test_the_table_is_the_commands_own() -> None:
    said: dict[str, tuple[str, str]] = {}
    for parameter in load("enqueue").params:
        if parameter.param_type_name == "argument" or parameter.name == "help":
            continue
        kind = "flag" if parameter.is_flag else "many" if parameter.multiple else "text"
        said |= dict.fromkeys(parameter.opts, (parameter.name, kind))
    kinds = (("text", TEXT), ("many", MANY), ("flag", FLAGS))
    table = {option: (name, kind) for kind, options in kinds for option, name in options.items()}
    assert said == table
    assert {name for name, _ in table.values()} | {"words"} == set(EnqueueOptions.__slots__)


def test_the_choices_are_the_commands_own() -> None:
    from qtool.options import Color
    from qtool.output import Format

    assert {"output": tuple(Format), "color": tuple(Color), "on_crash": get_args(OnCrash)} == CHOICES


PLAIN = [
    ["a.b"],
    ["a.b", "x", "k=v", "n:=3"],
    ["-Q", "q", "a.b", "-p5", "x"],
    ["-Qq", "--priority=7", "a.b"],
    ["a.b", "--in", "5m", "--at=+5m", "--expires", "1h", "--retries", "3", "--backoff", "1s", "--timeout", "9s"],
    ["a.b", "--grace", "1m", "--on-crash", "dead"],
    ["a.b", "--on-crash=retry"],
    ["a.b", "--unique", "k", "--id", "x", "--tag", "a=b", "--tag=c=d=e"],
    ["--", "ls", "-l"],
    ["-0", "-q", "--", "sha256sum", "{}", "--", "-Q", "x"],
    ["--env", "A", "--env=B=1", "--cwd", "/", "--", "true"],
    ["a.b", "--", "-x", "--y"],
    ["--shell", "a | b", "-v"],
    ["a.b", "--lines", "--from", "-"],
    ["--jsonl", "-o", "json", "--color=never"],
    ["a.b", "-"],
    ["a.b", ""],
    ["a.b", "--args", "[1]", "--kwargs={}"],
    ["a.b", "--wait", "--follow", "--wait-timeout", "1m", "-b", "memory:", "-c", "work"],
    ["a.b", "-Q", "one", "-Q", "two"],
    [],
]

ODD = [
    ["--help"],
    ["a.b", "-h"],
    ["a.b", "--nope"],
    ["a.b", "-1"],
    ["a.b", "-qv"],
    ["a.b", "-Q"],
    ["a.b", "--quiet=yes"],
    ["-o", "xml", "a.b"],
    ["a.b", "--color", "pink"],
    ["a.b", "--after", "x"],
    ["a.b", "--on-crash", "maybe"],
]


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_plain_uses_are_read_alike(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.delenv("QTOOL_BROKER", raising=False)
    monkeypatch.delenv("QTOOL_CONTEXT", raising=False)
    assert read_fast(arguments) == typer_options(monkeypatch, arguments) is not None


@pytest.mark.parametrize("arguments", ODD, ids=" ".join)
def test_odd_uses_are_left_to_typer(arguments: list[str]) -> None:
    assert read_fast(arguments) is None


WORDS = st.sampled_from(
    [
        *TEXT,
        *MANY,
        *FLAGS,
        "--",
        "-",
        "",
        "a.b",
        "x",
        "k=v",
        "5",
        "json",
        "auto",
        "-Qx",
        "--queue=x",
        "-qv",
        "-1",
        "--no",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=7))
def test_whatever_is_read_is_read_alike(arguments: list[str]) -> None:
    fast = read_fast(arguments)
    if fast is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("QTOOL_BROKER", raising=False)
        patch.delenv("QTOOL_CONTEXT", raising=False)
        assert fast == typer_options(patch, arguments)


def test_a_plain_enqueue_loads_no_heavy_library(tmp_path: Any) -> None:
    heavy = {"typer", "rich", "msgspec", "dataclasses", "inspect", "tomllib", "pathlib", "datetime", "platformdirs"}
    code = (
        "import sys; from qtool.__main__ import main\n"
        f"code = main(['enqueue', 'a.b', 'x', '-q', '-b', {str(tmp_path / 'q.db')!r}])\n"
        f"sys.exit(code or ' '.join(sorted({heavy!r} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_mark_dashes() -> None:
    assert mark_dashes(["a", "b"]) == ["a", "b"]
    assert mark_dashes(["-q", "--", "a", "--"]) == ["-q", "--", "\0--", "a", "--"]
