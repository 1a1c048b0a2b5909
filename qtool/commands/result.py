"""``qtool result``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qtool.engine.states import FINAL, State
from qtool.errors import ExitCode
from qtool.options import Common, JobId

ROW = Any
EXAMPLES = """
qtool result 019ab3c2-7f10-7000
qtool result --wait --timeout 30s "$(qtool enqueue thumbs.make photo.jpg)" | jq .width
"""


def command(
    common: Common,
    id: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Wait no longer than 30s, 5m …; then exit 124.")
    ] = None,
) -> int:
    """What a job returned.

    The value is printed as JSON. Exits with 1 and the error on stderr if the job failed, with 4 if there is no such
    job.
    """
    from qtool.acting import resolve
    from qtool.engine.times import parse_duration
    from qtool.engine.waiting import as_they_end

    out = common.out()
    seconds = parse_duration(timeout) if timeout else None
    with common.adapter() as adapter:
        (full,) = resolve(adapter.inspector, [id])
        if wait or timeout:
            (result,) = as_they_end(adapter, [full], timeout=seconds, say=out.warn)
        else:
            (found,) = adapter.results.results([full])
            assert found is not None
            result = found
    if result.state is State.SUCCEEDED:
        out.value(result.value)
        return ExitCode.OK
    if result.state not in FINAL:
        out.warn(f"job {full} has no result yet: it is {result.state}. --wait waits for it.")
        return ExitCode.FAILED
    reason = f" ({result.reason})" if result.reason else ""
    out.warn(f"job {full} is {result.state}{reason}{f': {result.error}' if result.error else ''}")
    if result.error and result.error.traceback and common.verbose:
        out.warn(result.error.traceback)
    return ExitCode.FAILED
