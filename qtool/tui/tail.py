"""What a job writes, as lines, while it writes: bounded, colours kept, everything else harmless. No Textual here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from qtool.output import TerminalText

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtool.engine.job import Chunk

MOST = 5_000
"""Lines that are kept."""

LONGEST = 10_000
"""Characters of a line; a longer one goes on in the next."""

_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


class LogLine(NamedTuple):
    """A line of output; or, with the stream ``gap``, a remark on what is missing."""

    stream: str
    text: str
    """With colours as ANSI sequences, which hold from its beginning."""

    @property
    def plain(self) -> str:
        """Without colours."""
        return _COLOUR.sub("", self.text) if "\x1b" in self.text else self.text


class Written(NamedTuple):
    """What an attempt has written, as far as it is here."""

    attempt: int | None = None
    lines: tuple[LogLine, ...] = ()

    def text(self) -> str:
        """All lines, without colours."""
        return "".join(f"{line.plain}\n" for line in self.lines if line.stream != "gap")


class Tail:
    """The output of one attempt. Streams are told apart; each keeps its own half lines and colours."""

    def __init__(self, attempt: int | None = None, most: int = MOST) -> None:
        self.attempt = attempt
        self.offset = 0
        """Up to which byte of the whole output everything is here."""
        self.lines: list[LogLine] = []
        self._most = most
        self._terminals: dict[str, TerminalText] = {}
        self._colours: dict[str, str] = {}
        self._halves: dict[str, int] = {}
        """Where in the lines the last one of a stream stands that has no end yet."""

    def feed(self, chunks: Iterable[Chunk]) -> bool:
        """Add what came; what is here already is passed over. Whether anything was new."""
        before = self.offset
        for chunk in chunks:
            end = chunk.offset + len(chunk.data)
            if end <= self.offset:
                continue
            if chunk.offset > self.offset:
                self._remark(f"{chunk.offset - self.offset:,} bytes were dropped here")
            data = chunk.data[max(0, self.offset - chunk.offset) :]
            self.offset = end
            self._add(chunk.stream, self._terminals.setdefault(chunk.stream, TerminalText()).feed(data))
        self._trim()
        return self.offset != before

    def _remark(self, text: str) -> None:
        self._halves.clear()
        self.lines.append(LogLine("gap", text))

    def _add(self, stream: str, text: str) -> None:
        pieces = text.split("\n")
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            if piece or not last:
                self._extend(stream, piece)
            if not last:
                self._halves.pop(stream, None)

    def _extend(self, stream: str, text: str) -> None:
        """Add to the last line of a stream, or begin a new one in the colour of the one before."""
        at = self._halves.get(stream)
        held = self._colours.get(stream, "")
        if at is None or len(self.lines[at].text) > LONGEST:
            self.lines.append(LogLine(stream, ""))
            at = self._halves[stream] = len(self.lines) - 1
            text = held + text
        for start in range(0, len(text), LONGEST):
            if start:
                self.lines.append(LogLine(stream, ""))
                at = self._halves[stream] = len(self.lines) - 1
            self.lines[at] = LogLine(stream, self.lines[at].text + text[start : start + LONGEST])
        for colour in _COLOUR.findall(text.removeprefix(held)):
            reset = colour in ("\x1b[m", "\x1b[0m")
            held = "" if reset else (held + colour)[-64:]
        self._colours[stream] = held

    def _trim(self) -> None:
        over = len(self.lines) - self._most
        if over <= self._most // 10:
            # A few too many are no reason to move all others.
            return
        del self.lines[:over]
        self.lines[0] = LogLine("gap", "earlier lines are not kept here: qtool logs has them")
        self._halves = {stream: at - over for stream, at in self._halves.items() if at > over}

    def text(self) -> str:
        """All lines, without colours."""
        return Written(self.attempt, tuple(self.lines)).text()


class Tails:
    """The output of the attempt that is looked at, made to lines where it is read: thousands of them may come at a
    time, and who draws must not wait for that. For one thread.
    """

    def __init__(self) -> None:
        self.tail = Tail()
        self.written = Written()
        """The same one as long as nothing is new."""

    def take(self, attempt: int | None, chunks: Iterable[Chunk]) -> Written:
        """What the attempt has written by now."""
        other = attempt != self.tail.attempt
        if other:
            self.tail = Tail(attempt)
        if self.tail.feed(chunks) or other:
            self.written = Written(attempt, tuple(self.tail.lines))
        return self.written
