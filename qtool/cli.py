"""The root command. Every command is a module of :mod:`qtool.commands`, imported when it is called and not before."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

import typer
from typer import _click
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from qtool.errors import ExitCode
from qtool.options import Common, common_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SECTIONS: dict[str, dict[str, str]] = {
    "Run": {
        "enqueue": "Add jobs: a task, a command, or one for every line of a file.",
        "worker": "Run jobs.",
    },
    "Look": {
        "top": "Watch everything live, and act on it, on the full screen.",
        "queues": "What is in the queues, how fast it moves, and when it will be done.",
        "jobs": "List jobs, newest first.",
        "show": "Everything about one job.",
        "logs": "What a job wrote.",
        "result": "What a job returned.",
        "wait": "Wait until jobs have ended.",
        "workers": "Who runs jobs, and what they are busy with.",
        "stats": "What happened, over time.",
        "note": "Write down what happened when: a deploy, an incident.",
    },
    "Act": {
        "retry": "Run ended jobs again.",
        "cancel": "Cancel jobs that wait, and ask running ones to stop.",
        "kill": "Kill running jobs at once, without asking them to stop.",
        "move": "Move jobs to another broker, or into another queue of this one.",
        "purge": "Delete jobs from queues.",
        "pause": "Stop starting jobs of a queue.",
        "resume": "Start jobs of a paused queue again.",
        "limits": "Limit how many jobs run at once, and how many start a second.",
    },
    "Set up": {
        "context": "Name brokers, and choose one.",
        "doctor": "Look for what is wrong, and say what to do.",
        "schema": "The JSON Schema of what a command prints.",
        "bench": "Measure this machine.",
    },
}
"""Every command with its one line, here rather than in its module, so that --help imports none of them."""

SUMMARIES = {name: line for section in SECTIONS.values() for name, line in section.items()}

EXAMPLES = """
qtool enqueue -- convert a.png a.jpg        # a command as a job
qtool enqueue mail.send to=ann@example.com  # a Python task
find . -name '*.png' -print0 | qtool enqueue -0 -- optipng {}
qtool worker -j 8                           # run them, eight at a time
qtool queues
qtool jobs -w 'state:dead age<1h'
"""


def run(arguments: list[str]) -> int:
    """Parse ``arguments``, run the command they name, and give its exit code. Raises QtoolError, BrokenPipeError."""
    root = build_root()
    root._main_shell_completion({}, "qtool")
    try:
        with root.make_context("qtool", list(arguments)) as context:
            code = root.invoke(context)
    except _click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.message + "\n")
        return int(ExitCode.USAGE)
    except _click.exceptions.ClickException as error:
        return _usage(error)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        return int(ExitCode.INTERRUPTED)
    return int(code or ExitCode.OK)


def build_root() -> TyperGroup:
    """The command group, with no command imported yet."""
    app = typer.Typer(
        cls=LazyGroup,
        name="qtool",
        help="Run and inspect job queues from a terminal.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings=_SETTINGS,
    )
    app.callback()(_root)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"qtool {version('qtool')}\n")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None: ...


def _usage(error: _click.exceptions.ClickException) -> int:
    """A mistake on the command line: what is wrong, then where to read on."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and context.parent is None and isinstance(error, _click.exceptions.NoSuchOption):
        message = message.rstrip(".") + ("" if message.endswith("?") else ".")
        message += " Options of a command stand after its name, as in 'qtool queues -b jobs.db'."
    sys.stderr.write(f"qtool: {message}\n")
    if context is not None:
        sys.stderr.write(f"{context.get_usage()}\nTry '{context.command_path} --help'.\n")
    return int(ExitCode.USAGE)


# --- help: examples first ----------------------------------------------------------------------------


class ExampleCommand(TyperCommand):
    """A command whose help page begins with examples."""

    examples: str = ""
    prepare: Callable[[list[str]], list[str]] | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.prepare(args) if self.prepare else args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        # Typer puts what must be there into braces, which no manual does.
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1] if piece[0] == "{" and piece[-1] == "}" else piece for piece in pieces]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_help(self, ctx, formatter, self.examples)


class LazyGroup(TyperGroup):
    """The group whose commands are modules, imported by name."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's signature
        return list(SUMMARIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class's signature
        if cmd_name not in SUMMARIES:
            # For the "did you mean" of the base class, which looks here.
            self.commands = dict.fromkeys(SUMMARIES, self)
            return None
        return load(cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ARG002 - the base class's signature
        from typer._click.shell_completion import CompletionItem

        return [CompletionItem(name, help=line) for name, line in SUMMARIES.items() if name.startswith(incomplete)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_help(self, ctx, formatter, EXAMPLES)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's signature
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_NAME), line) for name, line in commands.items()])


class SubGroup(TyperGroup):
    """A command of several verbs, such as ``qtool context``; the first is meant where none is named."""

    examples: str = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            lines = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
            formatter.write_dl([(name, _summary(each)) for name, each in lines.items() if each])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        write_help(self, ctx, formatter, self.examples)


def _summary(command: Any) -> str:
    """The first paragraph of its help; the rest is on its own page."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


_NAME = max(map(len, SUMMARIES))


def write_help(command: Any, ctx: Any, formatter: Any, examples: str) -> None:
    """Usage, one line, examples, then the rest."""
    summary, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    command.format_usage(ctx, formatter)
    formatter.write("\n")
    formatter.write_text(summary)
    if examples:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in examples.strip().splitlines()))
    if rest:
        formatter.write("\n")
        formatter.write_text(rest)
    command.format_options(ctx, formatter)


# --- loading a command -------------------------------------------------------------------------------


def load(name: str) -> Any:
    """The command ``name``, built from its module. See :mod:`qtool.commands` for what such a module has."""
    module = import_module(f"qtool.commands.{name}")
    examples = str(module.EXAMPLES)
    verbs: dict[str, Callable[..., Any]] | None = getattr(module, "VERBS", None)
    if verbs is None:
        return _build(name, module.command, module, examples)
    group = SubGroup(
        name=name,
        help=inspect.getdoc(module.command),
        commands={verb: _build(verb, function, module, "") for verb, function in verbs.items()},
        callback=None,
        context_settings=_SETTINGS,
        rich_markup_mode=None,
    )
    group.examples = examples
    return group


def _build(name: str, function: Callable[..., Any], module: ModuleType, examples: str) -> Any:
    info = CommandInfo(
        name=name,
        cls=ExampleCommand,
        callback=with_common(function),
        context_settings={**_SETTINGS, **getattr(module, "CONTEXT_SETTINGS", {})},
        help=inspect.getdoc(function),
        options_metavar="[OPTIONS]",
    )
    command = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
    assert isinstance(command, ExampleCommand)
    command.examples = examples
    command.prepare = getattr(module, "prepare", None)
    return command


def with_common(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its parameter ``common`` spelled out as the options that every command has."""
    signature = inspect.signature(function, eval_str=True)
    if signature.parameters.get("common") is None:
        return function
    shared = inspect.signature(common_options, eval_str=True).parameters

    def call(**values: Any) -> Any:
        said = {name: values.pop(name) for name in shared}
        return function(common=common_options(**said), **values)

    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
    rest = [each for each in own if each.annotation is not Common]
    parameters = [*rest, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in shared.values())]
    call.__name__ = function.__name__
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it off any function
    hints = get_type_hints(function, include_extras=True) | get_type_hints(common_options, include_extras=True)
    hints.pop("common", None)
    call.__annotations__ = hints
    return call
