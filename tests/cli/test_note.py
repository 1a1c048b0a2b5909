"""``qtool note``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import HOSTILE

if TYPE_CHECKING:
    from tests.cli.conftest import Bench

Call = Any


def test_a_note_is_written_listed_and_taken_back(bench: Bench, call: Call) -> None:
    now = time.time()
    (row,) = call("note", "deploy", "1.4").rows
    assert row["text"] == "deploy 1.4"
    assert abs(datetime.fromisoformat(row["at"]).timestamp() - now) < 10
    (earlier,) = call("note", "--at", "-20m", "mail was down").rows
    assert call("note").rows == [earlier, row]
    assert call("note", "--since", "10m").rows == [row]
    assert call("note", "-o", "ids").out == f"{earlier['id']}\n{row['id']}\n"
    gone = call("note", "--remove", str(row["id"]))
    assert (gone.code, gone.rows) == (0, [row]), "what it was, to write it again"
    again = call("note", "--remove", str(row["id"]))
    assert (again.code, again.out) == (4, "")
    assert "no note" in again.err
    assert call("note").rows == [earlier]


def test_what_is_planned_is_listed_too(bench: Bench, call: Call) -> None:
    call("note", "--at", "+3d", "the disk is replaced")
    assert [row["text"] for row in call("note").rows] == ["the disk is replaced"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--at", "-5m"), "--at goes with"),
        (("x", "--since", "5m"), "one of them"),
        (("x", "--remove", "1"), "one of them"),
        (("x", "--at", "yesterday"), "yesterday"),
        (("x", "--at", "-500d"), "400 days"),
        (("",), "it is empty"),
        (("x" * 201,), "the limit is 200"),
    ],
)
def test_what_makes_no_sense_is_refused(bench: Bench, call: Call, words: tuple[str, ...], why: str) -> None:
    ran = call("note", *words)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert bench.adapter.journal.notes(0, 1e11) == []


def test_a_note_is_harmless_on_a_terminal(bench: Bench, terminal: Any) -> None:
    bench.adapter.journal.note(HOSTILE.replace("\0", "").replace("\udcff", ""))
    bench.adapter.journal.note("long " * 30)
    out = terminal("note", "--color", "never").out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "red [bold]x[/bold] evil" in out
    assert out.count("long") == 30, "it goes on in the next line"
