"""docs/reference/outputs.md: the fields of every command's rows, from the types that ``qtool schema`` publishes."""

from __future__ import annotations

import inspect
import types
import typing
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from typing import Any, Literal

from qtool.cli import SUMMARIES
from qtool.options import common_options
from qtool.output import Format

from . import markdown as md
from .source import attribute_docs

_FORMATS = {
    Format.TABLE: "for people; columns that do not fit the terminal are left out, and it may change",
    Format.JSONL: "one JSON object a line; the default in a pipe",
    Format.JSON: "one JSON array",
    Format.CSV: "with a header; what is not text, number or true is JSON",
    Format.TSV: "with a header; tabs, line ends and backslashes are written `\\t`, `\\n`, `\\r`, `\\\\`",
    Format.IDS: "one id (or name) a line",
}
_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    datetime: "time",
    Any: "any JSON value",
    type(None): "null",
}


def page() -> str:
    """The whole page."""
    assert set(_FORMATS) == set(Format)
    assert "output" in inspect.signature(common_options).parameters
    parts = []
    nested: dict[str, type] = {}
    for name in SUMMARIES:
        row = import_module(f"qtool.commands.{name}").ROW
        if row is None:
            continue
        parts.append(f"## qtool {name}")
        if row is Any:
            parts.append("The job's result: any JSON value.")
            continue
        for kind in row if isinstance(row, tuple) else (row,):
            parts += [md.prose((inspect.getdoc(kind) or "").partition("\n\n")[0]), _table(kind, nested)]
    for title, kind in nested.items():
        parts += [f"## {title}", md.prose(inspect.getdoc(kind) or ""), _table(kind, {})]
    return md.page(
        "Outputs",
        "Stdout is data, stderr is talk. `-o` chooses the format of the data:",
        md.table(("format", "means"), ((md.code(form), text) for form, text in _FORMATS.items())),
        "The fields below are the same in every format but `table`, and stay. `qtool schema COMMAND` prints them as a "
        "JSON Schema. Times are ISO 8601 in UTC, spans are seconds. JSON is ASCII: bytes that were not UTF-8 are lone "
        "surrogates, `\\udc80` to `\\udcff`.",
        *parts,
    )


def _table(kind: type, nested: dict[str, type]) -> str:
    docs = attribute_docs(kind)
    hints = typing.get_type_hints(kind)
    fields = [name for name in hints if not name.startswith("_")]
    rows = (
        (md.code(name), _type(hints[name], nested), md.prose(docs.get(name, "").replace("None", "null")))
        for name in fields
    )
    return md.table(("field", "type", "meaning"), rows)


def _type(hint: Any, nested: dict[str, type]) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(each, nested) for each in inside)
    if origin is Literal:
        return ", ".join(md.code(str(each)) for each in inside)
    if origin is list:
        return "list" if inside[0] is Any else f"list of {_type(inside[0], nested)}"
    if origin is dict:
        return "object" if inside[1] is Any else f"object of {_type(inside[1], nested)}"
    if hint in _NAMES:
        return _NAMES[hint]
    if issubclass(hint, StrEnum):
        return f"a [{hint.__name__.lower()}](states.md)"
    title = hint.__name__.removesuffix("View")
    nested[title] = hint
    return f"[{title}](#{title.lower()})"
