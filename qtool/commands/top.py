"""``qtool top``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.options import Color, Common

ROW = None
EXAMPLES = """
qtool top
qtool top -c production --read-only
qtool top --theme monochrome --no-mouse --refresh 5s
qtool top --once                          # one frame as text, here or in a pipe
qtool top --once --tab workers --size 160x50 > workers.txt
qtool top --inline                        # a few lines under the prompt
qtool top --screenshot top.svg
"""


def complete_theme(incomplete: str) -> list[str]:
    """Names of themes, for the shell."""
    from qtool.tui.themes import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def complete_tab(incomplete: str) -> list[str]:
    """Names of screens, for the shell."""
    from qtool.tui.tabs import TABS

    return [tab.mode for tab in TABS if tab.mode.startswith(incomplete)]


def command(
    common: Common,
    tab: Annotated[
        str | None,
        typer.Option(
            "--tab", metavar="SCREEN", help="Begin with overview, jobs, workers …", autocompletion=complete_tab
        ),
    ] = None,
    refresh: Annotated[
        str | None, typer.Option("--refresh", metavar="DURATION", help="The time between two looks. [1s]")
    ] = None,
    theme: Annotated[
        str | None,
        typer.Option(
            "--theme", metavar="NAME", help="The colours; monochrome has none.", autocompletion=complete_theme
        ),
    ] = None,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only look: change nothing.")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="A few lines under the prompt.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print one frame, and end.")] = False,
    screenshot: Annotated[
        str | None, typer.Option("--screenshot", metavar="FILE.svg", help="Write one frame as a picture, and end.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="120x40", help="How large that frame is. [the terminal's]")
    ] = None,
) -> int:
    """Watch everything live, and act on it, on the full screen.

    Begin with ? for the keys and : for everything that can be done. --once and --screenshot need no terminal.
    """
    from qtool.engine.times import parse_duration
    from qtool.errors import UsageError
    from qtool.tui import run

    frame = once or screenshot is not None
    if sum((inline, once, screenshot is not None)) > 1:
        raise UsageError(why="Use one of --inline, --once and --screenshot.")
    if size is not None and not frame:
        raise UsageError(why="--size is the size of a frame: use it with --once or --screenshot.")
    seconds = None if refresh is None else parse_duration(refresh)
    if seconds is not None and not 0.1 <= seconds <= 3600:
        raise UsageError(why="--refresh takes from 0.1 seconds to an hour.")
    wishes = run.Wishes(
        theme=theme,
        refresh=seconds,
        mouse=not no_mouse,
        tab=tab,
        read_only=read_only,
        colors=common.color is not Color.NEVER,
        resume=not frame and not inline,
    )
    settings = common.settings()
    if screenshot is not None:
        return run.picture(run.screen(settings, wishes), run.frame_size(size), screenshot)
    if once:
        return run.once(run.screen(settings, wishes), run.frame_size(size), common.out())
    if inline:
        from qtool.tui.inline import Inline

        return run.live(run.screen(settings, wishes, kind=Inline), inline=True)
    return run.live(run.screen(settings, wishes))
