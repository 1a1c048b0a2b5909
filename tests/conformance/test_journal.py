"""Notes: what people write down about a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qtool.engine.journal import Note
from qtool.engine.notes import LONGEST, NOTES_KEEP
from qtool.errors import BadName

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter
    from qtool.engine.clock import ManualClock
    from tests.conformance.conftest import MakeAdapter

FAR = 1e11


def test_what_is_written_down_is_there_by_time(make_adapter: MakeAdapter, clock: ManualClock) -> None:
    journal, now = make_adapter().journal, clock.now()
    late = journal.note("deploy 1.4")
    early = journal.note("prices imported", now - 60)
    assert (late.at, late.text, early.at) == (now, "deploy 1.4", now - 60)
    assert late.id != early.id
    other = make_adapter().journal
    assert other.notes(0, FAR) == [early, late]
    assert other.notes(now - 60, now) == [early], "from the first time on, until before the second"
    assert other.notes(now, FAR) == [late]
    assert other.notes(0, FAR, limit=1) == [late], "the newest"
    assert other.notes(0, FAR, limit=0) == []


def test_notes_of_one_moment_keep_their_order(adapter: Adapter) -> None:
    made = [adapter.journal.note(text) for text in "cab"]
    assert adapter.journal.notes(0, FAR) == made
    assert adapter.journal.notes(0, FAR, limit=2) == made[1:]


def test_a_note_is_taken_back_once_and_its_id_is_not_given_again(adapter: Adapter) -> None:
    first, last = adapter.journal.note("a"), adapter.journal.note("b")
    assert adapter.journal.forget(last.id) == last
    assert adapter.journal.forget(last.id) is None
    assert adapter.journal.forget(4711) is None
    assert adapter.journal.note("c").id not in (first.id, last.id)
    assert [note.text for note in adapter.journal.notes(0, FAR)] == ["a", "c"]


@pytest.mark.parametrize("text", ["", "  \n\t ", "x" * (LONGEST + 1), "a\0b", "\udcff"])
def test_what_cannot_be_a_note(adapter: Adapter, text: str) -> None:
    with pytest.raises(BadName, match="the note"):
        adapter.journal.note(text)
    assert adapter.journal.notes(0, FAR) == []


def test_a_note_is_one_line_and_otherwise_as_it_was_written(adapter: Adapter) -> None:
    hostile = "\x1b[31mred\x1b[0m [bold]café[/bold] \u202e\U0001f680"
    assert adapter.journal.note(f"  two\n lines\t{hostile}\r\n").text == f"two lines {hostile}"
    assert adapter.journal.note("x" * LONGEST).text == "x" * LONGEST
    assert [note.text for note in adapter.journal.notes(0, FAR)] == [f"two lines {hostile}", "x" * LONGEST]


def test_notes_are_kept_as_long_as_the_history(adapter: Adapter, clock: ManualClock) -> None:
    old = adapter.journal.note("old")
    clock.advance(NOTES_KEEP)
    new = adapter.journal.note("new")
    adapter.broker.maintain()
    assert adapter.journal.notes(0, FAR) == [old, new]
    clock.advance(3600)
    planned = Note(3, clock.now() + 3600, "planned")
    assert adapter.journal.note("planned", planned.at).text == "planned"
    adapter.broker.maintain()
    assert [note.text for note in adapter.journal.notes(0, FAR)] == ["new", "planned"]
