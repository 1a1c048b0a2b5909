"""The cursor and the marks of a list belong to rows, not to places."""

from __future__ import annotations

from qtool.tui.rows import Rows


def held(rows: str, at: int = 0) -> Rows[str]:
    made: Rows[str] = Rows(lambda row: row)
    made.take(tuple(rows))
    made.go(at)
    return made


def test_the_cursor_stays_on_its_row() -> None:
    rows = held("abc", 1)
    assert rows.take(tuple("xyzb")) == 3
    assert (rows.at, rows.current_key) == (3, "b")


def test_it_stays_where_it_was_once_its_row_is_gone_or_on_the_last_one_before_that() -> None:
    rows = held("abcd", 2)
    assert rows.take(tuple("abxy")) is None
    assert rows.current_key == "x"
    rows.take(("a",))
    assert rows.current_key == "a"
    rows.take(())
    assert rows.at == 0
    assert rows.current is None
    assert rows.current_key is None


def test_it_is_put_on_another_row() -> None:
    rows = held("abc")
    assert rows.take(tuple("abcd"), 3) == 3
    assert rows.current_key == "d"
    assert rows.go(-5)
    assert not rows.go(0)
    assert rows.go(99)
    assert rows.at == 3
    assert (rows.find("b"), rows.find("z"), rows.find(None)) == (1, None, None)


def test_marks_come_and_go_and_outlast_their_rows() -> None:
    rows = held("abc", 1)
    rows.mark()
    rows.take(tuple("ac"))
    assert list(rows.marks) == ["b"]
    assert [rows.is_marked(row) for row in "abc"] == [False, True, False]
    rows.take(tuple("abc"), 1)
    rows.mark()
    assert not rows.marks
    held("").mark()


def test_a_range_goes_from_the_last_mark_to_the_cursor() -> None:
    rows = held("abcde", 3)
    rows.mark()
    rows.go(1)
    rows.mark_range()
    assert list(rows.marks) == ["d", "b", "c"]
    rows = held("abc", 2)
    rows.mark_range()
    assert list(rows.marks) == ["c"]
    rows.marks["gone"] = None
    rows.go(0)
    rows.mark_range()
    assert list(rows.marks) == ["c", "gone", "a"]
