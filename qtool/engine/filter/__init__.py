"""The one filter language: ``--where`` in every command, ``/`` in the screen. Parsed once, to SQL or to a predicate.

::

    state:failed queue:email task:send_* age>5m error~timeout args~"@example.com" tag.team=billing
    (state:dead or state:retry) and not queue:bulk

Terms side by side must all hold; ``and`` says the same and binds tighter than ``or``. A word without an operator is
looked for in id, task and arguments.

=====================  ============================================================================================
``field:pattern``      ``*`` is any text, ``?`` one character, both also within quotes; ``a,b`` is either.
                       ``field:*`` asks whether there is one at all.
``=`` ``!=``           the whole text, literally, or the number
``~`` ``!~``           contains, whatever the case of A to Z
``<`` ``<=`` ``>``     numbers, durations (``90s``, ``1h30m``), times (ISO 8601, or from now: ``+5m``, ``-2h``)
``>=``
=====================  ============================================================================================

What a job does not have is equal to nothing, contains nothing and compares with nothing: ``error~x`` leaves out jobs
without an error, and ``not error~x``, ``error!~x``, ``worker!=a`` take them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.filter.nodes import Node, confined_queues, confined_states, counted, possible_states
from qtool.engine.filter.parser import parse_text, quote
from qtool.engine.value import Value

if TYPE_CHECKING:
    from qtool.engine.job import JobInfo
    from qtool.engine.states import State

__all__ = ["Filter", "parse", "quote"]


class Filter(Value):
    """A parsed filter; make one with :func:`parse`."""

    text: str
    root: Node

    def sql(self, now: float) -> tuple[str, list[object]]:
        """A WHERE fragment over the columns of ``jobs``, never NULL, and its parameters in order."""
        params: list[object] = []
        return self.root.sql(now, params), params

    def matches(self, job: JobInfo, now: float) -> bool:
        """Whether the job passes; the same answer as :meth:`sql` gives for its row."""
        return self.root.matches(job, now)

    def queues(self) -> frozenset[str] | None:
        """The queues outside of which certainly nothing matches; None when it may match in any."""
        return confined_queues(self.root)

    def states(self) -> frozenset[State] | None:
        """The states outside of which certainly nothing matches; None when it may match in any."""
        return confined_states(self.root)

    def possible(self) -> frozenset[State] | None:
        """As :meth:`states`, with what no word of it says but follows: ``finished>-1h`` matches only what has ended."""
        return possible_states(self.root)

    @property
    def only_queues_and_states(self) -> bool:
        """Whether the jobs that match are all those in :meth:`queues` and :meth:`states`, so that counters can tell."""
        return counted(self.root)


def parse(text: str) -> Filter:
    """The filter that ``text`` writes. Raises BadFilter, also for an empty one: it would match everything."""
    return Filter(text, parse_text(text))
