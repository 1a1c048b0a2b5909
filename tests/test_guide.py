"""What the guide shows can be typed: commands and options exist, links lead somewhere, named tests are there."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qtool.cli import build_root
from qtool.engine.brokers.sqlite import CAPABILITIES
from qtool.engine.filter import parse
from qtool.engine.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
ENDS = ("|", ">", "<", "&&", ";", "||", ")")


def blocks(path: Path, *languages: str) -> Iterator[str]:
    """The lines of the fenced blocks in one of the languages; a backslash joins two."""
    for language, text in re.findall(
        r"^```(\S*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        if language in languages:
            yield from text.replace("\\\n", " ").splitlines()


def commands(line: str) -> Iterator[list[str]]:
    """The words of every ``qtool …`` in a line of shell, up to where the next command begins."""
    inner = re.findall(r"\$\((qtool [^()]*)\)", line)
    line = re.sub(r'"?\$\([^()]*\)"?', "x", line)
    for each in [line, *inner]:
        lexer = shlex.shlex(each, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list(lexer)
        for start in [at for at, word in enumerate(words) if word == "qtool"]:
            rest = words[start + 1 :]
            end = next((at for at, word in enumerate(rest) if word in ENDS), len(rest))
            yield rest[:end] + (["x"] if "xargs" in words[:start] else [])


def check(words: list[str]) -> None:
    """Parse a command line as the program would, without running it. Raises what Typer raises."""
    root = build_root()
    command: Any
    with root.make_context("qtool", words) as context:
        found, command, rest = root.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        while hasattr(command, "commands") and rest:
            with command.make_context(found, rest, parent=context) as inner:
                found, command, rest = command.resolve_command(inner, [*inner._protected_args, *inner.args])
                assert command is not None
        with command.make_context(found, rest, parent=context) as last:
            where = last.params.get("where")
            if where:
                parse(where)


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_every_command_shown_can_be_typed(path: Path) -> None:
    for line in blocks(path, "sh", "cron"):
        for words in commands(line):
            try:
                check(words)
            except Exception as error:
                raise AssertionError(f"qtool {shlex.join(words)}") from error


def test_a_wrong_command_would_be_found() -> None:
    assert list(commands("seq 5 | qtool enqueue --lines -- x {} > y && qtool wait $(qtool jobs -o ids)")) == [
        ["enqueue", "--lines", "--", "x", "{}"],
        ["wait", "x"],
        ["jobs", "-o", "ids"],
    ]
    for line in ("qtool job", "qtool jobs --limmit 3", "qtool jobs -w 'state:ded'", "qtool context remove x"):
        with pytest.raises(Exception, match=r"."):
            check(*commands(line))


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_named_tests_exist(path: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text(encoding="utf-8")):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


UNIT = ROOT / "examples/systemd/qtool-worker.service"


def test_the_unit_starts_what_can_be_typed() -> None:
    """And what systemd itself makes of the file, where it is installed."""
    settings = [line.partition("=") for line in UNIT.read_text().splitlines() if line[:1].isalpha()]
    said = {name: value for name, _, value in settings}
    program, *words = shlex.split(said["ExecStart"])
    assert program.endswith("/qtool")
    check(words)
    drain = words[words.index("--drain-timeout") + 1]
    assert parse_duration(drain) < parse_duration(said["TimeoutStopSec"] + "s")
    assert (said["Type"], said["KillMode"]) == ("notify", "mixed")
    assert all(name.isidentifier() and name[0].isupper() for name in said)
    if verify := shutil.which("systemd-analyze"):
        done = subprocess.run([verify, "verify", str(UNIT)], capture_output=True, text=True, check=False)
        # The program and the user are the reader's: only what it says of the file itself counts.
        assert "Unknown" not in done.stderr
        assert "Failed to parse" not in done.stderr


def test_every_guarantee_that_holds_has_tests_that_try_to_break_it() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    parts = re.split(r"^\*\*(\d)\. ", text, flags=re.MULTILINE)
    tests = {int(number): part.count("- `tests/") for number, part in zip(parts[1::2], parts[2::2], strict=True)}
    assert sorted(tests) == [1, 2, 3, 4, 5, 6, 7]
    assert all(count >= 3 for number, count in tests.items() if number not in CAPABILITIES.weakened), tests
    on_redis = {
        int(number): part.partition("\nOn Redis")[2] for number, part in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert [number for number, part in on_redis.items() if "- `tests/" in part] == [1, 2, 3, 4, 6, 7]


def test_what_is_said_to_run_on_redis_does() -> None:
    """The conformance suite, and those of the faults that the page of guarantees names."""
    for file in ("kills", "frozen", "double_claim", "limits", "poison"):
        tree = ast.parse((ROOT / "tests" / "faults" / f"test_{file}.py").read_text(encoding="utf-8"))
        fixtures = {arg.arg for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for arg in each.args.args}
        assert "broker" in fixtures, file
    conftest = (ROOT / "tests" / "conformance" / "conftest.py").read_text(encoding="utf-8")
    assert '"redis"' in conftest
