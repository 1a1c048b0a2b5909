"""``qtool pause``."""

from __future__ import annotations

from qtool.options import Common, QueueNames
from qtool.views.reports import PAUSES, PauseRow

ROW = PauseRow
EXAMPLES = """
qtool pause email
qtool pause email bulk
"""


def command(common: Common, queues: QueueNames) -> None:
    """Stop starting jobs of a queue.

    What runs goes on, and jobs may still be enqueued. 'qtool resume' undoes it.
    """
    out = common.out(keep_going=True)
    with common.adapter(write=True) as adapter:
        out.rows(
            PAUSES, [PauseRow(queue=queue, paused=True, changed=adapter.operator.pause(queue)) for queue in queues]
        )
