"""``qtool cancel``."""

from __future__ import annotations

from qtool.engine.states import UNFINISHED, State
from qtool.options import Common, DryRun, JobIds, Where, Yes
from qtool.views.reports import ReportRow

ROW = ReportRow
EXAMPLES = """
qtool cancel 019ab3c2-7f10-7000
qtool cancel -w 'queue:bulk state:ready' --dry-run
qtool cancel -w 'queue:bulk state:ready' -y
"""


def command(common: Common, ids: JobIds = None, where: Where = None, dry_run: DryRun = False, yes: Yes = False) -> int:
    """Cancel jobs that wait, and ask running ones to stop.

    A cancelled job can be brought back with 'qtool retry'. A filter that names no state means all that have not ended.
    """
    from qtool.acting import Command

    return Command("cancel", "Cancel {count}", UNFINISHED, State.CANCELLED, default_states=tuple(UNFINISHED)).run(
        common, ids, where, dry_run=dry_run, yes=yes
    )
