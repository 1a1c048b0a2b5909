"""Stdout is data, stderr is talk: the one owner of each.

Rows are frozen dataclasses (:mod:`qtool.views`); here they become a table, JSON, JSON lines, CSV, TSV or ids. What came
from outside is made harmless before a terminal sees it. On the path of ``qtool enqueue``: Rich is imported only where a
table is drawn.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qtool.errors import UsageError

if TYPE_CHECKING:
    from qtool.progress import Progress
    from qtool.tables import Table


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    IDS = "ids"


# --- text from outside -------------------------------------------------------------------------------

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_sequences: Any = None


def clean(text: str) -> str:
    """``text`` safe for one line on a terminal.

    Whole escape sequences vanish, other controls become a space or vanish, bidirectional overrides vanish, and lone
    surrogates (bytes that were not UTF-8) are spelled out as ``\\udcff``.
    """
    if text.isascii() and text.isprintable():
        return text
    global _sequences
    if _sequences is None:
        import re

        # CSI, then OSC, DCS, SOS, PM and APC up to their terminator, then two-character escapes; 7- and 8-bit forms.
        _sequences = re.compile(
            "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
            "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"
            "|\x1b[ -/]*[0-~]?"
        )
    return "".join(map(_harmless, _sequences.sub("", text)))


def _harmless(char: str) -> str:
    if char.isprintable():
        return char
    if char in "\n\t\r\x0b\x0c\u2028\u2029\x85":
        return " "
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    # Joiners and variation selectors make up emoji and many scripts; what reorders text does not pass.
    return char if code > 0x9F and char not in _BIDI and char in "\u200c\u200d\u00a0\u202f\u3000" else ""


class TerminalText:
    """Bytes of a job's output as text for a terminal: colours stay, other control sequences go.

    Sequences and characters may be split between two pieces.
    """

    def __init__(self) -> None:
        import codecs

        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._coloured = False

    def feed(self, data: bytes) -> str:
        """The text of one more piece; what may be half a sequence is held back."""
        import re

        text = self._held + self._decoder.decode(data)
        cut = text.rfind("\x1b", -64)
        self._held = text[cut:] if cut >= 0 and not re.match("\x1b\\[[0-?]*[ -/]*[@-~]", text[cut:]) else ""
        return self._shown(text[: len(text) - len(self._held)])

    def end(self) -> str:
        """What was held back, and the colours reset."""
        rest = self._shown(self._held + self._decoder.decode(b"", final=True))
        return f"{rest}\x1b[0m" if self._coloured else rest

    def _shown(self, text: str) -> str:
        import re

        parts = re.split("(\x1b\\[[0-9;:]*m)", text)
        self._coloured |= len(parts) > 1
        return "".join(part if number % 2 else _lines(part) for number, part in enumerate(parts))


def _lines(text: str) -> str:
    """Each line :func:`clean`, tabs and line ends kept; a bare carriage return starts a new line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in lines)


# --- machine formats ---------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """What JSON has no type for: dataclasses are objects, times ISO 8601 in UTC."""
    if fields := getattr(value, "__dataclass_fields__", None):
        return {name: getattr(value, name) for name in fields}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


def to_json(value: Any) -> str:
    """One line of JSON in ASCII, so that no terminal and no encoding can be harmed by it."""
    return _encode(value)


def _flat(value: Any) -> str:
    """A cell of CSV or TSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else to_json(value).strip('"')
    return text if text.isprintable() else "".join(_spelled(char) for char in text)


def _spelled(char: str) -> str:
    """Controls and lone surrogates as JSON would escape them; line ends and tabs are the format's business."""
    code = ord(char)
    harmful = (code < 0x20 and char not in "\t\n\r") or 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF
    return f"\\u{code:04x}" if harmful or char in _BIDI else char


# --- the owner ---------------------------------------------------------------------------------------


class Output:
    """Stdout and stderr of one command."""

    def __init__(
        self,
        format: Format | None = None,
        *,
        quiet: bool = False,
        color: str = "auto",
        keep_going: bool = False,
    ) -> None:
        """``keep_going`` lets a command that changes things finish when nobody reads its output any more."""
        self.terminal = sys.stdout.isatty()
        self.format = format or (Format.TABLE if self.terminal else Format.JSONL)
        self.quiet = quiet
        self._color = color
        self._keep_going = keep_going
        self.talks_apart = False
        """Talk does not wait for stdout: another thread writes there, and may hang on a reader that does not read."""
        self._line: Progress | None = None

    # stdout

    def rows(self, table: Table[Any], rows: Iterable[Any]) -> int:
        """Write rows as they come; how many there were."""
        match self.format:
            case Format.TABLE:
                return self._table(table, rows)
            case Format.JSON:
                return self._json(rows)
            case Format.JSONL:
                return self._jsonl(rows)
            case Format.CSV:
                return self._csv(table, rows)
            case Format.TSV:
                return self._tsv(table, rows)
            case Format.IDS:
                return self._ids(table, rows)

    def value(self, text: str | None) -> None:
        """One JSON value, None for null: spread over lines on a terminal, on one line elsewhere."""
        shown = text or "null"
        if self.format is Format.TABLE:
            spread = json.dumps(json.loads(shown), indent=2, ensure_ascii=False)
            shown = "\n".join(clean(line) for line in spread.split("\n"))
        self.write(shown + "\n")

    def write(self, text: str) -> None:
        """Text on stdout as it is, in UTF-8."""
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """Bytes on stdout. Raises BrokenPipeError unless ``keep_going``."""
        if self._line is not None:
            self._line.clear()
        try:
            stream = getattr(sys.stdout, "buffer", None)
            if stream is None:
                sys.stdout.write(data.decode("utf-8", "replace"))
            else:
                stream.write(data)
        except BrokenPipeError:
            self._reader_left()

    def flush(self) -> None:
        """Let the reader have what was written so far. Raises BrokenPipeError unless ``keep_going``."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            self._reader_left()

    def _reader_left(self) -> None:
        if not self._keep_going:
            raise BrokenPipeError
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)

    def _json(self, rows: Iterable[Any]) -> int:
        count = 0
        self.write("[")
        for count, row in enumerate(rows, start=1):
            self.write(("\n" if count == 1 else ",\n") + to_json(row))
        self.write("\n]\n" if count else "]\n")
        return count

    def _jsonl(self, rows: Iterable[Any]) -> int:
        count = 0
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
            self.write(to_json(row) + "\n")
        return count

    def _csv(self, table: Table[Any], rows: Iterable[Any]) -> int:
        import csv
        import io

        count = 0
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(table.fields)
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
            writer.writerow([_flat(getattr(row, name)) for name in table.fields])
            self.write(line.getvalue())
            line.seek(0)
            line.truncate()
        self.write(line.getvalue())
        return count

    def _tsv(self, table: Table[Any], rows: Iterable[Any]) -> int:
        count = 0
        self.write("\t".join(table.fields) + "\n")
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
            cells = (_flat(getattr(row, name)) for name in table.fields)
            self.write("\t".join(cell.translate(_TSV) for cell in cells) + "\n")
        return count

    def _ids(self, table: Table[Any], rows: Iterable[Any]) -> int:
        if table.id is None:
            raise UsageError(why="These rows have no id: choose another -o.")
        count = 0
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
            self.write(_flat(getattr(row, table.id)).translate(_TSV) + "\n")
        return count

    def _table(self, table: Table[Any], rows: Iterable[Any]) -> int:
        from qtool.tables import print_table

        return print_table(table, map(self._undisturbed, rows), self.console(), self.note)

    def _undisturbed(self, row: Any) -> Any:
        """Make way on the terminal for a row."""
        if self._line is not None:
            self._line.clear()
        return row

    def console(self, *, stderr: bool = False) -> Any:
        """A Rich console on stdout or stderr that follows --color, NO_COLOR and TERM."""
        from rich.console import Console as RichConsole

        reader_left = self._reader_left

        class Console(RichConsole):
            def on_broken_pipe(self) -> None:
                # Rich would end the process with 1 here.
                reader_left()

        stream = sys.stderr if stderr else sys.stdout
        if hasattr(stream, "reconfigure"):
            # A locale without … shows ? for it; that is no reason to fail.
            stream.reconfigure(errors="replace")
        environ = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR")}
        forced: bool | None = None
        if self._color == "always":
            forced = True
            if environ.get("TERM", "dumb") in ("dumb", "unknown"):
                environ["TERM"] = "xterm-256color"
        elif self._color == "never" or os.environ.get("NO_COLOR"):
            forced = False
        return Console(
            file=stream,
            force_terminal=forced,
            highlight=False,
            markup=False,
            emoji=False,
            width=None if stream.isatty() else int(environ.get("COLUMNS") or 0) or 100,
            _environ=environ,
        )

    # stderr

    def note(self, message: str) -> None:
        """Talk that -q silences."""
        if not self.quiet:
            self._say(message)

    def warn(self, message: str) -> None:
        """Talk that -q does not silence."""
        self._say(message)

    def _say(self, message: str) -> None:
        if self._line is not None:
            self._line.clear()
        if not self.talks_apart:
            self.flush()
        text = "\n".join(clean(line) for line in message.splitlines())
        talk(f"qtool: {text}\n")

    @contextmanager
    def progress(self, doing: str, total: int | None = None) -> Iterator[Progress]:
        """A line on stderr while something lasts; only on a terminal, and only after a second."""
        from qtool.progress import Progress

        line = Progress(doing, total, shown=not self.quiet and sys.stderr.isatty())
        self._line = line
        try:
            yield line
        finally:
            self._line = None
            line.clear()

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """A line on stderr while one call lasts that tells nothing in between; as :meth:`progress` otherwise."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        import threading

        from qtool.progress import tell_time

        done = threading.Event()
        thread = threading.Thread(target=tell_time, args=(doing, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Whether to go on: ``yes``, or y at a terminal (default No). Raises UsageError where nobody can answer."""
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(why=f"{question} Nobody is here to answer: add -y to do it, or -n to only look.")
        self.flush()
        talk(f"{question} [y/N] ")
        try:
            answer = sys.stdin.readline()
        except UnicodeDecodeError:
            answer = ""
        if not answer.endswith("\n"):
            talk("\n")
        return answer.strip().lower() in ("y", "yes")


_TSV = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}


def talk(text: str) -> None:
    """Text on stderr at once; a closed stderr is no reason to stop."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass
