"""The lines above everything about a job: what it does, where it stands, and what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical

from qtool.engine.states import FINAL, State
from qtool.tui.widgets.filterline import Said
from qtool.tui.widgets.jobtext import progress_bar
from qtool.views.jobs import what
from qtool.views.text import STYLES, age, ago, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from qtool.views.jobs import JobDetail


class JobHead(Vertical):
    """Three lines."""

    def compose(self) -> ComposeResult:
        yield Said(id="job-what")
        yield Said(id="job-state")
        yield Said(id="job-news")

    def tell(self, row: JobDetail, *, gone: bool, wrong: str | None) -> None:
        """The job as it is; or as it was last seen, if it is ``gone``, or if something is ``wrong`` with asking."""
        self._say([(f" {what(row)}", "value")], _state(row), short(row.id))
        if wrong is not None:
            news = [(f" ✗ {wrong}", "bad")]
        elif gone:
            news = [(" ✗ It is gone: deleted, or its time was up. This is how it was last seen.", "bad")]
        else:
            news = _news(row, max(10, min(40, self.size.width // 4)))
        self.query_one("#job-news", Said).tell(news)

    def tell_nothing(self, id: str, *, gone: bool, wrong: str | None) -> None:
        """Nothing is known about it: there is none, or not yet."""
        state = (" Looking…", "label")
        if wrong is not None:
            state = (f" ✗ {wrong}", "bad")
        elif gone:
            state = (" ✗ There is no such job: it was deleted, or its time was up.", "bad")
        self._say([(f" {id}", "value")], [state], "")

    def _say(self, first: Sequence[tuple[str, str]], second: Sequence[tuple[str, str]], right: str) -> None:
        self.query_one("#job-what", Said).tell(first)
        self.query_one("#job-state", Said).tell(second, f"{right} " if right else "")


def _state(row: JobDetail) -> list[tuple[str, str]]:
    reason = f" ({row.reason})" if row.reason else ""
    since = f"enqueued {ago(row.created_at)}" if row.created_at is not None else ""
    if row.started_at is not None and row.state is State.RUNNING:
        since = f"for {age(row.started_at)}"
    elif row.finished_at is not None and row.state in FINAL:
        since = ago(row.finished_at)
    attempt = f", attempt {row.attempt}" if row.attempt else ""
    return [
        (f" {row.state}{reason}", STYLES[row.state]),
        (f"  {f'{since}, ' if since else ''}queue {row.queue}{attempt}", "label"),
    ]


def _news(row: JobDetail, cells: int) -> list[tuple[str, str]]:
    if row.state is State.RUNNING and (row.progress is not None or row.message):
        return [(f" {progress_bar(row.progress, cells)}", "value"), (row.message or "", "")]
    if row.error is not None and row.state is not State.SUCCEEDED:
        return [(f" {row.error}", "bad")]
    return [(f" {row.message or ''}", "")]
