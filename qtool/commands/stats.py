"""``qtool stats``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.options import Common, Queues, split_names
from qtool.views.history import STATS, StatsRow

ROW = StatsRow
EXAMPLES = """
qtool stats
qtool stats --since 24h --step 1h -Q email
qtool stats --since 10m --step 10s -o csv > last-ten-minutes.csv
"""


def command(
    common: Common,
    queue: Queues = None,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back to look: 10m, 24h, 7d …")
    ] = "1h",
    step: Annotated[
        str | None, typer.Option("--step", metavar="DURATION", help="The length of a line: 10s, 1m, 1h …")
    ] = None,
) -> None:
    """What happened, over time.

    Without --step about twenty lines a queue. The past is kept by the second at first, then by the minute and the hour,
    so lines far back may be longer than asked for.
    """
    import time

    from qtool.engine.times import parse_duration

    back = parse_duration(since)
    seconds = max(round(parse_duration(step)), 1) if step else _step(back)
    out = common.out()
    now = time.time()
    with common.adapter() as adapter, out.busy("reading"):
        buckets = adapter.inspector.history(now - back, now, seconds=seconds, queues=split_names(queue))
        if not buckets and adapter.capabilities.unseen:
            out.note(adapter.capabilities.unseen)
    out.rows(STATS, map(StatsRow.of, buckets))


_STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 6 * 3600, 86400)


def _step(back: float) -> int:
    """The round number of seconds that makes about twenty lines of ``back`` seconds."""
    return next((step for step in _STEPS if back / step <= 24), _STEPS[-1])
