"""``qtool queues``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.options import Common, Queues, split_names
from qtool.views import QUEUES, QueueRow

ROW = QueueRow
EXAMPLES = """
qtool queues
qtool queues -Q email -o json | jq '.[].ready'
watch -n1 -c qtool queues --color always
"""


def command(
    common: Common,
    queue: Queues = None,
    all: Annotated[bool, typer.Option("-a", "--all", help="Also queues that are empty and idle.")] = True,
) -> None:
    """What is in the queues, how fast it moves, and when it will be done."""
    out = common.out()
    only = split_names(queue)
    with common.adapter() as adapter:
        snapshot = adapter.inspector.snapshot()
    rows = (
        QueueRow.of(stats, sum(not worker.queues or stats.name in worker.queues for worker in snapshot.workers))
        for stats in snapshot.queues
        if not only or stats.name in only
    )
    out.rows(QUEUES, rows)
