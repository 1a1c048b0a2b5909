"""How the list in focus is sorted and which columns it has: the menus for that, and remembering it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtool.tui.headings import turned
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.tui.memory import Shape
    from qtool.tui.view import View


def list_of(view: View) -> Grid[Any] | None:
    """The list in focus, or the first there is."""
    focused = view.focused
    return focused if isinstance(focused, Grid) else next(iter(view.query(Grid)), None)


def dress(view: View, grid: Grid[Any]) -> None:
    """Give a list the shape that is remembered."""
    shape = view.top.memory.shape(_name(view, grid))
    if shape.columns or shape.sort is not None:
        grid.wear(shape)


def keep(view: View, grid: Grid[Any], shape: Shape) -> None:
    """Give it this shape, and remember it."""
    grid.wear(shape)
    view.top.memory.keep_shape(_name(view, grid), shape)


def orders(grid: Grid[Any]) -> Sequence[str]:
    """By which columns it can be sorted."""
    return [column.head for column in grid.headings.offered if column.order is not None]


def sort(view: View, grid: Grid[Any], head: str | None) -> None:
    """Sort by this column, by its other end where it is already; by none: as it comes."""
    headings = grid.headings
    if head is None:
        keep(view, grid, replace(headings.shape, sort=None, descending=False))
    elif (column := next((each for each in headings.offered if each.head == head), None)) and column.order:
        keep(view, grid, turned(headings.shape, column))


def ask_order(view: View) -> None:
    """The menu of what the list can be sorted by."""
    from qtool.tui.screens.menu import Choice, Menu

    if not (names := view.orders()):
        view.notify("Nothing here can be sorted.")
        return
    now, arrow = view.order()
    hint = {"↑": "smallest first", "↓": "largest first", "": ""}[arrow]
    lines = [Choice(name, hint if name == now else "", name == now) for name in names]

    def chosen(number: int | None) -> None:
        if number is not None:
            view.sort_by(names[number])

    more = "" if now is not None and not arrow else "again reverses"
    view.top.push_screen(Menu("Sort by", lines, more), chosen)


def ask_columns(view: View) -> None:
    """The dialog of which columns the list has."""
    from qtool.tui.screens.choose_columns import ChooseColumns

    grid = list_of(view)
    if grid is None:
        view.notify("There is no list here.")
        return

    def chosen(said: Shape | None) -> None:
        if said is not None:
            shape = grid.headings.shape
            keep(view, grid, replace(said, sort=shape.sort, descending=shape.descending))

    view.top.push_screen(ChooseColumns(grid.headings), chosen)


def _name(view: View, grid: Grid[Any]) -> str:
    """As what it is remembered."""
    return f"{view.MODE}.{grid.id or type(view).__name__.lower()}"
