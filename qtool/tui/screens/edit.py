"""A job as a form: to enqueue a changed copy of it, instead of it or beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static, TextArea

from qtool.engine.states import FINAL
from qtool.errors import QtoolError
from qtool.output import clean
from qtool.tui.deeds import Plan
from qtool.tui.draft import FIELDS, consequences, made, plan, texts, wrongs

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.widget import Widget

    from qtool.engine.job import JobInfo

_ROWS = (("task",), ("queue", "priority"), ("run_at", "retries"), ("backoff", "timeout"))
_AREAS = ("args", "kwargs")


class Edit(ModalScreen[Plan]):
    """Gives the plan to carry out; None when nothing is to be done. Enter never confirms, only the button does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="edit.cancel"),
        Binding("up", "app.focus_previous", "The field before", show=False, id="edit.previous"),
        Binding("down", "app.focus_next", "The next field", show=False, id="edit.next"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012  as Textual declares it

    def __init__(self, job: JobInfo, *, instead: bool, now: Callable[[], float], production: str | None) -> None:
        """``instead``: the copy takes the original's place. ``production``: the name of what has to be guarded."""
        super().__init__(classes="-guarded" if production is not None else "")
        self._job = job
        self._instead = instead
        self._now = now
        self._production = production
        self._texts = texts(job, now())

    def compose(self) -> ComposeResult:
        what = "Edit" if self._instead else "Enqueue a copy"
        with Vertical(classes="dialog edit") as dialog:
            guard = f"PRODUCTION {clean(self._production)}: " if self._production is not None else ""
            dialog.border_title = Text(f"{guard}{what}: {clean(self._job.id)} ({self._job.state})")
            dialog.border_subtitle = "tab to the next field, esc cancels"
            for row in _ROWS:
                yield Horizontal(*(each for name in row for each in self._field(name)), classes="row")
            for name in _AREAS:
                area = TextArea(self._texts[name], id=f"field-{name}", compact=True, tab_behavior="focus")
                yield Horizontal(Label(name, classes="label", id=f"label-{name}"), area, classes="area")
            yield Static(Text(consequences(self._job, instead=self._instead)), id="happens")
            if self._instead and self._job.state in FINAL:
                yield Checkbox(_deletes(False), id="delete", compact=True)
            yield Static("", id="edit-wrong", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="no", compact=True)
                yield Button("Enqueue the copy", id="yes", compact=True, variant="error")

    def _field(self, name: str) -> tuple[Widget, Widget]:
        label, hint = FIELDS[name]
        field = Input(self._texts[name], placeholder=hint, compact=True, id=f"field-{name}", select_on_focus=False)
        return Label(label, classes="label", id=f"label-{name}"), field

    def on_mount(self) -> None:
        self._check()

    def _said(self) -> dict[str, str]:
        lines = {name: self.query_one(f"#field-{name}", Input).value for name in FIELDS}
        return lines | {name: self.query_one(f"#field-{name}", TextArea).text for name in _AREAS}

    def _check(self) -> bool:
        """Whether a job can be made of it; what cannot is marked, and the first of it is explained."""
        found = wrongs(self._said(), self._now())
        for name in (*FIELDS, *_AREAS):
            self.query_one(f"#label-{name}").set_class(name in found, "-wrong")
        said = self.query_one("#edit-wrong", Static)
        said.update(Text(clean(next(iter(found.values()), ""))))
        said.display = bool(found)
        self.query_one("#yes", Button).disabled = bool(found)
        return not found

    def on_input_changed(self) -> None:
        self._check()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        event.checkbox.label = _deletes(event.value)

    def on_text_area_changed(self) -> None:
        self._check()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id != "yes":
            self.dismiss(None)
            return
        if not self._check():
            return
        try:
            # As of now: `+5m` is said of the moment at which it is confirmed, not of that at which the form was opened.
            copy = made(self._said(), self._job, self._now())
        except QtoolError as error:
            self.notify(clean(str(error)), severity="error", markup=False)
            return
        delete = any(box.value for box in self.query(Checkbox))
        self.dismiss(plan(copy, self._job, instead=self._instead, delete=delete))


def _deletes(yes: bool) -> str:
    """In words, for the box alone tells it by its colour."""
    return f"Delete the original (it cannot be undone): {'YES' if yes else 'no'}"
