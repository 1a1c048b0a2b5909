"""What the pool and the command jobs stand on."""

from __future__ import annotations

from collections.abc import Callable

from qtool.engine.clock import Clock
from qtool.engine.value import Value
from qtool.engine.worker.catalogue import Catalogue
from qtool.engine.worker.news import News
from qtool.engine.worker.options import Say
from qtool.engine.worker.outbox import Outbox
from qtool.engine.worker.reactor import Reactor


class Floor(Value, kw_only=True):
    """The supervisor as the pool and the command jobs see it."""

    clock: Clock
    reactor: Reactor
    outbox: Outbox
    news: News
    say: Say
    """Tell a person."""
    learn: Callable[[int, float], None]
    """Runs ended, so many, which took so many seconds in all."""
    pace: Callable[[], float]
    """Seconds that a run takes, of late."""
    catalogue: Catalogue
    """What the code of the tasks says of itself."""
    grace: float
    """Seconds between asking a run to stop and killing it."""
