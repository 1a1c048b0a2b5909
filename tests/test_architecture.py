"""The walls of the house: who may import whom, what a command may load, how long things may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qtool.cli import SUMMARIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "qtool").rglob("*.py")
)
ENGINE = [name for name in MODULES if name.startswith("qtool.engine")]
COMMANDS = [f"qtool.commands.{name}" for name in SUMMARIES]
FRONTS = {"typer", "click", "rich", "textual"}
HEAVY = {"rich", "textual", "msgspec", "apsw", "platformdirs", "psutil", "tomllib", "asyncio", "redis", "pika", "kombu"}


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after ``statement``."""
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_import_contracts() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


def test_the_engine_loads_no_front() -> None:
    """All of the engine at once, in a fresh interpreter."""
    loaded = loaded_by(f"import {', '.join(name for name in ENGINE if not name.endswith('__main__'))}")
    assert not tops(loaded) & FRONTS
    assert {name for name in loaded if name.startswith("qtool.")} <= {*ENGINE, "qtool.errors"}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_loads_only_what_parsing_needs(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert not tops(loaded) & HEAVY
    assert not {name for name in loaded if name.startswith("qtool.engine.brokers.")}
    others = {name for name in loaded if name in COMMANDS} - {module}
    assert not others


def test_help_loads_no_command() -> None:
    loaded = loaded_by("import qtool.__main__ as m; m.main(['--help'])")
    assert not {name for name in loaded if name.startswith("qtool.commands.")}
    assert not tops(loaded) & HEAVY


def test_one_command_loads_no_other() -> None:
    loaded = loaded_by("import qtool.__main__ as m; m.main(['queues', '--help'])")
    assert {name for name in loaded if name.startswith("qtool.commands.")} == {"qtool.commands.queues"}


def test_the_way_of_enqueue_is_light() -> None:
    """Everything that a one-job enqueue imports, but the adapter, is the standard library's quick part."""
    needed = ("__main__", "errors", "config", "output", "engine.job", "engine.codec", "engine.registry", "engine.ids")
    loaded = loaded_by(f"import {', '.join(f'qtool.{name}' for name in needed)}")
    slow = {"typer", "dataclasses", "inspect", "datetime", "pathlib", "tempfile", "shutil", "subprocess"} | HEAVY
    assert not tops(loaded) & slow


# --- sizes -------------------------------------------------------------------------------------------

MODULE_LINES, CLASS_LINES, FUNCTION_LINES = 500, 200, 70
LONG_CLASSES = {
    "engine.brokers.memory.broker.MemoryBroker": (225, "a verb of the contract each; the others are held to it whole"),
    "engine.brokers.redis.layout.Layout": (
        215,
        "names of keys, each with a sentence on what stands there; it does nothing",
    ),
    "engine.brokers.sqlite.moves.SqliteBroker": (215, "a verb of the contract each, with its transaction"),
    "engine.brokers.sqlite.store.Store": (
        215,
        "one connection from its opening to its end: what each step may rely on",
    ),
    "engine.celery.signatures.Sender": (
        205,
        "the kinds of canvas contain each other, so their methods call each other",
    ),
    "engine.filter.parser._Parser": (300, "a method for each rule of the grammar, around one cursor"),
    "engine.worker.children.Children": (290, "the events of a process's life, which all change the one list of them"),
    "engine.worker.claimer.Claimer": (235, "from a claim to a start or back: where a lease may not be in two places"),
    "engine.worker.commands.Commands": (215, "the events of a command's life, as Children's of a process's"),
    "engine.worker.outbox.Outbox": (250, "every outcome is in one of its counts in the end, so they are kept together"),
    "engine.worker.supervisor.Worker": (255, "puts the parts together and turns them; decides nothing itself"),
    "output.Output": (235, "the formats of stdout and stderr share what is a terminal, a colour, a width"),
}
"""Classes that may be longer, how long, and why they are one."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definitions(path: Path) -> Iterator[tuple[ast.AST, str, int]]:
    """Every class and function with its lines; a function's signature is not counted: a command's are its options."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            start = node.lineno if isinstance(node, ast.ClassDef) else node.body[0].lineno
            yield node, node.name, node.end_lineno - start + 1


SOURCES = sorted((ROOT / "qtool").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_nothing_grows_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    module = ".".join(path.relative_to(ROOT / "qtool").with_suffix("").parts)
    for node, name, lines in definitions(path):
        limit = LONG_CLASSES.get(f"{module}.{name}", (CLASS_LINES,))[0]
        assert lines <= (limit if isinstance(node, ast.ClassDef) else FUNCTION_LINES), f"{name} has {lines} lines"


def test_a_class_that_may_be_long_still_is() -> None:
    long = {
        ".".join([*path.relative_to(ROOT / "qtool").with_suffix("").parts, name])
        for path in SOURCES
        for node, name, lines in definitions(path)
        if isinstance(node, ast.ClassDef) and lines > CLASS_LINES
    }
    assert long == set(LONG_CLASSES)


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_every_module_says_what_it_is_for(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(tree(path))


def test_every_command_is_a_module_and_every_module_a_command() -> None:
    for module in COMMANDS:
        assert find_spec(module) is not None, module


def own_protocols() -> list[Any]:
    from qtool.engine import broker, freight, journal, pipeline

    return [
        each
        for seam in (broker, freight, journal, pipeline)
        for each in vars(seam).values()
        if getattr(each, "_is_protocol", False) and each.__module__ == seam.__name__
    ]


def test_a_seam_has_ten_methods_at_most() -> None:
    found = own_protocols()
    assert {"Broker", "Operator", "Inspector", "ResultStore", "Journal", "Freight", "Pipeline"} <= {
        each.__name__ for each in found
    }
    for protocol in found:
        assert len([name for name, value in vars(protocol).items() if callable(value) and name[0] != "_"]) <= 10
