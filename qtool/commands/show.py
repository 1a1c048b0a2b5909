"""``qtool show``."""

from __future__ import annotations

from qtool.options import Common, JobId
from qtool.output import Format
from qtool.views.jobs import JOB, JobDetail

ROW = JobDetail
EXAMPLES = """
qtool show 019ab3c2-7f10-7000
qtool show 019ab3c2-7f10-7000 -o json | jq '.[0].error.traceback'
"""


def command(common: Common, id: JobId) -> None:
    """Everything about one job."""
    from qtool.acting import resolve

    out = common.out()
    with common.adapter() as adapter:
        (full,) = resolve(adapter.inspector, [id])
        (job,) = adapter.inspector.get([full])
        assert job is not None
        row = JobDetail.with_attempts(job, adapter.inspector.attempts(full))
        (result,) = adapter.results.results([full])
    if out.format is not Format.TABLE:
        out.rows(JOB, [row])
        return
    from qtool.views.card import print_card

    print_card(row, result.value if result is not None else None, out.console())
