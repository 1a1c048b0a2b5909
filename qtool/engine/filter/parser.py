"""Filter text to nodes, by recursive descent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, TypeVar

from qtool.engine import times
from qtool.engine.filter import fields, nodes
from qtool.engine.filter.nodes import And, AnyOf, Compared, Glob, Node, Or, Present, StateIn, negated
from qtool.engine.states import FINAL, PENDING, UNFINISHED, Reason, State
from qtool.errors import BadDuration, BadFilter, BadTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.filter.fields import Quantity, Text

MAX_TEXT = 20_000
MAX_TERMS = 200
MAX_DEPTH = 50
MAX_PATTERN = 1_000
"""Characters, terms, parentheses within parentheses, characters of a glob: well inside SQLite's own limits."""

STATES: dict[str, frozenset[State]] = {
    **{str(state): frozenset({state}) for state in State},
    "failed": frozenset({State.DEAD}),
    "pending": PENDING,
    "unfinished": UNFINISHED,
    "finished": FINAL,
}
REASONS = tuple(str(reason) for reason in Reason)
TEXT_OPERATORS = (":", "=", "!=", "~", "!~")
CHOICE_OPERATORS = (":", "=", "!=")
COUNT_OPERATORS = (":", "=", "!=", "<", "<=", ">", ">=")
ORDER_OPERATORS = ("<", "<=", ">", ">=")

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r'[^\s()"!<>=~:]+')
_OPERATOR = re.compile(r"[!<>=~:]+")
_VALUE = re.compile(r'[^\s()"]+')
_ITEM = re.compile(r'[^\s()",]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]')
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_WILD = re.compile(r"[*?]")

_T = TypeVar("_T")


def parse_text(text: str) -> Node:
    """The node that ``text`` writes. Raises BadFilter."""
    if len(text) > MAX_TEXT:
        raise BadFilter(column=MAX_TEXT, why=f"it is longer than {MAX_TEXT} characters")
    return _Parser(text).whole()


def quote(text: str) -> str:
    """``text`` as a value that reads back as itself: ``f"task={quote(name)}"``."""

    def escape(match: re.Match[str]) -> str:
        return f"\\{match[0]}" if match[0] in '"\\' else f"\\u{ord(match[0]):04x}"

    return f'"{_NEEDS_ESCAPE.sub(escape, text)}"'


class _Parser:
    """One pass over one text; ``at`` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.terms = 0

    def fail(self, at: int, why: str) -> NoReturn:
        raise BadFilter(column=at + 1, why=why)

    def take(self, pattern: re.Pattern[str]) -> str:
        """What ``pattern`` matches here, stepped over; empty for nothing."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    # --- combinations --------------------------------------------------------------------------------

    def whole(self) -> Node:
        self.take(_SPACE)
        if not self.peek():
            self.fail(0, "it is empty; to match everything, give no filter")
        node = self.either(0)
        if self.peek():
            self.fail(self.at, "this parenthesis closes nothing")
        return node

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self.keyword("or"):
            parts.append(self.both(depth))
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def both(self, depth: int) -> Node:
        parts = [self.unary(depth)]
        while True:
            self.take(_SPACE)
            if self.peek() in ("", ")") or self.next_keyword() == "or":
                return And(tuple(parts)) if len(parts) > 1 else parts[0]
            self.keyword("and")
            parts.append(self.unary(depth))

    def unary(self, depth: int) -> Node:
        self.take(_SPACE)
        start = self.at
        if depth > MAX_DEPTH:
            self.fail(start, f"it nests deeper than {MAX_DEPTH}")
        if self.keyword("not"):
            return negated(self.unary(depth + 1))
        if self.peek() == "(":
            self.at += 1
            node = self.either(depth + 1)
            if self.peek() != ")":
                self.fail(start, "this parenthesis is not closed")
            self.at += 1
            return node
        if self.peek() in ("", ")") or (word := self.next_keyword()):
            found = f"{word!r}" if self.peek() not in ("", ")") else f"{self.peek()!r}" if self.peek() else "the end"
            self.fail(start, f"a term is missing before {found}")
        return self.term()

    def next_keyword(self) -> str:
        """The ``and``, ``or`` or ``not`` that stands here; empty when it is something else, or a field's name."""
        start = self.at
        word = self.take(_WORD).lower()
        if word not in ("and", "or", "not") or self.peek() == '"':
            word = ""
        else:
            self.take(_SPACE)
            word = "" if _OPERATOR.match(self.text, self.at) else word
        self.at = start
        return word

    def keyword(self, expected: str) -> bool:
        """Step over ``expected`` if it stands here."""
        self.take(_SPACE)
        if self.next_keyword() != expected:
            return False
        self.at += len(expected)
        return True

    # --- terms ---------------------------------------------------------------------------------------

    def term(self) -> Node:
        start = self.at
        self.count(start)
        if self.peek() == '"':
            needle = self.quoted()
            self.end_of_value()
            return nodes.anywhere(needle)
        name = self.take(_WORD)
        if not name:
            found = self.take(_OPERATOR)
            hint = "; write not" if found == "!" else "; name a field before it"
            self.fail(start, f"{found!r} stands alone{hint}")
        quoted_tag = self.quoted() if name == "tag." and self.peek() == '"' else None
        after = self.at
        self.take(_SPACE)
        at = self.at
        operator = self.take(_OPERATOR)
        if not operator:
            self.at = after
            if quoted_tag is not None:
                self.fail(after, "an operator is missing after the tag's name: write tag.team=billing")
            self.end_of_value()
            return nodes.anywhere(name)
        if quoted_tag is not None or name.startswith("tag."):
            tag = quoted_tag if quoted_tag is not None else name.removeprefix("tag.")
            if name == "tag." and quoted_tag is None:
                self.fail(start, "the tag's name is missing: write tag.team=billing")
            return self.text_term(name, fields.tag(tag), operator, at)
        return self.field_term(name, start, operator, at)

    def field_term(self, name: str, start: int, operator: str, at: int) -> Node:
        if name == "state":
            return self.state_term(operator, at)
        if name == "reason":
            return self.reason_term(operator, at)
        if name in fields.TEXTS:
            return self.text_term(name, fields.TEXTS[name], operator, at)
        if name in fields.COUNTS:
            return self.count_term(name, fields.COUNTS[name], operator, at)
        if name in fields.TIMES:
            return self.time_term(name, fields.TIMES[name], operator, at)
        if name in fields.SPANS or name == fields.AGE:
            return self.span_term(name, operator, at)
        return self.unknown_field(name, start, operator, at)

    def unknown_field(self, name: str, start: int, operator: str, at: int) -> NoReturn:
        hint = "tag.NAME" if name.partition(".")[0] in ("tag", "tags") else None
        written = self.text[start : at + len(operator)]
        why = _unknown("field", name, fields.FIELDS, hint)
        self.fail(start, f"{why}; to look for the text {written!r}, put it in quotes")

    def state_term(self, operator: str, at: int) -> Node:
        self.check_operator("state", operator, CHOICE_OPERATORS, at)
        chosen = self.choices("state", operator, tuple(STATES))
        node = StateIn(frozenset().union(*(STATES[name] for name in chosen)))
        return negated(node) if operator == "!=" else node

    def reason_term(self, operator: str, at: int) -> Node:
        self.check_operator("reason", operator, CHOICE_OPERATORS, at)
        node = AnyOf(fields.REASON, self.choices("reason", operator, REASONS))
        return negated(node) if operator == "!=" else node

    def text_term(self, name: str, field: Text, operator: str, at: int) -> Node:
        self.check_operator(name, operator, TEXT_OPERATORS, at)
        if operator == ":":
            return self.pattern_term(field)
        _, value = self.value()
        if operator in ("~", "!~"):
            node: Node = nodes.contains(field, value)
        else:
            node = AnyOf(field, (fields.escape_json(value) if field.is_json else value,))
        return negated(node) if operator[0] == "!" else node

    def pattern_term(self, field: Text) -> Node:
        exact: dict[str, None] = {}
        parts: list[Node] = []
        for start, written in self.items():
            item = fields.escape_json(written) if field.is_json else written
            if not _WILD.search(item):
                exact[item] = None
                continue
            if len(item) > MAX_PATTERN:
                self.fail(start, f"a pattern has at most {MAX_PATTERN} characters")
            if parts:
                self.count(start)
            parts.append(Glob(field, item) if item.strip("*") else Present(field))
        if exact:
            parts.insert(0, AnyOf(field, tuple(exact)))
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def count_term(self, name: str, field: Quantity, operator: str, at: int) -> Node:
        self.check_operator(name, operator, COUNT_OPERATORS, at)
        parts: list[Node] = []
        for start, value in self.items() if operator == ":" else [self.value()]:
            if not _WHOLE_NUMBER.fullmatch(value):
                self.fail(start, f"{name} is compared with a whole number, not with {value!r}")
            if parts:
                self.count(start)
            parts.append(Compared(field, operator if operator in ORDER_OPERATORS else "=", int(value)))
        node = Or(tuple(parts)) if len(parts) > 1 else parts[0]
        return negated(node) if operator == "!=" else node

    def time_term(self, name: str, field: Quantity, operator: str, at: int) -> Node:
        if operator == ":":
            return self.presence(name, field)
        self.check_operator(name, operator, (*ORDER_OPERATORS, ":*"), at)
        start, value = self.value()
        offset = self.read(start, value, times.parse_offset)
        if offset is not None:
            return Compared(field, operator, offset, from_now=True)
        # Whether a date lies within a hundred years is asked from 2000, so that a filter means the same at any time.
        return Compared(field, operator, self.read(start, value, lambda text: times.parse_time(text, 946_684_800.0)))

    def span_term(self, name: str, operator: str, at: int) -> Node:
        field = fields.SPANS.get(name, fields.CREATED)
        if operator == ":":
            return self.presence(name, field)
        self.check_operator(name, operator, (*ORDER_OPERATORS, ":*"), at)
        start, value = self.value()
        seconds = self.read(start, value, times.parse_duration)
        return nodes.aged(operator, seconds) if name == fields.AGE else Compared(field, operator, seconds)

    def presence(self, name: str, field: Quantity) -> Node:
        start, value = self.value()
        if value != "*":
            self.fail(start, f"{name} takes {' '.join(ORDER_OPERATORS)} and a value, or :* for any value at all")
        return Present(field)

    # --- values --------------------------------------------------------------------------------------

    def count(self, at: int) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            self.fail(at, f"it has more than {MAX_TERMS} terms")

    def check_operator(self, name: str, operator: str, known: tuple[str, ...], at: int) -> None:
        if operator in known:
            return
        if operator in COUNT_OPERATORS or operator in TEXT_OPERATORS:
            self.fail(at, f"{operator!r} cannot be asked of {name}; it takes {' '.join(known)}")
        hint = " (a value that begins like an operator goes in quotes)" if operator.startswith(known) else ""
        self.fail(at, f"{operator!r} is not an operator; {name} takes {' '.join(known)}{hint}")

    def read(self, at: int, value: str, parse: Callable[[str], _T]) -> _T:
        try:
            return parse(value)
        except (BadDuration, BadTime) as error:
            self.fail(at, str(error).rstrip("."))

    def choices(self, what: str, operator: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``known`` that the value names; with ``:`` by list and pattern too."""
        chosen: dict[str, None] = {}
        for at, item in self.items() if operator == ":" else [self.value()]:
            if operator == ":" and _WILD.search(item):
                found = [name for name in known if nodes.fits(item, name)]
            else:
                found = [item] if item in known else []
            if not found:
                self.fail(at, _unknown(what, item, known))
            chosen.update(dict.fromkeys(found))
        return tuple(chosen)

    def items(self) -> list[tuple[int, str]]:
        """A list ``a,b,"c d"``: where each starts, and what it says."""
        items = [self.one(_ITEM)]
        while self.peek() == ",":
            self.at += 1
            items.append(self.one(_ITEM))
        self.end_of_value()
        return items

    def value(self) -> tuple[int, str]:
        """A single value: where it starts, and what it says."""
        item = self.one(_VALUE)
        self.end_of_value()
        return item

    def one(self, bare: re.Pattern[str]) -> tuple[int, str]:
        if self.text[self.at - 1] != ",":
            self.take(_SPACE)
        start = self.at
        if self.peek() == '"':
            return start, self.quoted()
        if self.next_keyword() and self.text[start - 1].isspace():
            self.fail(start, "a value is missing here")
        value = self.take(bare)
        if not value:
            self.fail(start, 'a value is missing here (nothing at all is written "")')
        return start, value

    def end_of_value(self) -> None:
        found = self.peek()
        if found and found != ")" and not found.isspace():
            self.fail(self.at, f"{found!r} cannot follow directly; put the whole value in quotes, or a space between")

    def quoted(self) -> str:
        start = self.at
        written = self.take(_QUOTED)
        if not written:
            self.fail(start, "this quote is not closed")

        def unescape(match: re.Match[str]) -> str:
            escape = match[1]
            if len(escape) == 5:
                return chr(int(escape[1:], 16))
            if escape not in _ESCAPES:
                self.fail(start + 1 + match.start(), r"after a backslash comes one of \" \\ \n \r \t \u0000")
            return _ESCAPES[escape]

        return _ESCAPE.sub(unescape, written[1:-1])


def _unknown(what: str, word: str, known: tuple[str, ...], hint: str | None = None) -> str:
    # Imported here because only a mistake needs it.
    from difflib import get_close_matches

    close = [hint] if hint else get_close_matches(word, known, n=1)
    meant = f", did you mean {close[0]}?" if close else "."
    return f"{word!r} is not a {what}{meant} Known: {', '.join(known)}"
