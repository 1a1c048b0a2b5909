"""The question before something is done: how many, what happens, how to undo it. It defaults to Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from qtool.errors import QtoolError
from qtool.output import clean
from qtool.tui.deeds import Plan

if TYPE_CHECKING:
    from textual.app import ComposeResult

MOVES: list[BindingType] = [
    Binding("left,up", "app.focus_previous", "The button before", show=False, id="dialog.previous"),
    Binding("right,down", "app.focus_next", "The next button", show=False, id="dialog.next"),
]


class Confirm(ModalScreen[Plan]):
    """Gives the plan that is to be carried out; None when nothing is to be done.

    It is there before anything has been counted, so that the key answers at once; until then only Cancel does
    something, and that is where the focus is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="dialog.cancel"),
        *MOVES,
    ]

    def __init__(self, title: str, what: str, *, production: str | None) -> None:
        """``title`` and ``what`` are said until there is a plan. ``production``: the name of what has to be guarded."""
        super().__init__(classes="-guarded" if production is not None else "")
        self._title = title
        self._what = what
        self._production = production
        self._plan: Plan | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog question") as dialog:
            dialog.border_title = self._headed(self._title)
            yield Static(Text(f"{clean(self._what)}\n\ncounting…"), id="said", markup=False)
            yield Static("", id="prompt", markup=False)
            yield Input(compact=True, id="typed")
            yield Static("", id="wrong", markup=False)
            with Horizontal(classes="buttons"):
                yield Button(_no(self._title), id="no", compact=True)
                yield Button(self._title, id="yes", compact=True, disabled=True, variant="error")

    def on_mount(self) -> None:
        for id in ("#prompt", "#typed", "#wrong"):
            self.query_one(id).display = False
        self.query_one("#no").focus()

    def show(self, plan: Plan) -> None:
        """This is what would be done."""
        if not self.is_mounted:
            self.call_after_refresh(self.show, plan)
            return
        self._plan = plan
        self.query_one(".dialog", Vertical).border_title = self._headed(plan.title)
        said = Text(clean(plan.what), style="bold")
        if plan.count:
            # What begins with a capital says that there is no way back.
            undoable = plan.undo[:1].islower()
            said.append(f"\n\n{clean(plan.happens)}\n", "not bold").append("Undo: " if undoable else "", "bold")
            said.append(plan.undo, "not bold" if undoable else "bold")
        else:
            said.append("\n\nThere is nothing to do.", "not bold")
        if plan.left:
            said.append(f"\n{plan.left}", "not bold")
        self.query_one("#said", Static).update(said)
        self.query_one("#prompt", Static).update(Text(f"{clean(plan.prompt)}:"))
        for id in ("#prompt", "#typed"):
            self.query_one(id).display = bool(plan.prompt and plan.count)
        yes, no = self.query_one("#yes", Button), self.query_one("#no", Button)
        yes.label = Text(plan.title)
        no.label = Text(_no(plan.title))
        if not plan.count:
            yes.display = False
            no.label = Text("Close")
        for button in (yes, no):
            # A label alone is drawn anew where the old one was, however wide it is.
            button.refresh(layout=True)
        self._check("")

    def fail(self, error: QtoolError) -> None:
        """It cannot be told what would be done."""
        self.query_one("#said", Static).update(Text(f"{clean(self._what)}\n\n{clean(str(error))}"))

    def _headed(self, title: str) -> Text:
        return Text(f"PRODUCTION {clean(self._production)}: {title}" if self._production is not None else title)

    def _check(self, text: str) -> Plan | None:
        """The plan as it is with what was typed, if that will do; says in place what is wrong with it."""
        wrong, found = "", None
        if self._plan is not None and self._plan.count:
            try:
                found = self._plan.after(text)
            except QtoolError as error:
                wrong = clean(str(error))
        said = self.query_one("#wrong", Static)
        said.update(Text(wrong))
        said.display = bool(wrong)
        self.query_one("#yes", Button).disabled = found is None
        return found

    def on_input_changed(self, event: Input.Changed) -> None:
        self._check(event.value)

    def on_input_submitted(self) -> None:
        # Enter in the line only leads on to the button: what was typed is not yet a yes.
        if not (yes := self.query_one("#yes", Button)).disabled:
            yes.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        wanted = event.button.id == "yes"
        self.dismiss(self._check(self.query_one("#typed", Input).value) if wanted else None)


def _no(title: str) -> str:
    """What the way out is called."""
    return "Don't cancel" if title.startswith("Cancel") else "Cancel"
