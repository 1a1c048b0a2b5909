"""docs/reference/configuration.md, from qtool/config.py."""

from __future__ import annotations

import inspect
import textwrap
import typing
from pathlib import Path

import qtool
from qtool import config
from qtool.config import ContextEntry, Route, TopDefaults, WorkerDefaults
from qtool.engine.alerts import Thresholds
from qtool.engine.policy import DAY, KEEP

from . import markdown as md
from .source import attribute_docs

ENVIRONMENT = {
    "QTOOL_BROKER": "The broker's URL, or a file. `-b` and `-c` win over it.",
    "QTOOL_CONTEXT": "The context to use where neither `-b`, `-c` nor `QTOOL_BROKER` says anything.",
    "QTOOL_CONFIG": "The configuration file.",
    "QTOOL_KEY": "The secret that signs commands for a network broker, and checks them there;"
    " wins over the `key` of the context.",
    "QTOOL_BROKER_REQUIRED": "Not empty and not 0: use only a broker, context or file that an option or the environment"
    " names, never the default one. qtool's plugin for pytest sets it.",
    "QTOOL_DEBUG": "Not empty: tracebacks with errors, as `-v`.",
    "XDG_CONFIG_HOME": "Where `qtool/config.toml` is looked for; by default `~/.config`.",
    "XDG_STATE_HOME": "Where `qtool/qtool.db`, the default broker, lies, and `qtool/top.json`, what `qtool top`"
    " remembers; by default `~/.local/state`.",
    "NO_COLOR": "Not empty: no colours.",
    "COLUMNS": "How wide a table is where there is no terminal.",
}
TO_JOBS = {
    "QTOOL_BROKER": "The broker the job came from: what it enqueues goes there too.",
    "QTOOL_JOB_ID": "The job's id.",
    "QTOOL_ATTEMPT": "How many times it has been started. With the id it makes an idempotency key.",
    "QTOOL_QUEUE": "Its queue.",
}
ON_FINISH = {
    "QTOOL_BROKER": "The broker the job came from.",
    "QTOOL_JOB_ID": "The id of the job that has ended.",
    "QTOOL_TASK": "Its task.",
    "QTOOL_QUEUE": "Its queue.",
    "QTOOL_STATE": "`succeeded`, `dead` or `cancelled`.",
    "QTOOL_REASON": "Why it is dead; empty otherwise.",
    "QTOOL_ERROR": "The error; empty where there was none.",
    "QTOOL_ATTEMPT": "How many times it was started.",
    "QTOOL_SECONDS": "How long the last attempt ran.",
}


def page() -> str:
    """The whole page."""
    doc = inspect.getdoc(config) or ""
    example = textwrap.dedent(doc[doc.index("    context =") : doc.index("On the path of")])
    return md.page(
        "Configuration",
        "Nothing needs to be configured: without any of this, jobs lie in one file in your state directory.",
        "Flags beat the environment, the environment beats a context, a context beats the file. `qtool context` tells "
        "which broker is in use and what decided that; `qtool doctor` checks the file.",
        "## The file",
        "TOML, in `$QTOOL_CONFIG` or `$XDG_CONFIG_HOME/qtool/config.toml`. A setting it does not know is an error.",
        md.fence(example, "toml"),
        md.table(("setting", "type", "meaning"), _rows()),
        "## The environment",
        md.table(("variable", "meaning"), ((md.code(name), text) for name, text in ENVIRONMENT.items())),
        "A command job has these, beside what `--env` named when it was enqueued and what the worker itself has:",
        md.table(("variable", "meaning"), ((md.code(name), text) for name, text in TO_JOBS.items())),
        "The command of `worker --on-finish` has these:",
        md.table(("variable", "meaning"), ((md.code(name), text) for name, text in ON_FINISH.items())),
        "## Brokers",
        "`sqlite:///absolute/path.db`, `sqlite:relative/path.db` or a plain path is an embedded file, made when it is "
        "first used. `memory:` keeps jobs in the process, for tests.",
    )


def _rows() -> list[tuple[str, str, str]]:
    rows = [("`context`", "string", "The context that commands use when nothing else is said.")]
    rows += _fields("contexts.NAME", ContextEntry, "name", "alerts")
    rows += _fields("contexts.NAME.alerts", Thresholds)
    rows += _fields('routes."GLOB"', Route, "pattern")
    rows += [
        (
            md.code(f"retention.{name}"),
            'duration, or `"forever"`',
            f"How long {name} jobs are kept; by default {kept / DAY:g} days."
            if (kept := KEEP.seconds(config_state(name))) is not None
            else f"How long {name} jobs are kept; by default for ever.",
        )
        for name in ("succeeded", "dead", "cancelled", "expired")
    ]
    return [*rows, *_fields("worker", WorkerDefaults), *_fields("top", TopDefaults)]


def config_state(name: str) -> typing.Any:
    """The final state that a setting of ``[retention]`` is about."""
    from qtool.engine.states import State

    return State(name)


_KINDS = {
    "str": "string",
    "bool": "true or false",
    "int": "whole number",
    "int | None": "whole number",
    "tuple[int, int] | None": 'whole number, or `"MIN:MAX"`',
    "Bytes | None": "size",
    "str | None": "string",
    "float | None": "duration",
    "float": "duration",
    "Mapping[str, str]": "table of strings",
    "tuple[str, ...]": "string or list of strings",
}


def _fields(head: str, kind: type, *skip: str) -> list[tuple[str, str, str]]:
    docs = attribute_docs(kind)
    names = {name: str(annotation) for name, annotation in kind.__annotations__.items() if name not in skip}
    if missing := set(names) - set(docs):
        raise SystemExit(f"{kind.__name__}: no documentation of {sorted(missing)}")
    return [(md.code(f"{head}.{name}"), _KINDS[said], md.prose(docs[name])) for name, said in names.items()]


def sources() -> list[Path]:
    """Every file of the package, for who looks for variables of the environment in them."""
    return sorted(Path(qtool.__file__).parent.rglob("*.py"))
