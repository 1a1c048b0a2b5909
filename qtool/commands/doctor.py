"""``qtool doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.errors import ExitCode
from qtool.options import Common
from qtool.views.setup import CHECKS, GUARANTEES, CheckRow, GuaranteeRow

ROW = (CheckRow, GuaranteeRow)
EXAMPLES = """
qtool doctor
qtool doctor --card
qtool doctor -o json | jq -e 'all(.verdict != "bad")'
"""


def command(
    common: Common,
    card: Annotated[bool, typer.Option("--card", help="Which of the seven guarantees hold on this broker.")] = False,
) -> int:
    """Look for what is wrong, and say what to do.

    Exits with 1 when something is bad; warnings are no failure.
    """
    from qtool.diagnosis import diagnose, guarantees

    out = common.out()
    if card:
        with common.adapter() as adapter:
            out.rows(GUARANTEES, guarantees(adapter.capabilities))
        return ExitCode.OK
    with out.busy("checking"):
        rows = list(diagnose(common))
    out.rows(CHECKS, rows)
    return ExitCode.FAILED if any(row.verdict == "bad" for row in rows) else ExitCode.OK
