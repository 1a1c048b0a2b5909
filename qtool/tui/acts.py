"""The keys that act: what they are, where they apply, and the way from a key to what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.binding import Binding, BindingType
from textual.css.query import NoMatches

from qtool.tui import deeds
from qtool.tui.commands import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtool.engine.broker import Adapter
    from qtool.tui.app import Top
    from qtool.tui.deeds import Plan
    from qtool.tui.poller import Answer
    from qtool.tui.targets import Targets
    from qtool.tui.view import View

BINDINGS: list[BindingType] = [
    Binding("R", "act('retry')", "Retry", id="act.retry"),
    Binding("X", "act('cancel')", "Cancel", id="act.cancel"),
    Binding("K", "act('kill')", "Kill", show=False, id="act.kill"),
    Binding("D", "act('delete')", "Delete", show=False, id="act.delete"),
    Binding("e", "act('edit')", "Edit", id="act.edit"),
    Binding("E", "act('copy')", "Enqueue a copy", show=False, id="act.copy"),
    Binding("M", "act('move')", "Move to another context", show=False, id="act.move"),
    Binding("P", "act('pause')", "Pause", id="act.pause"),
    Binding("S", "act('scale')", "Scale", id="act.scale"),
]
"""Of every screen; what cannot apply to what is under the cursor is not there."""

TITLES = {
    "retry": "Retry",
    "cancel": "Cancel",
    "kill": "Kill",
    "delete": "Delete",
    "purge": "Purge",
    "pause": "Pause or resume the queue",
    "scale": "Scale",
}

NAMES = (*TITLES, "move", "edit", "copy")
"""Everything that can be done."""

_LINE = "survey"
"""Counting may take long: it goes over a line of its own."""


def targets_of(view: View) -> Targets | None:
    """What would be acted on; None also while the screen is being made."""
    try:
        return view.targets()
    except NoMatches:
        return None


def applies(view: View, name: str) -> bool | None:
    """Whether this key does something now; None: not to what is under the cursor or marked, which it says."""
    targets = targets_of(view)
    return deeds.applies(name, targets) or (None if deeds.why_not(name, targets) else False)


def explain(view: View, key: str) -> bool:
    """Say why this key does nothing now; False where it is none of those that act."""
    active = view.active_bindings.get(key)
    if active is None or active.enabled or not active.binding.action.startswith("act("):
        return False
    name = active.binding.action.removeprefix("act('").removesuffix("')")
    view.notify(deeds.why_not(name, targets_of(view)), title=active.binding.description, markup=False)
    return True


def shape(targets: Targets | None) -> object:
    """What decides which keys apply: the keys are looked at again when it is another one."""
    return tuple((deeds.applies(name, targets), bool(deeds.why_not(name, targets))) for name in NAMES)


def offered(view: View) -> Iterator[Command]:
    """For the palette only, out of the way of fingers."""
    targets = targets_of(view)
    if targets is not None and deeds.applies("purge", targets) and not view.top.place.read_only:
        yield Command(f"Purge {targets.what}", "delete what does not run; asks first", partial(begin, view, "purge"))
    if (report := view.top.doing.hand.last) is not None:
        name = f"Show what became of: {report.plan.title}"
        yield Command(name, "a line a job", partial(view.top.doing.show, report))


def refuses(top: Top) -> bool:
    """Whether nothing may be changed here; that is said then."""
    if top.place.read_only:
        top.notify(
            "This screen only looks: it was started with --read-only, or its context is read-only.",
            title="Nothing was changed",
            severity="warning",
            markup=False,
        )
    return top.place.read_only


def begin(view: View, name: str) -> None:
    """Ask whether to do this to what is under the cursor, marked, or matches; and do it then."""
    top, targets = view.top, targets_of(view)
    if targets is None or not deeds.applies(name, targets) or refuses(top):
        return
    if name in ("edit", "copy"):
        _copy(view, targets, instead=name == "edit")
        return
    if name == "move":
        _choose_where(view, targets)
        return
    _ask(view, TITLES[name], targets, partial(deeds.survey, name, targets, top.place.production), top.doing.guarded)


def _ask(view: View, title: str, targets: Targets, survey: Callable[[Adapter], Plan], guarded: str | None) -> None:
    """Open the dialog, count, and do it if the answer is yes."""
    from qtool.tui.screens.confirm import Confirm

    dialog = Confirm(title, targets.what, production=guarded)

    def counted(answer: Answer) -> None:
        # It may have been closed, or the program be ending, while that was counted.
        if dialog.is_attached and dialog.query("#said"):
            if answer.error is not None:
                dialog.fail(answer.error)
            else:
                dialog.show(answer.value)

    view.top.push_screen(dialog, partial(_go_on, view))
    view.ask(_LINE, survey, counted, line=_LINE)


def _choose_where(view: View, targets: Targets) -> None:
    """Ask where these jobs are to go, and then whether they are to go there."""
    from qtool.tui.moving import Destination, survey
    from qtool.tui.screens.menu import Choice, Menu

    top = view.top
    places = [place for place in top.places if place.where != top.place.where and not place.read_only]
    if not places:
        top.notify(
            "There is no other context that may be written to: 'qtool context add NAME URL' names one.",
            title="Nowhere to move to",
            markup=False,
        )
        return

    def chosen(number: int | None) -> None:
        if number is None:
            return
        place = places[number]
        to = Destination(where=place.where, open=place.writer or place.opener, production=place.production)
        guarded = top.doing.guarded or (place.where if place.production else None)
        _ask(view, f"Move to {place.where}", targets, partial(survey, to, targets, top.place.production), guarded)

    lines = [Choice(place.where, place.hint) for place in places]
    top.push_screen(Menu(f"Move {targets.what} to", lines), chosen)


def _go_on(view: View, plan: Plan | None) -> None:
    """The dialog has closed."""
    if plan is not None:
        view.top.doing.act(plan, view)


def _copy(view: View, targets: Targets, *, instead: bool) -> None:
    top = view.top

    def found(answer: Answer) -> None:
        if answer.error is not None:
            top.notify(str(answer.error), severity="error", markup=False)
            return
        from qtool.tui.screens.edit import Edit

        top.push_screen(
            Edit(answer.value, instead=instead, now=top.clock.now, production=top.doing.guarded), partial(_go_on, view)
        )

    view.ask(_LINE, partial(deeds.one_job, targets), found, line=_LINE)
