"""What came of what was done: a line a job, with totals; while it is still being done, how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from qtool.output import clean
from qtool.tui.hand import line_of
from qtool.tui.widgets.grid import Grid
from qtool.views.reports import REPORTS, ReportRow

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from qtool.tui.hand import Report


class Outcome(ModalScreen[None]):
    """A report, while it grows and afterwards. Closing it stops nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="report.close"),
        Binding("y", "copy", "Copy", id="report.copy"),
    ]

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report
        self._shown = -1

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog outcome") as dialog:
            dialog.border_title = Text(self.report.plan.title)
            dialog.border_subtitle = "y copies, esc closes"
            yield Static("", id="totals", markup=False)
            yield Grid[ReportRow](REPORTS.columns, lambda row: row.id, empty="Nothing yet.", id="reports")
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close", compact=True)
                yield Button("Stop", id="stop", compact=True)

    def on_mount(self) -> None:
        self.query_one(Grid).focus()
        self.tell()

    def tell(self) -> None:
        """There is news."""
        if not self.is_mounted:
            return
        report = self.report
        said = Text(f"{report.state()}  ", style="bold").append(clean(report.totals()), "not bold")
        for sentence in report.said:
            said.append(f"\n{clean(sentence)}", "not bold")
        if report.dropped:
            said.append(f"\n{report.dropped:,} more are not listed.", "not bold")
        self.query_one("#totals", Static).update(said)
        self.query_one("#stop", Button).display = not report.done
        if (now := hash((report.seen, len(report.asked), report.done))) != self._shown:
            self._shown = now
            self.query_one(Grid).show([ReportRow.of(change) for change in report.changes])

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "stop":
            self.report.stop.set()
            self.tell()
        else:
            self.dismiss(None)

    def action_copy(self) -> None:
        """All that is listed, and the totals."""
        lines = [self.report.plan.title, self.report.totals(), *self.report.said, *map(line_of, self.report.changes)]
        self.app.copy_to_clipboard("\n".join(map(clean, lines)) + "\n")
        self.notify("Copied.", markup=False)
