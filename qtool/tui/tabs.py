"""The tabs: each a mode of the program with its first screen, imported when somebody first goes there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qtool.engine.value import Value

if TYPE_CHECKING:
    from qtool.tui.view import View


class Tab(Value):
    """One of the screens that a digit leads to."""

    mode: str
    title: str
    place: str
    """``module:class`` below :mod:`qtool.tui.screens`."""

    def screen(self) -> View:
        """A new one of its first screen."""
        module, _, name = self.place.partition(":")
        made: View = getattr(import_module(f"qtool.tui.screens.{module}"), name)()
        return made


TABS = (
    Tab("overview", "Overview", "overview:Overview"),
    Tab("jobs", "Jobs", "jobs:Jobs"),
    Tab("workers", "Workers", "workers:Workers"),
    Tab("dead", "Dead letters", "dead:Dead"),
    Tab("events", "Events", "events:Events"),
    Tab("history", "History", "history:History"),
)
