"""What is being done for the screens, and how people hear of it: in a list of reports, or in a note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.output import clean
from qtool.tui.hand import PATIENCE, Hand, line_of

if TYPE_CHECKING:
    from qtool.engine.clock import Clock
    from qtool.tui.app import Top
    from qtool.tui.deeds import Plan
    from qtool.tui.hand import Report
    from qtool.tui.view import View


class Doing:
    """The program's way from a plan that was confirmed to what came of it."""

    def __init__(self, top: Top, clock: Clock, *, patience: float = PATIENCE) -> None:
        """``patience``: seconds that jobs which were asked to stop are waited for."""
        self._top = top
        self._clock = clock
        self._patience = patience
        self._behalf: View | None = None
        self.hand = self._new_hand()

    def _new_hand(self) -> Hand:
        place = self._top.place
        opener = place.writer or place.opener
        return Hand(opener, self._top.call_later, self._heard, self._clock, patience=self._patience)

    def begin_anew(self) -> None:
        """The program looks at another place: do nothing more at the old one."""
        self.hand.close()
        self.hand = self._new_hand()

    @property
    def guarded(self) -> str | None:
        """The name of the place where a mistake is expensive; None where it is not."""
        return self._top.place.where if self._top.place.production else None

    def act(self, plan: Plan, view: View) -> None:
        """Do it, on a line of its own, and report: in a list where there are several jobs."""
        self._behalf = view
        report = self.hand.carry_out(plan)
        if plan.count > 1:
            self.show(report)

    def show(self, report: Report) -> None:
        """What came of it, and while it goes on how far it is."""
        from qtool.tui.screens.outcome import Outcome

        self._top.push_screen(Outcome(report))

    def keeps(self) -> bool:
        """Whether something is being done that the end of the program would cut short: it is stopped, and said."""
        report = self.hand.busy
        if report is None or report.stop.is_set():
            return False
        report.stop.set()
        self._top.notify(f"{report.plan.title}: it stops after this page. Quit again to leave.", markup=False)
        return True

    def _heard(self, report: Report) -> None:
        """There is news of what is being done."""
        from qtool.tui.screens.outcome import Outcome

        top = self._top
        shown = [each for each in top.screen_stack if isinstance(each, Outcome) and each.report is report]
        for screen in shown:
            screen.tell()
        if not report.done and not (report.waits and report.asked):
            return
        if not shown:
            self._say(report)
        top.look()
        if report.done and self._behalf is not None and self._behalf.is_attached:
            self._behalf.acted()

    def _say(self, report: Report) -> None:
        lines = [*report.said]
        if report.seen > 1:
            lines.append(report.totals())
        else:
            lines += map(line_of, report.changes)
        if report.error is not None:
            lines.append(str(report.error))
        wrong = report.error is not None or any(not change.changed for change in report.changes[:1])
        self._top.notify(
            "\n".join(map(clean, lines)),
            title=report.plan.title,
            severity="warning" if wrong else "information",
            markup=False,
        )
