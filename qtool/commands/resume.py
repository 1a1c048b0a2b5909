"""``qtool resume``."""

from __future__ import annotations

from qtool.options import Common, QueueNames
from qtool.views.reports import PAUSES, PauseRow

ROW = PauseRow
EXAMPLES = """
qtool resume email
qtool queues -o json | jq -r '.[] | select(.paused) | .queue' | xargs qtool resume
"""


def command(common: Common, queues: QueueNames) -> None:
    """Start jobs of a paused queue again."""
    out = common.out(keep_going=True)
    with common.adapter(write=True) as adapter:
        out.rows(
            PAUSES, [PauseRow(queue=queue, paused=False, changed=adapter.operator.resume(queue)) for queue in queues]
        )
