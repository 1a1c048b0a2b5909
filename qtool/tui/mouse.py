"""Whether clicks and the wheel come here, or are left to the terminal, which selects text with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App


class Mouse:
    """The mouse of a program that runs."""

    def __init__(self, app: App[Any], *, on: bool) -> None:
        self._app = app
        self.on = on

    def switch(self, on: bool) -> None:
        """Take the mouse, or leave it to the terminal."""
        self.on = on
        # Textual decides this once, when its driver is made; a driver that has no mouse ignores what it is told.
        driver: Any = self._app._driver
        if driver is None or not hasattr(driver, "_enable_mouse_support"):
            return
        if on:
            driver._mouse = True
            driver._enable_mouse_support()
            if getattr(driver, "_mouse_pixels", False):
                driver._enable_mouse_pixels()
        else:
            driver._disable_mouse_support()
            driver._mouse = False
