"""Help pages, completion, and what is said about a mistake on the command line."""

from __future__ import annotations

import inspect
import re
import shlex
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from qtool.cli import SUMMARIES, build_root, load

if TYPE_CHECKING:
    from tests.cli.conftest import Bench

COMMANDS = list(SUMMARIES)


def test_the_root_page_begins_with_examples_and_lists_every_command(call: Any) -> None:
    ran = call("--help")
    assert ran.code == 0
    assert ran.out.index("Examples:") < ran.out.index("Options:")
    for name, line in SUMMARIES.items():
        assert re.search(rf"^  {name}\s+{re.escape(line)}$", ran.out, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_begins_with_examples(call: Any, name: str) -> None:
    ran = call(name, "--help")
    assert (ran.code, ran.err) == (0, "")
    head = ran.out[: ran.out.index("Options:")]
    lines = head.splitlines()
    assert lines[0].startswith(f"Usage: qtool {name}")
    assert lines[lines.index("Examples:") - 2] == SUMMARIES[name]
    assert "qtool " in lines[lines.index("Examples:") + 1]
    assert call(name, "-h").out == ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_first_of_the_page(name: str) -> None:
    doc = inspect.getdoc(import_module(f"qtool.commands.{name}").command) or ""
    assert " ".join(doc.partition("\n\n")[0].split()) == SUMMARIES[name]


def test_verbs_have_pages_too(call: Any) -> None:
    for verb in ("show", "list", "use", "add", "rm"):
        assert call("context", verb, "--help").code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_parse(name: str) -> None:
    """Every ``qtool …`` in an example uses commands and options that exist."""
    root = build_root()
    for line in import_module(f"qtool.commands.{name}").EXAMPLES.strip().splitlines():
        words = shlex.split(re.sub(r'"?\$\([^()]*\)"?', "x", line), comments=True)
        words += ["x"] if words[-3:-2] == ["xargs"] else []
        for start in [index for index, word in enumerate(words) if word == "qtool"]:
            rest = words[start + 1 :]
            end = next((index for index, word in enumerate(rest) if word in ("|", ">", "<", "&&", ";")), len(rest))
            with root.make_context("qtool", rest[:end]) as context:
                found, command, arguments = root.resolve_command(context, [*context._protected_args, *context.args])
                assert command is not None
                command.make_context(found, arguments, parent=context).close()


def test_every_command_takes_the_common_options() -> None:
    for name in COMMANDS:
        loaded = load(name)
        # Of several verbs each has them.
        for command in getattr(loaded, "commands", {name: loaded}).values():
            options = {option for param in command.params for option in param.opts}
            assert {"-b", "-c", "-o", "-q", "-v", "--color"} <= options, name


def test_a_slip_gets_a_suggestion(call: Any) -> None:
    ran = call("quueues")
    assert ran.code == 2
    assert ran.err.startswith("qtool: No such command 'quueues'. Did you mean 'queues'")
    ran = call("jobs", "--limti", "3")
    assert ran.code == 2
    assert "--limit" in ran.err
    ran = call("-b", "jobs.db", "queues")
    assert ran.code == 2
    assert "stand after its name" in ran.err


def test_what_must_be_given_stands_bare_in_the_usage(call: Any) -> None:
    assert call("show", "-h").out.startswith("Usage: qtool show [OPTIONS] ID\n")
    assert call("wait", "-h").out.startswith("Usage: qtool wait [OPTIONS] [ID…]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "--limit", "many"),
        ("jobs", "-o", "xml"),
        ("show",),
        ("show", "a", "b"),
        ("jobs", "--color", "red"),
        ("context", "wat"),
        (),
    ],
)
def test_mistakes_exit_with_2(call: Any, arguments: tuple[str, ...]) -> None:
    ran = call(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_the_version(call: Any) -> None:
    assert re.fullmatch(r"qtool \d+\.\d+\.\d+\n", call("--version").out)


def complete(spawn: Any, line: str) -> list[str]:
    words = line.split(" ")
    ran = spawn(_QTOOL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert isinstance(ran.out, str)
    return ran.out.split()


def test_the_shell_completes_commands_options_queues_and_ids(bench: Bench, spawn: Any) -> None:
    (id,) = bench.add(queue="email")
    assert complete(spawn, "qtool que") == ["queues"]
    assert "--limit" in complete(spawn, "qtool jobs --li")
    assert complete(spawn, "qtool purge em") == ["email"]
    assert complete(spawn, f"qtool show {id[:9]}") == [id]
    assert complete(spawn, "qtool jobs --state sch") == ["scheduled"]


def test_completion_without_a_broker_is_silent(spawn: Any, tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    monkeypatch.setenv("QTOOL_BROKER", str(tmp_path / "text"))
    assert complete(spawn, "qtool purge em") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(spawn: Any, shell: str) -> None:
    assert "_QTOOL_COMPLETE" in spawn(_QTOOL_COMPLETE=f"source_{shell}").out
