"""Everything at a glance: the queues and the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container

from qtool.engine.states import State
from qtool.tui import columns
from qtool.tui.store import QueueLine, WorkerLine
from qtool.tui.targets import Targets
from qtool.tui.view import View
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget


class Overview(View):
    """Queues above, workers below; beside each other where there is room."""

    MODE = "overview"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Workers", id="overview.next"),
        Binding("t", "over_time", "Over time", id="overview.history"),
    ]

    def body(self) -> Sequence[Widget]:
        queues = Grid[QueueLine](
            columns.QUEUES,
            lambda line: line.row.queue,
            empty="No queues yet. 'qtool enqueue' makes the first.",
            id="queues",
        )
        workers = Grid[WorkerLine](
            columns.WORKERS,
            lambda line: line.row.id,
            empty=columns.NO_WORKERS,
            id="workers",
        )
        return [Container(queues, workers, id="overview")]

    def seen(self) -> None:
        store = self.store
        if store.sight is None:
            return
        self.query_one("#queues", Grid).show(store.queues)
        workers = self.query_one("#workers", Grid)
        workers.empty = store.nothing(columns.NO_WORKERS)
        workers.show(store.workers)

    def targets(self) -> Targets | None:
        grid: Any = self.focused
        row = grid.current if isinstance(grid, Grid) else None
        if isinstance(row, QueueLine):
            there = frozenset(state for state in State if getattr(row.row, state))
            return Targets(what=f"queue {row.row.queue}", queue=row.row.queue, states=there)
        if isinstance(row, WorkerLine):
            return Targets(what=f"worker {row.row.host} {row.row.pid}", worker=row.row.id)
        return None

    def action_over_time(self) -> None:
        """The history of the queue under the cursor; with the cursor on a worker that of all queues."""
        target = self.targets()
        self.top.show_history(*([target.queue] if target is not None and target.queue is not None else []))

    def on_grid_opened(self, event: Grid.Opened) -> None:
        row: Any = event.row
        if isinstance(row, QueueLine):
            self.top.show_jobs(queue=row.row.queue)
        else:
            self.top.show_worker(row.row.id)
