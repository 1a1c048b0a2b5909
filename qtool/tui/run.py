"""The ways to run the screen: whole, in a few lines under the prompt, or for one frame."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.config import open_adapter, redacted
from qtool.engine.value import Value
from qtool.errors import BrokerUnreachable, ExitCode, QtoolError, UsageError
from qtool.tui.app import Place, Top
from qtool.tui.frame import ansi_of, text_of
from qtool.tui.memory import Memory, memory_path
from qtool.tui.tabs import TABS
from qtool.tui.themes import MONOCHROME, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from qtool.config import Settings
    from qtool.output import Output

PATIENCE = 10.0
"""Seconds that a frame waits for the broker."""
LINGER = 3.0
"""Seconds after which a program that was told to end is ended, however busy its terminal or broker is."""


class NoFrame(QtoolError):
    """The picture cannot be written to {path}: {why}."""


class Wishes(Value, kw_only=True):
    """What the command line says."""

    theme: str | None = None
    refresh: float | None = None
    mouse: bool = True
    tab: str | None = None
    read_only: bool = False
    colors: bool = True
    resume: bool = False
    """Where no tab is said, begin at the one where this broker was left."""


def screen(settings: Settings, wishes: Wishes, *, kind: type[Top] = Top, remember: bool = True) -> Top:
    """The program, not running yet. Raises UsageError, BadConfig."""
    if wishes.tab is not None and wishes.tab not in (known := [tab.mode for tab in TABS]):
        raise UsageError(why=f"No screen {wishes.tab!r}. Known: {', '.join(known)}.")
    theme = wishes.theme or (None if wishes.colors else MONOCHROME.name) or settings.top.theme
    if theme is not None and theme not in NAMES:
        raise UsageError(why=f"No theme {theme!r}. Known: {', '.join(NAMES)}.")
    keymap = None
    if settings.top.keys:
        from qtool.tui.keymap import check

        keymap = check(settings.top.keys, settings.path)
    here, others = places(settings, read_only=wishes.read_only)
    memory = Memory(memory_path() if remember else None)
    left = memory.tab(here.where) if wishes.resume else None
    return kind(
        here,
        places=others,
        refresh=wishes.refresh or settings.top.refresh,
        theme=theme,
        mouse=wishes.mouse and settings.top.mouse,
        memory=memory,
        keymap=keymap,
        tab=wishes.tab or (left if left in [tab.mode for tab in TABS] else None),
    )


def places(settings: Settings, *, read_only: bool = False) -> tuple[Place, tuple[Place, ...]]:
    """Where the settings lead to, and all places that one can go to from there."""
    contexts = []
    for entry in settings.contexts:
        its = replace(
            settings,
            broker=entry.broker,
            named=True,
            source=f"context {entry.name}",
            context=entry.name,
            read_only=entry.read_only or read_only,
            production=entry.production,
        )
        contexts.append(_place(its))
    here = next((place for place in contexts if place.where == settings.context), None)
    if here is not None:
        return here, tuple(contexts)
    # Said in the settings, so that it holds for every connection that is made of them.
    here = _place(replace(settings, read_only=settings.read_only or read_only))
    return here, (here, *contexts) if contexts else ()


def _place(settings: Settings) -> Place:
    url = redacted(settings.broker)
    entry = next((each for each in settings.contexts if each.name == settings.context), None)
    return Place(
        where=settings.context or url,
        opener=partial(open_adapter, settings),
        writer=partial(open_adapter, settings, write=True),
        read_only=settings.read_only,
        production=settings.production,
        url=url,
        alerts=entry.alerts if entry is not None else None,
    )


# --- on a terminal -----------------------------------------------------------------------------------


def live(app: Top, *, inline: bool = False) -> int:
    """Run until somebody quits; the exit code. Raises UsageError where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(why="The screen needs a terminal. 'qtool top --once' prints one frame of it anywhere.")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, _end, app, number)
        await app.run_async(inline=inline, inline_no_clear=inline)

    asyncio.run(run())
    if not inline:
        app.memory.keep_tab(app.place.where, app.current_mode)
        app.memory.wait()
    return app.return_code or 0


def _end(app: Top, number: int) -> None:
    """Leave the terminal as it was. One that hangs, or is gone, is not waited for."""
    code = 128 + number
    watchdog = threading.Timer(LINGER, os._exit, [code])
    watchdog.daemon = True
    watchdog.start()
    app.exit(return_code=code)


# --- one frame ---------------------------------------------------------------------------------------


def once(app: Top, size: tuple[int, int], out: Output) -> int:
    """Write one frame to stdout. Raises QtoolError where the broker cannot be asked."""
    colors = out.console().color_system
    out.write(_frame(app, size, partial(ansi_of, colors=colors) if colors else text_of))
    out.flush()
    return ExitCode.OK


def picture(app: Top, size: tuple[int, int], path: str) -> int:
    """Write one frame to a file, as SVG. Raises NoFrame, and QtoolError where the broker cannot be asked."""
    svg = _frame(app, size, lambda app: app.export_screenshot(title="qtool top"))
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
    except OSError as error:
        raise NoFrame(path=path, why=error.strerror) from None
    return ExitCode.OK


def frame_size(text: str | None) -> tuple[int, int]:
    """The size that is said, as ``120x40``; else the terminal's, or 100 by 30. Raises UsageError."""
    if text is None:
        width, height = shutil.get_terminal_size((100, 30))
        # The prompt comes below.
        return width, height - 1 if sys.stdout.isatty() else height
    width_text, _, height_text = text.partition("x")
    if not (width_text.isdecimal() and height_text.isdecimal()):
        raise UsageError(why=f"{text!r} is not a size: write it as 120x40.")
    width, height = int(width_text), int(height_text)
    if not (20 <= width <= 1000 and 5 <= height <= 1000):
        raise UsageError(why=f"{text!r} is no size for a screen: from 20x5 to 1000x1000.")
    return width, height


def _frame(app: Top, size: tuple[int, int], draw: Callable[[Top], str]) -> str:
    """What ``draw`` makes of the screen once it shows what the broker says."""
    drawn: list[str] = []
    wrong: list[QtoolError] = []

    async def look(pilot: Pilot[Any]) -> None:
        try:
            await _settle(app, pilot)
            drawn.append(draw(app))
        except QtoolError as error:
            wrong.append(error)
        finally:
            app.exit()

    asyncio.run(app.run_async(headless=True, size=size, auto_pilot=look))
    if wrong:
        raise wrong[0]
    if not drawn:
        raise QtoolError(why="the screen ended before it showed anything")
    return drawn[0]


async def _settle(app: Top, pilot: Pilot[Any]) -> None:
    """Until the broker has answered all that the screen asks. Raises what the broker says, BrokerUnreachable."""
    deadline = time.monotonic() + PATIENCE
    still = 0
    while still < 3:
        if app.store.error is not None:
            raise app.store.error
        if time.monotonic() > deadline:
            raise BrokerUnreachable(url=app.place.url, why=f"no answer for {PATIENCE:g} s")
        await pilot.pause(0.01)
        # Answers make screens ask more: it is enough when nothing came of the last rounds.
        still = still + 1 if app.link.idle and app.store.sight is not None else 0
