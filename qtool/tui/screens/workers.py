"""The workers, and what each slot of one of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.containers import Container

from qtool.engine.job import JobInfo
from qtool.tui import columns
from qtool.tui.store import WorkerLine
from qtool.tui.targets import Targets, one_job
from qtool.tui.view import View
from qtool.tui.widgets.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget


class Workers(View):
    """The workers above; below, the jobs of the one under the cursor."""

    MODE = "workers"

    def body(self) -> Sequence[Widget]:
        workers = Grid[WorkerLine](
            columns.WORKERS,
            lambda line: line.row.id,
            empty=columns.NO_WORKERS,
            id="workers",
        )
        slots = Grid[JobInfo](columns.SLOTS, lambda job: job.id, empty="It runs nothing.", id="slots")
        return [Container(workers, slots, id="workers-and-slots")]

    def crumbs(self) -> Sequence[str]:
        line: WorkerLine | None = self.query_one("#workers", Grid).current
        return [f"{line.row.host} {line.row.pid}"] if line is not None else []

    def seen(self) -> None:
        store = self.store
        if store.sight is None:
            return
        grid = self.query_one("#workers", Grid)
        grid.empty = store.nothing(columns.NO_WORKERS)
        grid.show(store.workers)
        self._show_slots()

    def select(self, worker: str) -> None:
        """Put the cursor on this worker."""
        self.seen()
        self.query_one("#workers", Grid).go_to(worker)

    def targets(self) -> Targets | None:
        grid: Any = self.focused
        row = grid.current if isinstance(grid, Grid) else None
        if isinstance(row, JobInfo):
            return one_job(row.id, row.state)
        if isinstance(row, WorkerLine):
            return Targets(what=f"worker {row.row.host} {row.row.pid}", worker=row.row.id)
        return None

    def on_grid_moved(self, event: Grid.Moved) -> None:
        if event.grid.id == "workers":
            self._show_slots()
            self.tell()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        if isinstance(event.row, JobInfo):
            self.top.show_job(event.row.id)
        else:
            self.query_one("#slots", Grid).focus()

    def _show_slots(self) -> None:
        line: WorkerLine | None = self.query_one("#workers", Grid).current
        self.query_one("#slots", Grid).show(line.running if line is not None else ())
