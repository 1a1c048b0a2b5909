"""``qtool cancel``."""

from __future__ import annotations

from qtool.options import Common, DryRun, JobIds, NoWait, Wait, Where, Yes
from qtool.views.reports import ReportRow

ROW = ReportRow
EXAMPLES = """
qtool cancel 019ab3c2-7f10-7000
qtool cancel -w 'queue:bulk state:ready' --dry-run
qtool cancel -w 'queue:bulk state:ready' -y
qtool cancel -w 'state:running age>1h' -y --wait 1m
"""


def command(
    common: Common,
    ids: JobIds = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = "10s",
    no_wait: NoWait = False,
) -> int:
    """Cancel jobs that wait, and ask running ones to stop.

    A running command gets TERM, a task JobCancelled; in the process pool what has not ended five seconds later is
    killed. The report says what became of each; one that still runs after --wait is reported as that, with the reason
    if its worker gave one, and the exit code is 3. What is asked to stop stays asked.

    A cancelled job can be brought back with 'qtool retry'. A filter that names no state means all that have not ended.
    """
    from qtool.acting import run, waiting_time
    from qtool.verbs import CANCEL

    return run(CANCEL, common, ids, where, dry_run=dry_run, yes=yes, wait=waiting_time(wait, no_wait=no_wait))
