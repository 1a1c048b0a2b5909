"""What happened over time, from the last minutes to the last months, with the notes of what people did."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from qtool.output import clean
from qtool.tui import acts, deeds
from qtool.tui.charting import column_at, columns_in, draw, moment_text, readout
from qtool.tui.lens import Lens, answer
from qtool.tui.targets import Targets
from qtool.tui.view import View
from qtool.tui.widgets.chart import Chart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget

    from qtool.engine.journal import Note
    from qtool.tui.poller import Answer


class History(View):
    """Charts over one axis of time."""

    MODE = "history"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(-1)", "In", id="history.zoom_in", key_display="+"),
        Binding("minus", "zoom(1)", "Out", id="history.zoom_out", key_display="-"),
        Binding("left,h", "read(-1)", "Read", id="history.left", key_display="←→"),
        Binding("right", "read(1)", "Later", show=False, id="history.right"),
        Binding("ctrl+left", "read(-10)", "Ten columns earlier", show=False, id="history.far_left"),
        Binding("ctrl+right", "read(10)", "Ten columns later", show=False, id="history.far_right"),
        Binding("pageup,ctrl+b", "pan(-0.5)", "Pan", id="history.earlier", key_display="PgUp/Dn"),
        Binding("pagedown,ctrl+f", "pan(0.5)", "Half a picture later", show=False, id="history.later"),
        Binding("home,g", "first", "To the beginning", show=False, id="history.first"),
        Binding("0,end,G", "latest", "Now", id="history.now", key_display="0"),
        Binding("enter", "open", "Jobs", id="history.open"),
        Binding("slash", "queues", "Queues", id="history.queues"),
        Binding("a", "all", "All queues", show=False, id="history.all"),
        Binding("n", "note(1)", "Next note", show=False, id="history.next_note"),
        Binding("N", "note(-1)", "Note before", show=False, id="history.previous_note"),
        Binding("y", "copy", "Copy what is read", show=False, id="history.copy"),
        Binding("A", "write", "Add a note", id="history.add_note"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.lens = Lens()
        self._meant: Note | None = None
        """Of several under the crosshair the one that somebody has chosen."""

    def body(self) -> Sequence[Widget]:
        return [Chart(id="chart")]

    def crumbs(self) -> Sequence[str]:
        return [", ".join(map(clean, self.lens.queues))] if self.lens.queues else []

    def targets(self) -> Targets | None:
        queues, notes = self.lens.queues, self.lens.notes_here()
        queue = queues[0] if len(queues) == 1 else None
        if queue is None and not notes:
            return None
        note = self._meant if self._meant in notes else notes[-1] if notes else None
        return Targets(what=f"queue {queue}" if queue is not None else "a note", queue=queue, note=note)

    def show(self, queues: Sequence[str]) -> None:
        """Be about these queues; none: all of them."""
        self.lens.choose(queues)
        self._moved()
        self.tell()

    # --- what is known -------------------------------------------------------------------------------

    def seen(self) -> None:
        sight = self.store.sight
        if sight is not None and self.query_one(Chart).size:
            self.lens.see(sight.snapshot.at, columns_in(self.query_one(Chart).size.width))
            self._moved()

    def _moved(self) -> None:
        """Ask for what is missing, and show what there is."""
        question = self.lens.question()
        if question is not None:
            self.ask("history", partial(answer, question), self._learn)
        chart, sheet = self.query_one(Chart), self.lens.sheet()
        if sheet is not None:
            chart.show(draw(sheet, chart.size.width, chart.size.height))

    def _learn(self, answer: Answer) -> None:
        if answer.error is not None:
            self.lens.fail(answer.error)
        else:
            self.lens.learn(answer.value)
        self._moved()

    # --- moving --------------------------------------------------------------------------------------

    def action_zoom(self, by: int) -> None:
        self.lens.zoom(by)
        self._moved()

    def action_read(self, by: int) -> None:
        self.lens.read(by)
        self._moved()

    def action_pan(self, pages: float) -> None:
        self.lens.pan(pages)
        self._moved()

    def action_first(self) -> None:
        self.lens.first()
        self._moved()

    def action_latest(self) -> None:
        self.lens.latest()
        self._moved()

    def action_note(self, way: int) -> None:
        if not self.lens.to_note(way):
            self.notify("No later note." if way > 0 else "No earlier note.", timeout=2)
        self._moved()

    def action_open(self) -> None:
        """The jobs that ended in the column under the crosshair, or in the whole picture."""
        self.top.show_jobs(where=self.lens.where())

    # --- choosing and writing ------------------------------------------------------------------------

    def action_queues(self) -> None:
        from qtool.tui.screens.queues import ChooseQueues

        def chosen(queues: tuple[str, ...] | None) -> None:
            if queues is not None:
                self.show(queues)

        self.app.push_screen(ChooseQueues(self.store.queues, self.lens.queues), chosen)

    def action_all(self) -> None:
        self.show(())

    def action_copy(self) -> None:
        """Copy the numbers below the charts: those under the crosshair, or those of the whole picture."""
        sheet = self.lens.sheet()
        if sheet is not None:
            self.app.copy_to_clipboard("\n".join(line.strip() for line in readout(sheet)))
            self.notify("Copied.", timeout=2)

    def action_write(self) -> None:
        from qtool.tui.screens.note import WriteNote

        if acts.refuses(self.top):
            return
        at = self.lens.cursor

        def written(text: str | None) -> None:
            if text is not None:
                self.top.doing.act(deeds.noting(text, at), self)

        moment = "now" if at is None else moment_text(at, self.lens.window)
        self.app.push_screen(WriteNote(moment, production=self.top.doing.guarded), written)

    def action_act(self, name: str) -> None:
        notes = self.lens.notes_here() if name == "delete" else []
        if len(notes) < 2 or self.top.place.read_only:
            super().action_act(name)
            return
        from qtool.tui.screens.menu import Choice, Menu

        def chosen(number: int | None) -> None:
            if number is not None:
                self._meant = notes[number]
                acts.begin(self, name)

        lines = [Choice(note.text, moment_text(note.at, self.lens.window)) for note in notes]
        self.top.push_screen(Menu("Remove which note?", lines), chosen)

    def refuses(self, action: str) -> bool:
        return super().refuses("act(" if action == "write" else action)

    def acted(self) -> None:
        self.lens.hurry()
        super().acted()

    # --- the mouse -----------------------------------------------------------------------------------

    def on_chart_resized(self) -> None:
        self.seen()

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        column = column_at(event.x)
        if column is not None and column < self.lens.window.columns:
            self.lens.read_at(self.lens.window.at(column))
            self._moved()

    def on_chart_turned(self, event: Chart.Turned) -> None:
        column = column_at(event.x)
        if event.across:
            self.lens.pan(0.1 * event.by)
        else:
            self.lens.zoom(-event.by, None if column is None else self.lens.window.at(column))
        self._moved()
