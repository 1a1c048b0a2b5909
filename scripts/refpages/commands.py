"""docs/reference/commands.md: every command, from the objects that parse it."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from typer import _click

from qtool.cli import EXAMPLES, SECTIONS, load
from qtool.errors import ExitCode
from qtool.options import common_options

from . import markdown as md

EXITS: dict[str, dict[int, str]] = {
    "enqueue": {
        0: "every job is stored; with `--wait`, it has succeeded too",
        1: "with `--wait`: a job failed, or none of several succeeded",
        3: "some lines were left out; with `--wait`, some of several jobs did not succeed",
        124: "`--wait-timeout` has passed, or the job ran out of its time",
        125: "with `--wait`: the error was qtool's own, not the command's",
    },
    "worker": {1: "something had to be killed, or an outcome could not be stored"},
    "queues": {4: "no such queue"},
    "show": {4: "no such job"},
    "logs": {4: "no such job"},
    "result": {1: "the job failed, or has not ended", 4: "no such job", 124: "`--timeout` has passed"},
    "wait": {
        1: "the one job failed, or none of several succeeded",
        3: "some of several jobs did not succeed",
        124: "`--timeout` has passed, or the one job ran out of its time",
        125: "the error was qtool's own, not the job's; an unknown id too",
    },
    "retry": {
        1: "you said no",
        3: "some jobs were not changed; the report says why",
        4: "no such job, or none matches",
    },
    "cancel": {
        1: "you said no",
        3: "some jobs were not cancelled, or are not yet; the report says why",
        4: "no such job, or none matches",
    },
    "kill": {
        1: "you said no",
        3: "some jobs were not cancelled, or are not yet; the report says why",
        4: "no such job, or none matches",
    },
    "purge": {1: "you said no", 4: "no such queue"},
    "doctor": {1: "something is bad; warnings are no failure"},
}
"""What an exit code means to one command, where that is more than what it means to all."""


def page() -> str:
    """The whole page."""
    common = _parameters(_common_command(), only_common=True)
    codes = "every command may end with these [exit codes](exit-codes.md)"
    parts = [
        "Run and inspect job queues from a terminal. `qtool COMMAND --help` says the same as this page.",
        md.fence(EXAMPLES, "sh"),
        "## Options of every command",
        f"These stand after the command's name; {codes}, and prints [these rows](outputs.md).",
        md.table(("option", "meaning", "default"), common),
        "`qtool --version` prints the version; `qtool --install-completion` makes the shell complete commands, "
        "options, queues and ids, and `qtool --show-completion` prints what it would install.",
    ]
    for title, names in SECTIONS.items():
        listed = ", ".join(f"[`{name}`](#qtool-{name})" for name in names)
        parts += [f"## {title}", listed]
        parts += [part for name in names for part in _command(name)]
    return md.page("Commands", *parts)


def _command(name: str) -> list[str]:
    command = load(name)
    summary, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    parts = [
        f"### qtool {name}",
        md.prose(summary),
        md.fence(str(import_module(f"qtool.commands.{name}").EXAMPLES), "sh"),
    ]
    verbs: dict[str, Any] = getattr(command, "commands", {})
    if verbs:
        parts += [part for verb, each in verbs.items() for part in _verb(name, verb, each)]
    else:
        parts += [_usage(command, f"qtool {name}"), md.paragraphs(rest), *_tables(command)]
    if name in EXITS:
        told = {**EXITS[name]}
        parts.append(md.table(("exit code", "here means"), ((str(code), text) for code, text in sorted(told.items()))))
    assert all(code in set(ExitCode) for code in EXITS.get(name, ()))
    return parts


def _verb(name: str, verb: str, command: Any) -> list[str]:
    summary, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    usage = _usage(command, f"qtool {name} {verb}")
    return [f"#### qtool {name} {verb}", md.prose(summary), usage, md.paragraphs(rest), *_tables(command)]


def _usage(command: Any, path: str) -> str:
    context = _click.Context(command, info_name=path)
    return md.fence(" ".join([path, *command.collect_usage_pieces(context)]))


def _tables(command: Any) -> list[str]:
    found = []
    arguments = [
        (md.code(p.make_metavar(_click.Context(command))), md.prose(p.help or "")) for p in _arguments(command)
    ]
    if any(text for _, text in arguments):
        found.append(md.table(("argument", "meaning"), arguments))
    options = _parameters(command)
    if options:
        found.append(md.table(("option", "meaning", "default"), options))
    return found


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _parameters(command: Any, *, only_common: bool = False) -> list[tuple[str, str, str]]:
    """Option, meaning and default of a command's own options, or of those that all commands share."""
    shared = set(inspect.signature(common_options).parameters)
    options = [each for each in command.params if each.param_type_name == "option"]
    return [_option(each) for each in options if (each.name in shared) is only_common]


def _common_command() -> Any:
    return load("queues")


def _option(param: Any) -> tuple[str, str, str]:
    value = "" if param.is_flag else f" {param.metavar or param.type.name.upper()}"
    written = ", ".join(f"`{name}`" for name in param.opts[:-1])
    last = md.code(f"{param.opts[-1]}{value}")
    meaning = md.prose(param.help or "")
    bounds = _bounds(param.type)
    default = "" if param.is_flag or param.default in (None, ()) else md.code(str(param.default))
    return f"{written}, {last}" if written else last, f"{meaning}{bounds}", default


def _bounds(kind: Any) -> str:
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is None and most is None:
        return ""
    if most is None:
        return f" At least {least}."
    return f" From {least} to {most}."
