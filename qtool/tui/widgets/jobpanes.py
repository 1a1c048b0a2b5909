"""The panes of a job: facts, payload, result, log, attempts; facts stand beside the others where there is room."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from textual.containers import Horizontal
from textual.message import Message

from qtool.engine.states import FINAL, State
from qtool.tui.detail import Detail, Fact, envelope, facts_of, printed
from qtool.tui.runs import Bar, bars
from qtool.tui.tail import LogLine, Written
from qtool.tui.tree import Branch, Tree, text_of_value
from qtool.tui.widgets import jobtext
from qtool.tui.widgets.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text
    from textual.app import ComposeResult

    from qtool.views.jobs import JobDetail

PANES = {"facts": "Facts", "payload": "Payload", "result": "Result", "log": "Log", "attempts": "Attempts"}


class JobPanes(Horizontal):
    """Everything there is about one job."""

    class JobWanted(Message):
        """Somebody follows the link to another job."""

        def __init__(self, job: str) -> None:
            super().__init__()
            self.job = job

    class LogWanted(Message):
        """Somebody wants the log of an attempt."""

        def __init__(self, attempt: int) -> None:
            super().__init__()
            self.attempt = attempt

    def __init__(self, front: str, *, id: str) -> None:
        super().__init__(id=id)
        self.front = front
        """The pane in front."""
        self.written = Written()
        self.row: JobDetail | None = None
        self._beside = "payload"
        self._detail: Detail | None = None
        self._payload = Tree("job")
        self._result: Tree | None = None
        self._error: Sequence[Text] = ()

    def compose(self) -> ComposeResult:
        def lines(id: str, empty: str, **how: Any) -> Reader:
            return Reader(jobtext.draw, plain=jobtext.plain, empty=empty, id=id, **how)

        yield lines("facts", "Looking…")
        yield lines("payload", "Looking…", turn=self._turn)
        yield lines("result", "Nothing has come of it yet.", turn=self._turn)
        yield lines("log", "Nothing was written.", can_follow=True)
        yield lines("attempts", "It was not started yet.")

    def on_mount(self) -> None:
        self.bring(self.front)

    def pane(self, name: str = "") -> Reader:
        """The lines of a pane; of the one in front where none is named."""
        return self.query_one(f"#{name or self.front}", Reader)

    def bring(self, name: str) -> None:
        """Have this pane in front."""
        self.front = name
        if name != "facts":
            self._beside = name
        for each in PANES:
            self.pane(each).set_class(each == name, "-shown")
            self.pane(each).set_class(each == self._beside, "-beside")
        self.pane(name).focus()

    # --- what they show ------------------------------------------------------------------------------

    def take(self, detail: Detail, row: JobDetail, error: Sequence[Text], written: Written, now: float) -> None:
        """Show what there is now; ``error``: what went wrong, made ready to be drawn; ``written``: its output."""
        job, before = detail.job, self._detail
        assert job is not None
        self.row, self._detail = row, detail
        if before is None or before.job != job:
            self._payload.value = envelope(row)
            self.pane("payload").show(self._payload.lines())
        if detail.end != detail.wanted.end:
            self._error, self._result = error, None
            if detail.result is not None and detail.result.state is State.SUCCEEDED:
                self._result = Tree("result", json.loads(detail.result.value or "null"))
            self.pane("result").show(self._result.lines() if self._result is not None else self._error)
        if written.attempt != self.written.attempt:
            self.pane("log").show(())
        if written is not self.written:
            self.written = written
            self.pane("log").show(written.lines)
        # Both say how long ago something was.
        self.pane("facts").show(facts_of(row))
        self.pane("attempts").show(bars(job, detail.attempts, now))
        if before is None:
            # Beside the facts, what one most likely came for.
            ended = job.state in FINAL or job.state is State.RETRY
            if self.front == "facts":
                self._beside = "result" if ended else "log" if job.state is State.RUNNING else "payload"
                self.bring("facts")

    def follow(self) -> bool:
        """Follow the end of the log, or stop doing so; whether it is followed now."""
        log = self.pane("log")
        log.follow = not log.follow
        log.show(log.lines)
        return log.follow

    @property
    def note(self) -> str:
        """Whose log it is."""
        followed = ", followed" if self.pane("log").follow else ""
        return f"log of attempt {self.written.attempt}{followed}" if self.written.attempt else ""

    # --- lines that lead on --------------------------------------------------------------------------

    def on_reader_opened(self, event: Reader.Opened) -> None:
        event.stop()
        line: Any = event.line
        if isinstance(line, Branch):
            self._toggle(line)
        elif isinstance(line, Fact) and line.job is not None:
            self.post_message(self.JobWanted(line.job))
        elif isinstance(line, Bar):
            self.post_message(self.LogWanted(line.run.number))

    def _turn(self, line: Any, side: int) -> bool:
        wanted = ("open",) if side < 0 else ("shut", "more")
        if not isinstance(line, Branch) or line.fold not in wanted:
            return False
        self._toggle(line)
        return True

    def _toggle(self, line: Branch) -> None:
        tree = self._result if self.front == "result" else self._payload
        if tree is not None and tree.toggle(line):
            self.pane().show(tree.lines())

    # --- what can be taken away ----------------------------------------------------------------------

    def copied(self) -> tuple[str, str] | None:
        """What is under the cursor: what it is called, and all of it."""
        line: Any = self.pane().current
        row = self.row
        if row is None:
            return None
        if isinstance(line, Fact):
            return f"the {line.label}", line.value
        if isinstance(line, Branch):
            if line.fold == "more":
                return None
            whole = not line.path and self.front == "payload"
            return ("the job", printed(row)) if whole else (line.label, text_of_value(line.value))
        if isinstance(line, LogLine):
            return "the log", self.written.text()
        if isinstance(line, Bar):
            return "the attempt", line.run.error or line.run.how
        if self.front == "result" and row.error is not None:
            return "the traceback" if row.error.traceback else "the error", row.error.traceback or str(row.error)
        return None

    def exported(self) -> tuple[str, str, str] | None:
        """The log where it is in front, else the job: what it is called, the end of its file's name, and all of it."""
        if self.row is None:
            return None
        return (
            ("the log", "log", self.written.text()) if self.front == "log" else ("the job", "json", printed(self.row))
        )
