"""Text from outside, tables, progress."""

from __future__ import annotations

import io
import re
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtool.output import Format, Output, TerminalText, clean
from qtool.progress import Progress
from tests.cli.conftest import HOSTILE

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
ESCAPES = st.lists(
    st.sampled_from(
        ["\x1b", "[", "]", "0;", "31m", "\x07", "\\", "P", "\x9b", "\x9d", "\x9c", "text", "é", "\n", "\r", "\u202e"]
    )
).map("".join)


@pytest.mark.parametrize(
    ("dirty", "shown"),
    [
        ("plain", "plain"),
        ("caf\u00e9 漢字 👩\u200d💻", "caf\u00e9 漢字 👩\u200d💻"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq data\x1b\\after", "after"),
        ("\x9b31mred", "red"),
        ("\x9d0;t\x9cafter", "after"),
        ("a\nb\tc\rd", "a b c d"),
        ("\x00\x08\x7f\x80x", "x"),
        ("\u202egpj.exe", "gpj.exe"),
        ("\u2066x\u2069\u200f\ufeff", "x"),
        ("name\udcff", "name\\udcff"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("\x1b", ""),
        ("\x1b[", ""),
        ("\x1b]never ends", ""),
        (HOSTILE, "red [bold]x[/bold] evil caf\u00e9 \\udcff"),
    ],
)
def test_what_is_harmful_goes_and_the_rest_stays(dirty: str, shown: str) -> None:
    assert clean(dirty) == shown


@given(ANY_TEXT | ESCAPES)
def test_no_text_harms_a_terminal(text: str) -> None:
    shown = clean(text)
    shown.encode("utf-8")
    joiners = {"\u200c", "\u200d"}
    assert not [
        char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in joiners
    ]
    assert clean(shown) == shown


@given(st.lists(st.binary(max_size=12) | ESCAPES.map(lambda text: text.encode()), max_size=6))
def test_no_output_of_a_job_harms_a_terminal_however_it_is_cut(pieces: list[bytes]) -> None:
    screen = TerminalText()
    shown = "".join(map(screen.feed, pieces)) + screen.end()
    rest = re.sub(r"\x1b\[[0-9;:]*m", "", shown)
    assert not [char for char in rest if unicodedata.category(char) in ("Cc", "Cf") and char not in "\n\t\u200c\u200d"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_waits_a_second_and_then_tells_how_long(monkeypatch: Any) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    line = Progress("retry", 1_000, shown=True)
    now = [line._start]
    line._clock = lambda: now[0]
    line.advance(100)
    assert screen.getvalue() == ""
    now[0] += 2
    line.advance(100)
    assert "retry: 200 of 1,000  20 %  100/s  8.0s left" in screen.getvalue()
    line.clear()
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_progress_is_silent_off_a_terminal_and_when_quiet(monkeypatch: Any) -> None:
    for stream, quiet in ((io.StringIO(), False), (Screen(), True)):
        monkeypatch.setattr("sys.stderr", stream)
        with Output(Format.JSON, quiet=quiet).progress("x", 10) as line:
            line._next = 0
            line.advance(5)
        assert stream.getvalue() == ""


def test_one_long_call_tells_the_time(monkeypatch: Any) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with Output(Format.JSON).busy("checking"):
        assert screen.getvalue() == ""
        deadline = time.monotonic() + 10
        while not screen.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "checking: 1.0s" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[2K")
