"""One job: what it got, what came of it, what it writes, its attempts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from qtool.engine.states import State
from qtool.output import clean
from qtool.tui.detail import Detail, Wanted, look
from qtool.tui.tail import Tails, Written
from qtool.tui.targets import Targets, one_job
from qtool.tui.view import View
from qtool.tui.widgets import jobtext
from qtool.tui.widgets.findline import FindLine
from qtool.tui.widgets.jobhead import JobHead
from qtool.tui.widgets.jobpanes import PANES, JobPanes
from qtool.tui.widgets.panes import Panes
from qtool.views.jobs import JobDetail
from qtool.views.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text
    from textual.widget import Widget

    from qtool.engine.broker import Adapter
    from qtool.tui.poller import Answer


class Job(View):
    """Pushed onto the screen that leads to it."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_pane(1)", "Next pane", id="job.next_pane"),
        Binding("shift+tab", "next_pane(-1)", "Pane before", show=False, id="job.pane_before"),
        Binding("d", "pane('facts')", "Describe", show=False, id="job.facts"),
        Binding("a", "pane('payload')", "Arguments", show=False, id="job.payload"),
        Binding("v", "pane('result')", "Value or error", show=False, id="job.result"),
        Binding("l", "pane('log')", "Log", id="job.log"),
        Binding("t", "pane('attempts')", "Attempts over time", show=False, id="job.attempts"),
        Binding("slash,f", "find", "Find", id="job.find", priority=True),
        Binding("n", "again(1)", "The next that was found", show=False, id="job.next"),
        Binding("N", "again(-1)", "The one found before", show=False, id="job.previous"),
        Binding("w", "follow", "Follow the log or not", show=False, id="job.follow"),
        Binding("left_square_bracket", "attempt(-1)", "Log of the attempt before", show=False, id="job.attempt_before"),
        Binding("right_square_bracket", "attempt(1)", "Log of the next attempt", show=False, id="job.attempt_next"),
        Binding("y", "copy", "Copy", id="job.copy"),
        Binding("ctrl+s", "export", "Export", id="job.export"),
    ]

    def __init__(self, id: str, mode: str, pane: str = "") -> None:
        """``mode``: the tab that it is opened on; ``pane``: one of :data:`PANES`, or what fits the state."""
        super().__init__()
        self.MODE = mode  # type: ignore[misc]  # a screen of this kind stands on any tab
        self._job_id = id
        self._first_pane = pane or "facts"
        self._gone = False
        self._wrong: str | None = None
        self.asked = False
        """Something was answered."""
        self._end: object = None
        self._attempt: int | None = None
        """Whose log is wanted; None for that of the last one."""
        self._word = ""
        self._tails = Tails()

    # --- around it -----------------------------------------------------------------------------------

    def body(self) -> Sequence[Widget]:
        return [JobHead(), Panes(PANES), FindLine(id="find"), JobPanes(self._first_pane, id="panes")]

    @property
    def panes(self) -> JobPanes:
        """What there is about it."""
        return self.query_one(JobPanes)

    def crumbs(self) -> Sequence[str]:
        return [short(self._job_id)]

    def targets(self) -> Targets | None:
        row = self.panes.row
        return None if self._gone else one_job(self._job_id, row.state if row is not None else None)

    # --- what there is -------------------------------------------------------------------------------

    def seen(self) -> None:
        if self.store.frozen and self.panes.row is not None:
            return
        wanted = partial(Wanted, id=self._job_id, attempt=self._attempt, end=self._end)
        self.ask(f"detail.{self._job_id}", partial(_see, wanted, self._tails), self._take)

    def _take(self, answer: Answer) -> None:
        self._wrong = str(answer.error) if answer.error is not None else None
        self.asked = True
        if answer.error is None:
            detail, error, row, written = answer.value
            self._gone = row is None
            if row is not None:
                self.panes.take(detail, row, error, written, self.top.clock.now())
                self._end = detail.end
        self._tell()

    def _tell(self) -> None:
        """Bring the lines above the panes up to date."""
        panes, head = self.panes, self.query_one(JobHead)
        if panes.row is None:
            head.tell_nothing(self._job_id, gone=self._gone, wrong=self._wrong)
        else:
            head.tell(panes.row, gone=self._gone, wrong=self._wrong)
        self.query_one(Panes).tell(panes.front, panes.note)

    # --- keys ----------------------------------------------------------------------------------------

    def action_pane(self, name: str) -> None:
        self.panes.bring(name)
        self._tell()

    def action_next_pane(self, step: int) -> None:
        names = list(PANES)
        self.action_pane(names[(names.index(self.panes.front) + step) % len(names)])

    def action_follow(self) -> None:
        self.panes.follow()
        self._tell()

    def action_attempt(self, step: int) -> None:
        row = self.panes.row
        if row is None or not row.attempt:
            return
        at = (self._attempt or row.attempt) + step
        self._attempt = None if at >= row.attempt else max(1, at)
        self.action_pane("log")
        self.seen()

    def on_job_panes_log_wanted(self, event: JobPanes.LogWanted) -> None:
        self._attempt = event.attempt
        self.action_pane("log")
        self.seen()

    def on_job_panes_job_wanted(self, event: JobPanes.JobWanted) -> None:
        self.top.show_job(event.job)

    def action_find(self) -> None:
        self.query_one(FindLine).edit()

    def on_find_line_closed(self) -> None:
        self.panes.pane().focus()

    def on_find_line_wanted(self, event: FindLine.Wanted) -> None:
        self._word = event.text
        self._find(1, here=True)

    def action_again(self, step: int) -> None:
        if self._word:
            self._find(step)
        else:
            self.notify("/ looks for a word first.", markup=False)

    def _find(self, step: int, *, here: bool = False) -> None:
        if not self.panes.pane().find(self._word, step, here=here):
            self.notify(f"Nothing here holds {clean(self._word)!r}.", markup=False)

    def action_copy(self) -> None:
        found = self.panes.copied()
        if found is not None:
            name, text = found
            self.app.copy_to_clipboard(text)
            self.notify(f"Copied {clean(name)}: {len(text):,} characters.", markup=False)

    def action_export(self) -> None:
        found = self.panes.exported()
        if found is not None:
            from qtool.tui.screens.save import Save

            name, suffix, text = found
            self.app.push_screen(Save(f"Export {name}", f"{short(self._job_id)}.{suffix}", text))


def _see(
    wanted: Callable[..., Wanted], tails: Tails, adapter: Adapter
) -> tuple[Detail, Sequence[Text], JobDetail | None, Written]:
    """What there is, with what takes a while to make ready for drawing."""
    asked = wanted(had=tails.tail.attempt, offset=tails.tail.offset)
    detail = look(adapter, asked)
    if detail.job is None:
        return detail, (), None, tails.written
    row = JobDetail.with_attempts(detail.job, list(detail.attempts))
    error = row.error if detail.end != asked.end and detail.job.state is not State.SUCCEEDED else None
    lines = jobtext.error_lines(error) if error is not None else ()
    return detail, lines, row, tails.take(detail.attempt, detail.chunks)
