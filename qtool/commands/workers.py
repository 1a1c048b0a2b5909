"""``qtool workers``."""

from __future__ import annotations

from qtool.options import Common
from qtool.views.workers import WORKERS, WorkerRow

ROW = WorkerRow
EXAMPLES = """
qtool workers
qtool workers -o json | jq '[.[] | select(.state == "silent")]'
"""


def command(common: Common) -> None:
    """Who runs jobs, and what they are busy with."""
    out = common.out()
    with common.adapter() as adapter:
        snapshot = adapter.inspector.snapshot()
    out.rows(WORKERS, (WorkerRow.of(worker, snapshot.at) for worker in snapshot.workers))
