"""The command palette: everything that can be done here, found by typing some of its letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from qtool.output import clean
from qtool.tui import acts
from qtool.tui.commands import Command
from qtool.tui.explain import HEADS
from qtool.tui.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.fuzzy import Matcher
    from textual.screen import Screen

    from qtool.tui.app import Top

_HIDDEN = ("app.palette", "app.back")
"""Bindings that say nothing where the palette is open."""


class Palette(Provider):
    """Offers :func:`offered`."""

    async def startup(self) -> None:
        app: Any = self.app
        self._commands = list(offered(app, self.screen))

    async def discover(self) -> Hits:
        for command in self._commands:
            name = clean(command.name)
            yield DiscoveryHit(Content(name), command.run, text=name, help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands:
            name = clean(command.name)
            # What a command says about itself finds it too, behind those that are called so.
            score = matcher.match(name) or 0.3 * matcher.match(command.help)
            if score > 0:
                yield Hit(score, _marked(matcher, name), command.run, text=name, help=command.help)


def offered(top: Top, screen: Screen[Any]) -> Iterator[Command]:
    """Everything that can be done: on this screen first, then everywhere."""
    if isinstance(screen, View):
        yield from screen.commands()
    yield from _bound(top, screen)
    if isinstance(screen, View):
        for name in screen.orders():
            yield Command(f"Sort by {name}", HEADS.get(name, "again reverses"), partial(screen.sort_by, name))
        # Far from the top, where enter is pressed before anything was read.
        yield from acts.offered(screen)
    for place in top.places:
        if place is not top.place:
            yield Command(f"Context {place.where}", "look at another broker", partial(top.go_to, place))
    yield Command(
        "Mouse off" if top.mouse.on else "Mouse on",
        "so that the terminal itself selects text" if top.mouse.on else "so that clicks and the wheel work here",
        top.action_mouse,
    )
    for name in top.available_themes:
        yield Command(f"Theme {name}", "in use" if name == top.theme else "change the colours", partial(top.wear, name))


def _bound(top: Top, screen: Screen[Any]) -> Iterator[Command]:
    """What the keys do here; a command that has several keys is offered once."""
    seen: set[str] = set()
    for node, binding, enabled, _ in screen.active_bindings.values():
        # Moving about in a list is nothing that anybody would look for in a list.
        moves = (binding.id or "").startswith("grid.") and not binding.show
        if not enabled or binding.action in seen or binding.id is None or binding.id in _HIDDEN or moves:
            continue
        seen.add(binding.action)
        name = f"Go to {binding.description}" if binding.id.startswith("go.") else binding.description
        yield Command(name, f"key {top.get_key_display(binding)}", partial(top.run_action, binding.action, node))


def _marked(matcher: Matcher, name: str) -> Content:
    """The name with the letters that were typed; Textual's own way would read it as markup."""
    shown = Content(name)
    for place in matcher.fuzzy_search.match(matcher.query, name)[1]:
        shown = shown.stylize(matcher.match_style, place, place + 1)
    return shown
