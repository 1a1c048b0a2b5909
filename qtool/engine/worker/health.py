"""Whether the broker answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.errors import BrokerBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.clock import Clock
    from qtool.engine.worker.reactor import Reactor
    from qtool.errors import BrokerError

_FIRST, _LONGEST = 0.1, 5.0
"""Seconds until a broker that failed is asked again, at first and at most."""


FIRM = 10.0
"""Seconds for which the first word to a broker and the last one are said again while it is busy."""


def firmly(clock: Clock, call: Callable[[], object]) -> None:
    """Make a call that nothing goes on without. Raises BrokerError."""
    until = clock.monotonic() + FIRM
    while True:
        try:
            call()
        except BrokerBusy:
            # It has waited for a while already.
            if clock.monotonic() >= until:
                raise
        else:
            return


class Health:
    """Knows since when the broker fails and when to ask it again, and says so once for each kind of reason."""

    def __init__(self, reactor: Reactor, clock: Clock, say: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._clock = clock
        self._say = say
        self._patience = 0.0
        self._reasons: set[type[BrokerError]] = set()
        """Those that were said since it last answered."""
        self.failing_since: float | None = None
        """Monotonic; None while it answers."""
        self.failures = 0
        """Calls that failed."""
        self.retry_at = 0.0
        """Not to be asked before this monotonic time."""

    @property
    def resting(self) -> bool:
        """Whether the broker is left alone for now."""
        return self._clock.monotonic() < self.retry_at

    def failed(self, error: BrokerError) -> None:
        """Keep everything, and try again a little later, and later."""
        now = self._clock.monotonic()
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now
            self._say(f"{error} The worker keeps its outcomes and tries again.")
        elif type(error) not in self._reasons:
            # A connection that breaks is often only the first sign: what follows tells what to do about it.
            self._say(f"The broker still fails: {error}")
        self._reasons.add(type(error))
        if now < self.retry_at:
            # A heartbeat, which waits for nothing: it must not put off everything else for ever.
            return
        self._patience = min(2.0 * self._patience or _FIRST, _LONGEST)
        self.retry_at = now + self._patience
        self._reactor.at(self.retry_at)

    def answered(self) -> None:
        """All is well again."""
        if self.failing_since is not None:
            self.failing_since, self._patience, self.retry_at = None, 0.0, 0.0
            self._reasons.clear()
            self._say("The broker answers again.")
