"""``qtool context``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.config import Settings
from qtool.errors import ExitCode
from qtool.options import Common
from qtool.views.setup import CONTEXTS, ContextRow

ROW = ContextRow
EXAMPLES = """
qtool context                  # which broker is in use, and why
qtool context add work sqlite:///srv/jobs.db
qtool context add live sqlite:///srv/live.db --production
qtool context use work
qtool jobs -c live             # for one command
"""


def complete_context(incomplete: str) -> list[str]:
    """Names of contexts, for the shell."""
    from qtool.completion import context_names

    return context_names(incomplete)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The context's name.", autocompletion=complete_context)]


def command() -> None:
    """Name brokers, and choose one."""


def show(common: Common) -> None:
    """Which broker is in use, and what decided that."""
    settings = common.settings()
    common.out().rows(CONTEXTS, [_in_use(settings)])
    common.out().note(f"decided by {settings.source}; configuration file {settings.path}")


def list_(common: Common) -> None:
    """The contexts that the configuration file names."""
    settings = common.settings()
    common.out().rows(CONTEXTS, _rows(settings))


def use(common: Common, name: Name) -> int:
    """Make a context the one that commands use when nothing else is said."""
    from qtool.contexts import use_context

    settings = common.settings()
    use_context(settings, name)
    return _shown(common)


def add(
    common: Common,
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="A broker's URL, or a file.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse commands that change anything.")] = False,
    production: Annotated[bool, typer.Option("--production", help="Warn in every question.")] = False,
) -> int:
    """Add a context, or replace one of that name."""
    from qtool.contexts import add_context

    add_context(common.settings(), name, url, read_only=read_only, production=production)
    return _shown(common)


def rm(common: Common, name: Name) -> int:
    """Forget a context. Its broker is left alone."""
    from qtool.contexts import remove_context

    remove_context(common.settings(), name)
    return _shown(common)


VERBS = {"show": show, "list": list_, "use": use, "add": add, "rm": rm}


def _shown(common: Common) -> int:
    common.out().rows(CONTEXTS, _rows(common.settings()))
    return ExitCode.OK


def _rows(settings: Settings) -> list[ContextRow]:
    from qtool.config import redacted

    return [
        ContextRow(
            name=entry.name,
            broker=redacted(entry.broker),
            current=entry.name == settings.current,
            read_only=entry.read_only,
            production=entry.production,
        )
        for entry in settings.contexts
    ]


def _in_use(settings: Settings) -> ContextRow:
    from qtool.config import redacted

    return ContextRow(
        name=settings.context or settings.source,
        broker=redacted(settings.broker),
        current=True,
        read_only=settings.read_only,
        production=settings.production,
    )
