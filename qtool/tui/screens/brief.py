"""What fits in a few lines: the busiest queues, and the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.tui import columns
from qtool.tui.store import QueueLine, WorkerLine
from qtool.tui.view import View
from qtool.tui.widgets.bars import AlertStrip, TopBar
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from textual.app import ComposeResult

MOST = 5
"""Queues, and workers, that are shown."""


class Brief(View):
    """As high as what it shows."""

    MODE = "brief"

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield Grid[QueueLine](columns.QUEUES, lambda line: line.row.queue, empty="No queues yet.", id="queues")
        yield Grid[WorkerLine](columns.WORKERS, lambda line: line.row.id, empty="No workers.", id="workers")
        yield AlertStrip()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No dialogs: there is no room for them."""
        return action not in ("sort", "columns", "act") and super().check_action(action, parameters)

    def seen(self) -> None:
        store = self.store
        if store.sight is None:
            return
        busy = sorted(store.queues, key=lambda line: -(line.row.ready + line.row.running))
        for name, rows in (("#queues", busy), ("#workers", store.workers)):
            grid = self.query_one(name, Grid)
            # A heading, and a line that says so where there is nothing.
            grid.styles.height = min(len(rows), MOST) + 1 if rows else 3
            grid.show(rows[:MOST])

    def tell(self) -> None:
        if self.is_mounted:
            self.query_one(TopBar).tell(
                self.top.place.where, self.top.badges, self.top.link.age(), paused=self.store.frozen
            )
            self.query_one(AlertStrip).tell([alert.text for alert in self.store.alerts])
