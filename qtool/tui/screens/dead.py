"""The dead letters: what jobs died of, and the jobs of one such error with what they left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Static

from qtool.engine.dead_letters import WINDOWS, DeadLetters, Found, Group
from qtool.engine.filter import parse
from qtool.engine.fingerprint import is_own
from qtool.engine.states import State
from qtool.output import clean
from qtool.tui import letters
from qtool.tui.screens.jobs import known_words
from qtool.tui.targets import Targets, marked_or
from qtool.tui.view import View
from qtool.tui.widgets.filterline import FilterLine
from qtool.tui.widgets.grid import Grid
from qtool.views.jobs import JobRow
from qtool.views.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo
    from qtool.tui.poller import Answer

LINE = "letters"
"""Reading goes on behind everything else, on a line of its own."""
NOTHING_DEAD = "Nothing is dead: every job that ended succeeded, was cancelled or expired."


class Dead(View):
    """Groups of dead jobs, each with what its jobs died of."""

    MODE = "dead"
    AUTO_FOCUS = "#groups"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="dead.filter", priority=True),
        Binding("z", "zoom", "Hour, day, month", id="dead.zoom"),
        Binding("escape", "back", "Back", show=False, id="dead.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._letters: DeadLetters | None = None
        self._found: Found | None = None
        self._text = ""
        self._wrong: str | None = None
        self._window: int | None = None
        """Which stretch of time the bars show, where somebody has said so."""
        self._fitting = 0
        self._deaths: object = None

    def body(self) -> Sequence[Widget]:
        grid = Grid[Group](
            letters.group_columns(self._series),
            lambda group: "\n".join(group.fingerprint),
            empty="Reading…",
            id="groups",
        )
        facts = VerticalScroll(Static(id="group-facts"), id="group-pane", can_focus=False)
        return [FilterLine(lambda: known_words((), self.store), id="filter"), grid, facts]

    @property
    def grid(self) -> Grid[Group]:
        """The table."""
        return self.query_one("#groups", Grid)

    def _now(self) -> float:
        return self.store.sight.snapshot.at if self.store.sight is not None else 0.0

    def _series(self, group: Group) -> tuple[float, ...]:
        return group.series(self._fitting if self._window is None else self._window, self._now())

    # --- reading -------------------------------------------------------------------------------------

    def seen(self) -> None:
        sight = self.store.sight
        if sight is None or (self.store.frozen and self._found is not None):
            return
        deaths = [(queue.name, queue.counts[State.DEAD]) for queue in sight.snapshot.queues]
        recent = sum(flow.dead for flows in sight.flows.values() for flow in flows)
        changed, self._deaths = (deaths, recent) != self._deaths, (deaths, recent)
        if self._letters is None:
            self._letters = DeadLetters(self.top.clock, parse(self._text) if self._text else None)
        reading = self._letters

        def look(adapter: Adapter) -> Found:
            reading.read(adapter.inspector, changed=changed)
            return reading.found()

        def then(answer: Answer) -> None:
            if reading is self._letters:
                self._take(answer)

        self.ask("groups", look, then, line=LINE)

    def _take(self, answer: Answer) -> None:
        self._wrong = str(answer.error) if answer.error is not None else None
        if answer.error is not None:
            # Whatever has changed is still to be read.
            self._deaths = None
        else:
            found: Found = answer.value
            self._found = found
            self._fitting = letters.fitting(found.groups, self._now())
            nothing = "No dead job matches." if self._text else self._nothing()
            self.grid.empty = nothing if found.complete else "Reading…"
            self.grid.show(found.groups)
            self._show_facts()
        self._tell()

    def _nothing(self) -> str:
        unseen = self.store.sight.unseen if self.store.sight is not None else None
        return f"Nothing is dead. {unseen}" if unseen else NOTHING_DEAD

    def _show_facts(self) -> None:
        group = self.grid.current
        text = Text()
        for label, said in letters.facts(group) if group is not None else ():
            text.append(f"{label:<8}", "dim").append(clean(said)).append("\n")
        self.query_one("#group-facts", Static).update(text)

    def _tell(self) -> None:
        """Bring the line above the table up to date."""
        found = self._found
        left: list[tuple[str, str]] = [(" ", "")]
        if self._wrong is not None:
            left += [(f"✗ {self._wrong}  ", "bad")]
        left += [(f"/{self._text}  ", "value")] if self._text else []
        if found is not None:
            left += [(letters.kinds(len(found.groups)), ""), (f"  {letters.progress(found, self._now())}", "label")]
        window = WINDOWS[self._fitting if self._window is None else self._window]
        self.query_one("#filter", FilterLine).tell(self._text, left, f"bars: the last {window.name} ")

    # --- keys ----------------------------------------------------------------------------------------

    def targets(self) -> Targets | None:
        group = self.grid.current
        if group is None or not group.together:
            return None
        where = group.where()
        if self._text:
            where = parse(f"{where.text} ({self._text})")
        what = f"about {group.count:,} dead {'job' if group.count == 1 else 'jobs'}: {group.fingerprint.type}"
        return Targets(what=what, where=where, only=group.holds)

    def on_grid_moved(self) -> None:
        self._show_facts()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        group: Any = event.row
        if group.together:
            self.top.push_screen(DeadGroup(group))
        else:
            self.notify("These are of more kinds than can be told apart: / narrows them down.", markup=False)

    def action_zoom(self) -> None:
        self._window = ((self._fitting if self._window is None else self._window) + 1) % len(WINDOWS)
        self.grid.show(self._found.groups if self._found is not None else ())
        self._tell()

    def action_filter(self) -> None:
        self.query_one("#filter", FilterLine).edit()

    def on_filter_line_applied(self, event: FilterLine.Applied) -> None:
        if event.text != self._text:
            self._begin(event.text)

    def on_filter_line_closed(self) -> None:
        self.grid.focus()

    def _begin(self, text: str) -> None:
        """Read again, only the dead jobs that match this filter."""
        self._text, self._letters, self._found, self._deaths = text, None, None, None
        self.grid.empty = "Reading…"
        self.grid.show(())
        self._tell()
        self.seen()

    def action_back(self) -> None:
        if self._text:
            self._begin("")
        else:
            self.top.action_leave(False)


class DeadGroup(View):
    """The jobs of one group, the newest first, and the traceback of the one under the cursor."""

    MODE = "dead"
    AUTO_FOCUS = "#members"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "focus_next", "Traceback", id="dead.next"),
        Binding("d", "describe", "Describe", show=False, id="dead.describe"),
        Binding("y", "copy", "Copy", show=False, id="dead.copy"),
    ]

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group
        self._members = letters.Members(group)
        self._listed: letters.Listed | None = None
        self._want = letters.PAGE
        self._shown: JobInfo | None = None

    def body(self) -> Sequence[Widget]:
        grid = Grid[JobRow](letters.JOBS_OF_GROUP, lambda row: row.id, empty="Looking…", markable=True, id="members")
        pane = VerticalScroll(Static(id="traceback-text"), id="traceback", can_focus=True)
        return [Static(id="members-said"), Container(grid, pane, id="members-and-traceback")]

    def on_mount(self) -> None:
        self._say()

    @property
    def grid(self) -> Grid[JobRow]:
        """The table."""
        return self.query_one("#members", Grid)

    def crumbs(self) -> Sequence[str]:
        return [self._group.fingerprint.type.rpartition(".")[2]]

    def seen(self) -> None:
        if self.store.frozen and self._listed is not None:
            return
        check = [row.id for row in self.grid.rows[self.grid.in_sight.start : self.grid.in_sight.stop]]
        members, want = self._members, self._want
        self.ask("members", lambda adapter: members.read(adapter.inspector, want, check), self._take, line=LINE)

    def _take(self, answer: Answer) -> None:
        if answer.error is not None:
            return
        listed: letters.Listed = answer.value
        self._listed = listed
        self.grid.empty = "None of them is dead any more." if listed.complete else "Looking…"
        self.grid.show(listed.rows)
        self._say()
        self._look()

    def _say(self) -> None:
        group, listed = self._group, self._listed
        text = Text(f" {clean(group.fingerprint.message or group.fingerprint.type)}", no_wrap=True, overflow="ellipsis")
        if listed is not None:
            rest = "" if listed.complete else f", {listed.searched:,} dead jobs looked through so far"
            text = Text.assemble(f" {len(listed.rows):,} listed{rest}  ", (clean(text.plain.strip()), "dim"))
        text.no_wrap, text.overflow = True, "ellipsis"
        self.query_one("#members-said", Static).update(text)

    def _look(self) -> None:
        """Ask for all of the job under the cursor."""
        row = self.grid.current
        if row is None:
            self._shown = None
            self.query_one("#traceback-text", Static).update("")
        elif self._shown is None or self._shown.id != row.id:
            self.ask("job", lambda adapter: adapter.inspector.get([row.id])[0], self._show)

    def _show(self, answer: Answer) -> None:
        job: JobInfo | None = answer.value if answer.error is None else None
        row = self.grid.current
        if job is not None and row is not None and row.id == job.id:
            self._shown = job
            self.query_one("#traceback-text", Static).update(traceback_text(job))
            self.query_one("#traceback").scroll_home(animate=False)

    # --- keys ----------------------------------------------------------------------------------------

    def targets(self) -> Targets | None:
        return marked_or(self.grid.marks, self.grid.rows, self.grid.current)

    def on_grid_moved(self) -> None:
        self._look()

    def on_grid_edge(self, event: Grid.Edge) -> None:
        listed = self._listed
        if event.side > 0 and listed is not None and not listed.complete and len(listed.rows) >= self._want:
            self._want = min(self._want + letters.PAGE, letters.MOST)
            self.seen()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        self.top.show_job(event.row.id)

    def action_describe(self) -> None:
        self.grid.action_open()

    def action_copy(self) -> None:
        """The traceback where that is in focus; else the ids."""
        row = self.grid.current
        if self.focused is not self.grid and self._shown is not None:
            self.app.copy_to_clipboard(traceback_text(self._shown).plain)
            self.notify("Copied the traceback.", markup=False)
        elif row is not None:
            ids = tuple(self.grid.marks) or (row.id,)
            self.app.copy_to_clipboard("\n".join(ids))
            self.notify(f"Copied {short(ids[0]) if len(ids) == 1 else f'{len(ids)} ids'}.", markup=False)


def traceback_text(job: JobInfo) -> Text:
    """What a job left when it died: frames of libraries stand back behind the user's own."""
    error = job.error
    if error is None:
        return Text("It left no error.", "dim")
    text, own = Text(), True
    for line in (error.traceback or str(error)).rstrip("\n").split("\n"):
        stripped = line.lstrip(" |")
        if stripped.startswith('File "'):
            own = is_own(stripped[6:].partition('"')[0])
        framed = line.startswith((" ", "|"))
        text.append(f"{clean(line)}\n", "" if framed and own else "dim" if framed else "bold")
    return text
