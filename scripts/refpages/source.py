"""What Python's own reflection does not keep: the string under an attribute, and a signature as it was written."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def module_tree(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(inspect.getsource(import_module(name)))


def class_tree(kind: type) -> ast.ClassDef:
    """The syntax tree of a class at the top of its module."""
    for node in module_tree(kind.__module__).body:
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            return node
    raise LookupError(kind)


def function_tree(module: str, name: str) -> Function:
    """The syntax tree of a function at the top of its module; of overloads the last, which is the real one."""
    found = [node for node in module_tree(module).body if isinstance(node, Function) and node.name == name]
    return found[-1]


def attributes(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AnnAssign | ast.Assign, str]]:
    """Name, assignment and documentation of each public attribute among statements."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        target: ast.expr
        if isinstance(node, ast.AnnAssign):
            target = node.target
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        else:
            continue
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "_")
        if not name.startswith("_"):
            yield name, node, _text(after)


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def attribute_docs(kind: type) -> dict[str, str]:
    """The documentation of every attribute of a class, inherited ones included."""
    docs: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.partition(".")[0] != "qtool":
            continue
        tree = class_tree(each)
        docs.update({name: text for name, _, text in attributes(tree.body) if text})
        docs.update(_from_docstring(tree))
    return docs


def _from_docstring(tree: ast.ClassDef) -> dict[str, str]:
    """Attributes that ``__init__`` sets and documents."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return {name: text for name, _, text in attributes(node.body) if text}
    return {}


def signature(node: Function, *, drop_self: bool = False) -> str:
    """``(path: str, width: int = 160) -> str``, as written, on one line."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    words = [_parameter(each, default) for each, default in zip(plain, defaults, strict=True)]
    if given.posonlyargs:
        words.insert(len(given.posonlyargs), "/")
    if drop_self:
        del words[0]
        words = words[1:] if words[:1] == ["/"] else words
    if given.vararg:
        words.append(f"*{_parameter(given.vararg)}")
    elif given.kwonlyargs:
        words.append("*")
    words += [_parameter(each, value) for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        words.append(f"**{_parameter(given.kwarg)}")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"({', '.join(words)}){returns}"


def _parameter(node: ast.arg, default: ast.expr | None = None) -> str:
    if node.annotation is None:
        return node.arg if default is None else f"{node.arg}={ast.unparse(default)}"
    typed = f"{node.arg}: {ast.unparse(node.annotation)}"
    return typed if default is None else f"{typed} = {ast.unparse(default)}"


class _Aliases(ast.NodeTransformer):
    def __init__(self, known: dict[str, ast.expr]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._known.get(node.id, node)


def spelled_out(annotation: ast.expr, module: str) -> str:
    """A type as written, with the module's own aliases replaced by what they stand for."""
    known = {name: node.value for name, node, _ in attributes(module_tree(module).body) if isinstance(node, ast.Assign)}
    return ast.unparse(_Aliases(known).visit(annotation))
