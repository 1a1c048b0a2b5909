"""``qtool queues``."""

from __future__ import annotations

from qtool.errors import UnknownQueue
from qtool.options import Common, Queues, split_names
from qtool.views.queues import QUEUES, QueueRow

ROW = QueueRow
EXAMPLES = """
qtool queues
qtool queues -Q email -o json | jq '.[].ready'
watch -n1 -c qtool queues --color always
"""


def command(
    common: Common,
    queue: Queues = None,
) -> None:
    """What is in the queues, how fast it moves, and when it will be done."""
    out = common.out()
    only = split_names(queue)
    with common.adapter() as adapter:
        snapshot = adapter.inspector.snapshot()
    if missing := set(only) - {stats.name for stats in snapshot.queues}:
        raise UnknownQueue(queue=min(missing))
    out.rows(
        QUEUES,
        (
            QueueRow.of(stats, sum(not worker.queues or stats.name in worker.queues for worker in snapshot.workers))
            for stats in snapshot.queues
            if not only or stats.name in only
        ),
    )
