"""``qtool wait``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from qtool.engine.broker import Adapter
from qtool.engine.job import Result
from qtool.engine.states import Reason, State
from qtool.engine.waiting import as_they_end
from qtool.errors import ExitCode, QtoolError, UsageError, WaitTimedOut
from qtool.options import Common, JobIds
from qtool.output import Output
from qtool.views.ends import ENDS, EndRow

ROW = EndRow
EXAMPLES = """
qtool wait 019ab3c2-7f10-7000
qtool enqueue -- make test | qtool wait --timeout 10m
qtool wait --any $(cat ids.txt)
"""


def command(
    common: Common,
    ids: JobIds = None,
    first: Annotated[bool, typer.Option("--any", help="Only until the first of them has ended.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="No longer than 30s, 5m …; then exit 124.")
    ] = None,
) -> int:
    """Wait until jobs have ended.

    Ids come from the command line, or from stdin when there are none. The exit code of one job is passed on: that of a
    command, 128 and the signal's number if a signal ended it, 124 if it ran out of its time, 1 for any other failure.
    Several jobs exit with 0 if all succeeded, 3 if some did, 1 if none. Errors of qtool itself exit with 125, a wait
    that takes too long with 124.
    """
    from qtool.acting import resolve
    from qtool.engine.times import parse_duration
    from qtool.options import read_ids

    seconds = parse_duration(timeout) if timeout else None
    typed = list(dict.fromkeys(read_ids(ids or ["-"])))
    if not typed:
        raise UsageError(why="No ids to wait for, neither on the command line nor on stdin.")
    # The exit code is still to come when nobody reads the rows any more.
    out = common.out(keep_going=True)
    ended: dict[str, Result] = {}
    try:
        with common.adapter() as adapter:
            wanted = resolve(adapter.inspector, typed)
            out.rows(ENDS, _ends(adapter, wanted, seconds, first, out, ended))
    except (UsageError, WaitTimedOut):
        raise
    except QtoolError as error:
        error.exit_code = ExitCode.INTERNAL
        raise
    codes = [passed_on(result) for result in ended.values()]
    if len(codes) == 1:
        return codes[0]
    return ExitCode.OK if not any(codes) else ExitCode.FAILED if all(codes) else ExitCode.PARTLY


def passed_on(result: Result) -> int:
    """The exit code that stands for how a job ended."""
    if result.state is State.SUCCEEDED:
        return 0
    if result.reason is Reason.TIMEOUT:
        return ExitCode.TIMED_OUT
    error = result.error
    if error is not None and error.signal:
        return 128 + error.signal
    return error.exit_code or ExitCode.FAILED if error is not None else ExitCode.FAILED


def _ends(
    adapter: Adapter, ids: list[str], timeout: float | None, first: bool, out: Output, ended: dict[str, Result]
) -> Iterator[EndRow]:
    with out.progress("ended", len(ids)) as progress:
        for result in as_they_end(
            adapter, ids, timeout=timeout, tick=lambda: progress.update(len(ended)), say=out.warn
        ):
            ended[result.id] = result
            yield end_row(result)
            out.flush()
            if first:
                return


def end_row(result: Result) -> EndRow:
    """The row of a job that ended."""
    from qtool.views.jobs import Error

    ran = result.state is State.SUCCEEDED or (
        result.error is not None and (result.error.exit_code is not None or result.error.signal is not None)
    )
    return EndRow(
        id=result.id,
        state=result.state,
        reason=result.reason,
        error=Error.of(result.error),
        exit_code=passed_on(result) if ran else None,
    )
