"""``qtool top``."""

from __future__ import annotations

from qtool.options import Common

ROW = None
EXAMPLES = """
qtool top
qtool top -c production
"""


def command(common: Common) -> int:
    """Watch everything live, and act on it, on the full screen."""
    from qtool.config import open_adapter, redacted
    from qtool.tui.app import Place, Top

    settings = common.settings()
    place = Place(
        where=settings.context or redacted(settings.broker),
        opener=lambda: open_adapter(settings),
        read_only=settings.read_only,
        production=settings.production,
    )
    app = Top(place)
    app.run()
    return app.return_code or 0
