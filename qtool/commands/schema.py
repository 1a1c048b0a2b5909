"""``qtool schema``."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from qtool.errors import UsageError
from qtool.options import Common

ROW = None
EXAMPLES = """
qtool schema
qtool schema jobs > jobs.schema.json
"""


def complete_command(incomplete: str) -> list[str]:
    """Commands with a schema, for the shell."""
    from qtool.cli import SUMMARIES

    return [name for name in SUMMARIES if name.startswith(incomplete)]


def command(
    common: Common,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[COMMAND]", help="Which command; all of them without it.", autocompletion=complete_command
        ),
    ] = None,
) -> None:
    """The JSON Schema of what a command prints.

    It describes one row: a line of jsonl, an element of json's array. Draft 2020-12.
    """
    import json

    from qtool.cli import SUMMARIES

    if name is not None and name not in SUMMARIES:
        raise UsageError(why=f"No command {name!r}. 'qtool --help' lists them.")
    schemas = {each: schema_of(each) for each in ([name] if name else SUMMARIES)}
    document = {each: schema for each, schema in schemas.items() if schema is not None}
    if name is not None and name not in document:
        raise UsageError(why=f"'qtool {name}' prints no rows, so it has no schema.")
    common.out().write(json.dumps(document[name] if name else document, indent=2) + "\n")


def schema_of(name: str) -> dict[str, Any] | None:
    """The schema of a row of command ``name``; None if it prints none."""
    row = import_module(f"qtool.commands.{name}").ROW
    if row is None:
        return None
    import msgspec

    kinds = row if isinstance(row, tuple) else (row,)
    schemas, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"qtool {name}",
        **(schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}),
        **({"$defs": definitions} if definitions else {}),
    }
