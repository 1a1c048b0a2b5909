"""docs/reference is what scripts/reference makes of the code, and leaves nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qtool.cli import SUMMARIES, load
from qtool.commands import schema
from qtool.errors import ExitCode

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    level = title.partition(" ")[0]
    return re.split(rf"^#{{1,{len(level)}}} ", text.partition(f"\n{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_page_is_in_step_with_the_code() -> None:
    # In a process of its own, narrow and in another place: neither may show.
    environ = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "COLUMNS": "40", "XDG_STATE_HOME": "/elsewhere"}
    ran = subprocess.run(
        [sys.executable, "-m", "refpages", "--check"], env=environ, cwd="/", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def every_command() -> list[Any]:
    found = []
    for name in SUMMARIES:
        command = load(name)
        verbs = getattr(command, "commands", None)
        found += [(f"#### qtool {name} {verb}", each) for verb, each in verbs.items()] if verbs else []
        found += [] if verbs else [(f"### qtool {name}", command)]
    return found


@pytest.mark.parametrize(("title", "command"), every_command(), ids=lambda value: str(value).strip("# "))
def test_every_command_and_option_is_on_the_page(title: str, command: Any) -> None:
    told = section("commands.md", title) + section("commands.md", "## Options of every command")
    assert f"{title.strip('# ')} [OPTIONS]" in told
    for param in command.params:
        if param.param_type_name == "option":
            for name in param.opts:
                assert re.search(rf"`{re.escape(name)}[ `]", told), name
                assert param.help, name


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_field_of_every_row_is_on_the_page(name: str) -> None:
    told = section("outputs.md", f"## qtool {name}")
    found = schema.schema_of(name)
    if found is None:
        assert not told
        return
    definitions = found.get("$defs", {})
    named = [each["$ref"].rpartition("/")[2] for each in found.get("anyOf", [found]) if "$ref" in each]
    for kind in named:
        for field in definitions[kind]["properties"]:
            assert f"| `{field}` |" in told, field


def test_every_exit_code_is_explained() -> None:
    told = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"\n| {int(code)} |" in told


def test_every_variable_of_the_environment_is_on_the_page() -> None:
    told = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "qtool").rglob("*.py"))
    names = set(re.findall(r"\bQTOOL_[A-Z_]+\b", sources))
    assert "QTOOL_BROKER" in names
    for name in names:
        assert f"`{name}`" in told, name
