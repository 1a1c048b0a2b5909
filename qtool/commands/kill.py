"""``qtool kill``."""

from __future__ import annotations

from qtool.options import Common, DryRun, JobIds, NoWait, Wait, Where, Yes
from qtool.views.reports import ReportRow

ROW = ReportRow
EXAMPLES = """
qtool kill 019ab3c2-7f10-7000
qtool jobs -w 'state:running age>1h' -o ids | qtool kill -
qtool kill -w 'queue:bulk' --dry-run
qtool kill -w 'queue:bulk' -y
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
    """Kill running jobs at once, without asking them to stop.

    A command is killed with everything it started that stayed in its process group, a task in the process pool with
    its process. In a thread or async pool no task can be killed alone: it is interrupted, and if it goes on after
    --wait the report says so and the exit code is 3.

    Killed jobs are cancelled, and so are those that have not started; 'qtool retry' brings them back. A filter that
    names no state means what is running.
    """
    from qtool.acting import run, waiting_time
    from qtool.verbs import KILL

    return run(KILL, common, ids, where, dry_run=dry_run, yes=yes, wait=waiting_time(wait, no_wait=no_wait))
