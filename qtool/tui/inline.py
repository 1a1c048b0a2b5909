"""The screen in a few lines under the prompt: the busiest queues, and the workers."""

from __future__ import annotations

from typing import Any

from qtool.tui.app import Top


class Inline(Top):
    """Looks, and quits with ``q``; its last lines stay on the terminal."""

    DEFAULT_MODE = "brief"
    INLINE_PADDING = 0

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002  Textual's own signature
    ) -> bool | None:
        """Nothing that would need a whole screen."""
        return action in ("leave", "pause", "mouse", "quit", "help_quit")


def _brief() -> Any:
    from qtool.tui.screens.brief import Brief

    return Brief()


Inline.MODES = {Inline.DEFAULT_MODE: _brief}
