"""What the palette offers. No Textual here."""

from __future__ import annotations

from collections.abc import Callable

from qtool.engine.value import Value


class Command(Value):
    """One thing that can be done from the palette."""

    name: str
    """What people type and see: ``Sort by OLDEST``."""
    help: str
    """A line that says more, or the key that does it too."""
    run: Callable[[], object]
    """Does it, after the palette has closed; what it returns is awaited if it can be."""
