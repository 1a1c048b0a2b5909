"""``qtool retry``."""

from __future__ import annotations

from qtool.options import Common, DryRun, JobIds, Where, Yes
from qtool.views.reports import ReportRow

ROW = ReportRow
EXAMPLES = """
qtool retry 019ab3c2-7f10-7000
qtool jobs -w 'state:dead error~timeout' -o ids | qtool retry -
qtool retry -w 'queue:email error~timeout' --dry-run
qtool retry -w 'queue:email error~timeout' -y
"""


def command(common: Common, ids: JobIds = None, where: Where = None, dry_run: DryRun = False, yes: Yes = False) -> int:
    """Run ended jobs again.

    They become ready with a fresh budget of retries; their history stays. A filter that names no state means dead
    jobs only: what succeeded is run again only when you say so.
    """
    from qtool.acting import run
    from qtool.verbs import RETRY

    return run(RETRY, common, ids, where, dry_run=dry_run, yes=yes)
