"""The parts of a parsed filter. Each turns itself into SQL and into a predicate, and the two agree.

SQL conditions are never NULL, so that NOT, AND and OR are those of the predicate.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from qtool.engine.filter.fields import CREATED, FINISHED, TEXTS, Quantity, Text, escape_json, fold
from qtool.engine.states import FINAL, State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.job import JobInfo

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_T = TypeVar("_T")
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Node(Protocol):
    """A condition on a job."""

    def sql(self, now: float, params: list[object], /) -> str:
        """The condition in SQL, in parentheses where it needs them; what it binds is appended to ``params``."""
        ...

    def matches(self, job: JobInfo, now: float, /) -> bool: ...


def _bind(text: str, params: list[object]) -> str:
    """A placeholder for ``text``. SQLite's text can hold lone surrogates, but only comes to them through bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        params.append(text.encode("utf-8", "surrogatepass"))
        return "CAST(? AS TEXT)"
    params.append(text)
    return "?"


# --- terms -------------------------------------------------------------------------------------------


class AnyOf(Value):
    """The whole text is one of these."""

    field: Text
    values: tuple[str, ...]

    def sql(self, _now: float, params: list[object]) -> str:
        subject = self.field.sql(params)
        marks = [_bind(value, params) for value in self.values]
        return self.field.never_null(
            f"{subject} = {marks[0]}" if len(marks) == 1 else f"{subject} IN ({', '.join(marks)})"
        )

    def matches(self, job: JobInfo, _now: float) -> bool:
        return self.field.read(job) in self.values


class Glob(Value):
    """The text fits a pattern of ``*`` and ``?``. As in SQLite, a text ends at its first NUL here."""

    field: Text
    pattern: str

    def sql(self, _now: float, params: list[object]) -> str:
        if "\0" in self.pattern:
            return "0"
        subject = self.field.sql(params)
        return self.field.never_null(f"{subject} GLOB {_bind(self.pattern.replace('[', '[[]'), params)}")

    def matches(self, job: JobInfo, _now: float) -> bool:
        text = self.field.read(job)
        return text is not None and fits(self.pattern, text)


def fits(pattern: str, text: str) -> bool:
    """Whether ``text`` fits the glob ``pattern``."""
    return _glob(pattern).match(_as_glob_sees(text)) is not None


_SURROGATE = re.compile("[\ud800-\udfff]")


def _as_glob_sees(text: str) -> str:
    # SQLite's GLOB reads every lone surrogate as the replacement character.
    return _SURROGATE.sub("\ufffd", text.partition("\0")[0])


@lru_cache(maxsize=64)
def _glob(pattern: str) -> re.Pattern[str]:
    if "\0" in pattern:
        return re.compile("(?!)")
    first, *rest = ("".join("." if c == "?" else re.escape(c) for c in piece) for piece in _pieces(pattern))
    if not rest:
        return re.compile(first + r"\Z", re.DOTALL)
    # Each piece is best found at its first place: atomic groups keep the search from trying all others.
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(rf"{first}{middle}.*{rest[-1]}\Z", re.DOTALL)


def _pieces(pattern: str) -> list[str]:
    return re.sub(r"\*+", "*", _as_glob_sees(pattern)).split("*")


class Present(Value):
    """There is a value at all."""

    field: Text | Quantity

    def sql(self, now: float, params: list[object]) -> str:
        subject = self.field.sql(params) if isinstance(self.field, Text) else self.field.sql(now, params)
        return f"{subject} IS NOT NULL"

    def matches(self, job: JobInfo, now: float) -> bool:
        value = self.field.read(job) if isinstance(self.field, Text) else self.field.read(job, now)
        return value is not None


class Contains(Value):
    """The text contains ``needle``, whatever the case of A to Z."""

    field: Text
    needle: str
    """Folded, and escaped where the field is JSON: make one with :func:`contains`."""

    def sql(self, _now: float, params: list[object]) -> str:
        subject = self.field.sql(params)
        return self.field.never_null(f"instr(lower({subject}), {_bind(self.needle, params)}) > 0")

    def matches(self, job: JobInfo, _now: float) -> bool:
        text = self.field.read(job)
        return text is not None and self.needle in fold(text)


def contains(field: Text, needle: str) -> Contains:
    """The node for ``field~needle``."""
    return Contains(field, fold(escape_json(needle) if field.is_json else needle))


def anywhere(needle: str) -> Node:
    """The node for a word without an operator."""
    return Or(tuple(contains(TEXTS[name], needle) for name in ("id", "task", "args")))


class StateIn(Value):
    """The state is one of these."""

    states: frozenset[State]

    def sql(self, _now: float, params: list[object]) -> str:
        if not self.states:
            return "0"
        params.extend(sorted(str(state) for state in self.states))
        return "state = ?" if len(self.states) == 1 else f"state IN ({', '.join('?' * len(self.states))})"

    def matches(self, job: JobInfo, _now: float) -> bool:
        return job.state in self.states


class Compared(Value):
    """A number stands in this relation to another."""

    field: Quantity
    op: str
    value: float
    from_now: bool = False
    """``value`` is seconds from now."""

    def sql(self, now: float, params: list[object]) -> str:
        subject = self.field.sql(now, params)
        params.append(self.bound(now))
        return self.field.never_null(f"{subject} {self.op} ?")

    def matches(self, job: JobInfo, now: float) -> bool:
        value = self.field.read(job, now)
        return value is not None and COMPARE[self.op](value, self.bound(now))

    def bound(self, now: float) -> float:
        """What the field is compared with."""
        return now + self.value if self.from_now else self.value


def aged(op: str, seconds: float) -> Compared:
    """The node for ``age>5m``: a greater age is an earlier creation."""
    return Compared(CREATED, _TURNED[op], -seconds, from_now=True)


# --- combinations ------------------------------------------------------------------------------------


class And(Value):
    """All hold."""

    parts: tuple[Node, ...]

    def sql(self, now: float, params: list[object]) -> str:
        return f"({' AND '.join([part.sql(now, params) for part in self.parts])})"

    def matches(self, job: JobInfo, now: float) -> bool:
        return all(part.matches(job, now) for part in self.parts)


class Or(Value):
    """At least one holds."""

    parts: tuple[Node, ...]

    def sql(self, now: float, params: list[object]) -> str:
        return f"({' OR '.join([part.sql(now, params) for part in self.parts])})"

    def matches(self, job: JobInfo, now: float) -> bool:
        return any(part.matches(job, now) for part in self.parts)


class Not(Value):
    """It does not hold; make one with :func:`negated`."""

    part: Node

    def sql(self, now: float, params: list[object]) -> str:
        return f"NOT ({self.part.sql(now, params)})"

    def matches(self, job: JobInfo, now: float) -> bool:
        return not self.part.matches(job, now)


def negated(node: Node) -> Node:
    """The opposite, written so that the states it leaves are plain to see."""
    if isinstance(node, StateIn):
        return StateIn(frozenset(State) - node.states)
    if isinstance(node, Not):
        return node.part
    if isinstance(node, And | Or):
        kind = Or if isinstance(node, And) else And
        return kind(tuple(negated(part) for part in node.parts))
    return Not(node)


# --- what a filter confines itself to ----------------------------------------------------------------


def confined_queues(node: Node) -> frozenset[str] | None:
    """The only queues that can match; None for all."""
    if isinstance(node, AnyOf):
        return frozenset(node.values) if node.field.column == "queue" else None
    return _combine(node, confined_queues)


def confined_states(node: Node) -> frozenset[State] | None:
    """The only states that can match; None for all."""
    if isinstance(node, StateIn):
        return node.states if len(node.states) < len(State) else None
    return _combine(node, confined_states)


def possible_states(node: Node) -> frozenset[State] | None:
    """As :func:`confined_states`, and what follows from times: only what has ended has a time at which it did."""
    if isinstance(node, Compared) and node.field is FINISHED:
        return FINAL
    if isinstance(node, StateIn):
        return confined_states(node)
    return _combine(node, possible_states)


def _combine(node: Node, confined: Callable[[Node], frozenset[_T] | None]) -> frozenset[_T] | None:
    if isinstance(node, And):
        bounds = [bound for part in node.parts if (bound := confined(part)) is not None]
        return frozenset.intersection(*bounds) if bounds else None
    if isinstance(node, Or):
        spans = [confined(part) for part in node.parts]
        known = [span for span in spans if span is not None]
        return frozenset.union(*known) if len(known) == len(spans) else None
    return None


def counted(node: Node) -> bool:
    """Whether it is nothing but a conjunction of exact queues and states."""
    if isinstance(node, And):
        return all(counted(part) for part in node.parts)
    return isinstance(node, StateIn) or (isinstance(node, AnyOf) and node.field.column == "queue")
