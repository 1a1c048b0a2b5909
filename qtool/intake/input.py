"""From words, lines and JSON to the arguments of jobs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from qtool.engine.codec import MAX_PAYLOAD
from qtool.engine.job import EXEC
from qtool.engine.value import Value
from qtool.errors import BadJSON, PayloadTooLarge, UsageError
from qtool.intake.options import DASHES, EnqueueOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLE = "{}"
"""Where the line goes."""


class Work(Value, kw_only=True):
    """What the jobs of one call have in common."""

    task: str | None
    """None: every line is an envelope that names its own."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    script: bool = False
    """The first argument is a script for the shell, where a line must be quoted."""
    holes: frozenset[str | int] = frozenset()
    """The arguments, by place or name, that are text as typed: where they hold ``{}``, a line takes its place."""

    @property
    def command(self) -> bool:
        """Whether the jobs are commands."""
        return self.task == EXEC and ("cwd" in self.kwargs)


def read_work(options: EnqueueOptions, environ: Mapping[str, str] = os.environ) -> Work:
    """What the words and options ask for. Raises UsageError, BadJSON."""
    words = list(options.words)
    dashes = words.index(DASHES) if DASHES in words else None
    if dashes is not None:
        del words[dashes]
    is_command = dashes == 0 or options.shell is not None
    if is_command:
        return _command(options, words, environ)
    for name, given in (("--cwd", options.cwd), ("--env", options.env)):
        if given:
            raise UsageError(why=f"{name} is for commands: write qtool enqueue {name} … -- COMMAND.")
    if not words:
        if not options.jsonl:
            raise UsageError(why="There is nothing to enqueue: name a task, or a command after --.")
        if options.args is not None or options.kwargs is not None:
            raise UsageError(why="--args and --kwargs go with a task: name it.")
        return Work(task=None, args=(), kwargs={})
    return _call(words[0], words[1:], options)


# --- commands ----------------------------------------------------------------------------------------


def _command(options: EnqueueOptions, words: list[str], environ: Mapping[str, str]) -> Work:
    if options.shell is not None and words:
        raise UsageError(why=f"--shell already says what to run: {words[0]!r} is one too many.")
    if options.args is not None or options.kwargs is not None:
        raise UsageError(why="--args and --kwargs go with a task; a command has its words.")
    if options.jsonl:
        raise UsageError(why="--jsonl goes with a task or with envelopes; a command takes --lines or -0.")
    if options.shell is None and not (words and words[0]):
        raise UsageError(why="There is no command after --.")
    if options.shell is not None and not options.shell.strip():
        raise UsageError(why="The script after --shell is empty.")
    kwargs: dict[str, Any] = {"cwd": _directory(options.cwd)}
    if options.env:
        kwargs["env"] = _environment(options.env, environ)
    args = tuple(words) if options.shell is None else (options.shell,)
    if options.shell is not None:
        kwargs["shell"] = True
    return Work(
        task=EXEC, args=args, kwargs=kwargs, script=options.shell is not None, holes=frozenset(range(len(args)))
    )


def _directory(said: str | None) -> str:
    if said == "":
        raise UsageError(why="--cwd names no directory.")
    try:
        return os.path.abspath(said or ".")
    except FileNotFoundError:
        raise UsageError(why="The current directory is gone: name another one with --cwd.") from None


def _environment(said: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    chosen = {}
    for item in said:
        name, equals, value = item.partition("=")
        if not name:
            raise UsageError(why=f"--env {item!r} names no variable: write NAME or NAME=VALUE.")
        if not equals:
            if name not in environ:
                raise UsageError(why=f"--env {name}: there is no such variable here. Write {name}=VALUE to set it.")
            value = environ[name]
        chosen[name] = value
    return chosen


# --- tasks -------------------------------------------------------------------------------------------


def _call(task: str, words: list[str], options: EnqueueOptions) -> Work:
    args: list[Any] = list(_json_of("--args", options.args, list)) if options.args is not None else []
    kwargs: dict[str, Any] = dict(_json_of("--kwargs", options.kwargs, dict)) if options.kwargs is not None else {}
    holes: set[str | int] = set()
    for word in words:
        name, equals, value = word.partition("=")
        is_json = equals != "" and name.endswith(":")
        name = name[:-1] if is_json else name
        if not equals or not (name.isidentifier() or (is_json and not name)):
            holes.add(len(args))
            args.append(word)
            continue
        if name in kwargs:
            raise UsageError(why=f"The argument {name!r} is given twice.")
        said = parse_json(value, f"{word!r}") if is_json else value
        if not name:
            args.append(said)
        else:
            kwargs[name] = said
            if not is_json:
                holes.add(name)
    return Work(task=task, args=tuple(args), kwargs=kwargs, holes=frozenset(holes))


def _json_of(option: str, text: str, kind: type) -> Any:
    value = parse_json(text, f"The value of {option}")
    if type(value) is not kind:
        wanted = "an array, as in '[1, \"a\"]'" if kind is list else "an object, as in '{\"a\": 1}'"
        raise UsageError(why=f"{option} takes {wanted}.")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large a number")
    return value


_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode

DEEPEST = 200
"""Levels of nesting in a JSON line: deep enough for data, and far from where Python's own reader gives up."""


def check_depth(text: str) -> None:
    """Refuse JSON whose arrays and objects are nested too deeply. Raises BadJSON."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for char in re.sub(r'"(?:\\.|[^"\\])*"', "", text):
        depth += (char in "[{") - (char in "]}")
        if depth > DEEPEST:
            raise BadJSON(where="it", why=f"it is nested more than {DEEPEST} deep")


def parse_json(text: str, where: str) -> Any:
    """The value that ``text`` writes. Raises BadJSON, which says ``where`` the text was."""
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        at = f" (character {error.pos + 1})" if error.pos else ""
        raise BadJSON(where=where, why=error.msg[:1].lower() + error.msg[1:] + at) from None
    except ValueError as error:
        raise BadJSON(where=where, why=str(error)) from None
    except RecursionError:
        raise BadJSON(where=where, why="it is nested too deeply") from None


# --- a line's place ----------------------------------------------------------------------------------


class Filler:
    """Puts lines into the arguments of a :class:`Work`."""

    __slots__ = ("_args", "_fill_kwargs", "_holes", "_kwargs", "_script", "plain")

    plain: bool
    """The line is the last argument and nothing else changes: ``(*args, line)`` is all there is to do."""

    def __init__(self, work: Work) -> None:
        self._args = work.args
        self._kwargs = work.kwargs
        self._script = work.script
        self._holes = [at for at in sorted(h for h in work.holes if isinstance(h, int)) if HOLE in work.args[at]]
        self._fill_kwargs = [name for name in work.kwargs if name in work.holes and HOLE in work.kwargs[name]]
        self.plain = not self._holes and not self._fill_kwargs and not work.script

    def __call__(self, line: str) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Arguments and keyword arguments for ``line``."""
        text = _shell_quoted(line) if self._script else line
        args = list(self._args)
        kwargs = self._kwargs
        for at in self._holes:
            args[at] = args[at].replace(HOLE, text)
        if self._fill_kwargs:
            kwargs = {**kwargs, **{name: kwargs[name].replace(HOLE, text) for name in self._fill_kwargs}}
        if not self._holes and not self._fill_kwargs:
            if self._script:
                args[0] = f"{args[0]} {text}"
            else:
                args.append(text)
        return tuple(args), kwargs


def _shell_quoted(text: str) -> str:
    from shlex import quote

    return quote(text)


# --- lines -------------------------------------------------------------------------------------------

BLOCK = 1 << 18


def read_lines(
    descriptor: int, separator: bytes, reject: Callable[[int, Exception], None]
) -> Iterator[tuple[int, list[str]]]:
    """What ``descriptor`` gives, as lists of whole lines with the number of their first, as soon as they are there.

    Bytes that are not UTF-8 become lone surrogates. A line beyond the payload limit is rejected without being kept.
    """
    number = 1
    begun: list[bytes] = []
    size = 0
    while data := os.read(descriptor, BLOCK):
        head, found, tail = data.rpartition(separator)
        if not found:
            size += len(data)
            begun.append(data) if size <= MAX_PAYLOAD else begun.clear()
            continue
        if size > MAX_PAYLOAD:
            end, found, head = head.partition(separator)
            reject(number, PayloadTooLarge(size=size + len(end), limit=MAX_PAYLOAD))
            number += 1
        elif begun:
            head = b"".join([*begun, head])
        if found:
            lines = _text(head).split(separator.decode())
            yield number, lines
            number += len(lines)
        begun, size = [tail] if tail else [], len(tail)
    if size > MAX_PAYLOAD:
        reject(number, PayloadTooLarge(size=size, limit=MAX_PAYLOAD))
    elif begun:
        yield number, [_text(b"".join(begun))]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
