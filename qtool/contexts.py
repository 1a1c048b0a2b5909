"""Editing the contexts in the configuration file, and nothing else in it: comments and order stay.

The standard library reads TOML and does not write it, so this changes lines, and then reads the outcome back: what does
not say exactly what was meant is not written.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from typing import Any

from qtool.config import Settings, load_settings, read_toml
from qtool.errors import BadConfig, BadName, UsageError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def use_context(settings: Settings, name: str) -> None:
    """Make ``name`` the default. Raises UsageError, BadConfig."""
    _known(settings, name)
    wanted = read_toml(settings.path)
    wanted.pop("current", None)
    wanted["context"] = name
    lines = _without_default(_lines(settings.path))
    _write(settings.path, [f"context = {json.dumps(name)}", *lines], wanted)


def add_context(settings: Settings, name: str, url: str, *, read_only: bool, production: bool) -> None:
    """Add a context or replace it. Raises BadName, BadConfig."""
    if not _NAME.fullmatch(name):
        raise BadName(what="The context", name=name, why="use letters, digits, - and _")
    entry: dict[str, Any] = {"broker": url}
    entry |= {key: True for key, said in (("read_only", read_only), ("production", production)) if said}
    wanted = read_toml(settings.path)
    contexts = wanted.setdefault("contexts", {})
    # The alerts of one that is replaced stay: they have a section of their own.
    kept = {key: value for key, value in contexts.get(name, {}).items() if isinstance(value, dict)}
    contexts[name] = entry | kept
    lines = _without_section(_lines(settings.path), name)
    if lines and lines[-1].strip():
        lines.append("")
    lines += [f"[contexts.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    _write(settings.path, lines, wanted)


def remove_context(settings: Settings, name: str) -> None:
    """Forget a context. Raises UsageError, BadConfig."""
    _known(settings, name)
    wanted = read_toml(settings.path)
    del wanted["contexts"][name]
    if not wanted["contexts"]:
        del wanted["contexts"]
    lines = _without_section(_lines(settings.path), name, whole=True)
    if settings.current == name:
        lines = _without_default(lines)
        wanted.pop("context", None)
        wanted.pop("current", None)
    _write(settings.path, lines, wanted)


def _known(settings: Settings, name: str) -> None:
    if all(entry.name != name for entry in settings.contexts):
        known = ", ".join(entry.name for entry in settings.contexts) or "none"
        raise UsageError(why=f"No context {name!r}. Known: {known}.")


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def _without_default(lines: list[str]) -> list[str]:
    """Without the ``context = …`` of the top level."""
    end = next((index for index, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    said = re.compile(r"\s*(context|current)\s*=")
    return [line for index, line in enumerate(lines) if index >= end or not said.match(line)]


def _without_section(lines: list[str], name: str, *, whole: bool = False) -> list[str]:
    """Without ``[contexts.NAME]`` and what follows it up to the next header; the ``whole`` with what is below it."""
    below = r"(\s*\..*)?" if whole else ""
    header = re.compile(rf"""\s*\[\s*contexts\s*\.\s*["']?{re.escape(name)}["']?{below}\s*\]""")
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.lstrip().startswith("["):
            inside = bool(header.match(line))
        if not inside:
            kept.append(line)
    return kept


def _write(path: str, lines: list[str], wanted: dict[str, Any]) -> None:
    """Replace the file at once, private to its owner: URLs hold passwords."""
    text = "\n".join(lines).strip("\n") + "\n"
    try:
        same = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise BadConfig(path=path, why="it is written in a way this command cannot change; edit it by hand")
    try:
        os.makedirs(os.path.dirname(path) or ".", 0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path) or ".", encoding="utf-8", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        raise BadConfig(path=path, why=error.strerror) from None
    load_settings(environ={"QTOOL_CONFIG": path})
