"""docs/reference/python.md: the public names of ``qtool``, from their signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import qtool
import qtool.testing
from qtool.engine.options import NOT_YET, SendOptions, TaskOptions

from . import markdown as md
from .source import Function, attributes, class_tree, function_tree, signature, spelled_out

ORDER = (
    ("Tasks", ("task", "shared_task", "Task")),
    ("Jobs that were enqueued", ("Handle", "Batch")),
    ("Inside a running task", ("current_job", "CurrentJob")),
    ("What a task may raise", ("Retry", "Snooze", "Discard")),
    ("What may be raised in a task", ("JobTimeout", "JobCancelled")),
    ("Around jobs", ("middleware", "on_start", "on_stop", "before_enqueue", "Job")),
    ("Brokers", ("connect", "Client")),
    ("Errors", ("QtoolError", "JobFailed", "WaitTimedOut")),
)

TESTING = ("in_memory", "eager", "real_worker", "Jobs", "Ran", "RealWorker")

INNER = {"Task.check", "Batch.add", "Client.adapter", "RealWorker.wait_until_it_serves", "RealWorker.end"}
"""For qtool itself, public only because it uses them across modules."""


def page() -> str:
    """The whole page."""
    listed = {name for _, names in ORDER for name in names}
    if listed != set(qtool.__all__):
        raise SystemExit(f"python.md and qtool.__all__ differ in {sorted(listed ^ set(qtool.__all__))}")
    # The last paragraph is for pytest.
    parts = [md.paragraphs((inspect.getdoc(qtool) or "").partition("\n\n")[2].rpartition("\n\n")[0])]
    for title, names in ORDER:
        parts.append(f"## {title}")
        for name in names:
            parts += _entry(name, getattr(qtool, name))
        if title == "Tasks":
            parts += _options()
    if set(TESTING) != set(qtool.testing.__all__):
        raise SystemExit(f"python.md and qtool.testing.__all__ differ in {set(TESTING) ^ set(qtool.testing.__all__)}")
    parts += ["## qtool.testing", md.paragraphs((inspect.getdoc(qtool.testing) or "").partition("\n\n")[2])]
    for name in TESTING:
        parts += _entry(name, getattr(qtool.testing, name))
    return md.page("Python", *parts)


def _entry(name: str, value: Any) -> list[str]:
    if isinstance(value, type):
        return _class(name, value)
    if name != value.__name__:
        return [f"### {name}", f"`{value.__name__}` under the name that Celery's projects import."]
    tree = function_tree(value.__module__, name)
    return [f"### {name}", md.fence(name + signature(tree), "python"), md.paragraphs(inspect.getdoc(value) or "")]


def _class(name: str, kind: type) -> list[str]:
    tree = class_tree(kind)
    methods = [node for node in tree.body if isinstance(node, Function) and not _overload(node)]
    made = next((node for node in methods if node.name == "__init__"), None)
    parts = [f"### {name}"]
    if made is not None and issubclass(kind, Exception) and name in dict(ORDER)["What a task may raise"]:
        parts.append(md.fence(name + signature(made, drop_self=True).removesuffix(" -> None"), "python"))
    doc = inspect.cleandoc(ast.get_docstring(tree) or "")
    if "{" in doc:
        doc = f"The message is “{doc.replace(chr(10), ' ')}”"
    parts.append(md.paragraphs(doc))
    seen = [*attributes(tree.body), *(attributes(made.body) if made is not None else ())]
    facts = [(md.code(each), md.prose(text)) for each, _, text in seen if text]
    facts += [(md.code(node.name), md.prose(_doc(node))) for node in methods if _property(node)]
    if facts:
        parts.append(md.table(("attribute", "meaning"), facts))
    for node in methods:
        if node.name.startswith("_") or _property(node) or f"{name}.{node.name}" in INNER:
            continue
        parts += [f"`{name}.{node.name}{signature(node, drop_self=True)}`", md.paragraphs(_doc(node))]
    return parts


def _doc(node: Function) -> str:
    return ast.get_docstring(node) or ""


def _property(node: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)


def _overload(node: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)


def _options() -> list[str]:
    parts = []
    for title, kind in (("Options of @task", TaskOptions), ("Options of apply_async, map and send", SendOptions)):
        tree = class_tree(kind)
        rows = [
            (md.code(name), md.code(spelled_out(node.annotation, kind.__module__)), md.prose(text))
            for name, node, text in attributes(tree.body)
            if isinstance(node, ast.AnnAssign)
        ]
        if missing := [name for name, _, text in rows if not text]:
            raise SystemExit(f"{kind.__name__}: no documentation of {', '.join(missing)}")
        parts += [
            f"### {title}",
            md.paragraphs(inspect.getdoc(kind) or ""),
            md.table(("option", "type", "meaning"), rows),
        ]
    refused = ((md.code(name), md.prose(advice)) for name, advice in NOT_YET.items())
    return [
        *parts,
        "### Celery's options that are not supported yet",
        "They raise TypeError, unless their value asks for what happens anyway.",
        md.table(("option", "instead"), refused),
    ]
