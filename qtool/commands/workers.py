"""``qtool workers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qtool.errors import AmbiguousWorker, ExitCode, UnknownWorker
from qtool.options import Common
from qtool.views.workers import SCALED, WORKERS, ScaleRow, WorkerRow

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector, WorkerInfo

ROW = (WorkerRow, ScaleRow)
EXAMPLES = """
qtool workers
qtool workers -o json | jq '[.[] | select(.state == "silent")]'
qtool workers scale 019ab3c2 4      # four jobs at once from now on
qtool workers scale 019ab3c2 2:8    # between two and eight, as the load asks for
"""


def command() -> None:
    """Who runs jobs, and what they are busy with."""


def list_(common: Common) -> None:
    """Who runs jobs, and what they are busy with."""
    out = common.out()
    with common.adapter() as adapter:
        snapshot, unseen = adapter.inspector.snapshot(), adapter.capabilities.unseen
    if not snapshot.workers and unseen:
        out.note(unseen)
    out.rows(WORKERS, (WorkerRow.of(worker, snapshot.at) for worker in snapshot.workers))


def scale(
    common: Common,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="A worker's id, or the beginning of it.")],
    slots: Annotated[str, typer.Argument(metavar="N|MIN:MAX", help="How many jobs it runs at once.")],
) -> int:
    """Have a running worker run more jobs at once, or fewer.

    It does so within a second. Jobs that run are never stopped for it: a smaller pool lets them end first. What is
    said here holds until the worker ends.
    """
    from qtool.engine.sizes import parse_slots

    least, most = parse_slots(slots)
    with common.adapter(write=True) as adapter:
        found = find_worker(adapter.inspector, worker)
        known = adapter.operator.scale(found.id, least, most)
    if not known:
        raise UnknownWorker(id=worker)
    common.out(keep_going=True).rows(SCALED, [ScaleRow.of(found, least, most)])
    return ExitCode.OK


def find_worker(inspector: Inspector, prefix: str) -> WorkerInfo:
    """The one worker whose id begins with ``prefix``. Raises UnknownWorker, AmbiguousWorker."""
    # People copy what a table has cut.
    wanted = prefix.rstrip("…")
    found = [worker for worker in inspector.snapshot().workers if wanted and worker.id.startswith(wanted)]
    if not found:
        raise UnknownWorker(id=prefix)
    if len(found) > 1:
        raise AmbiguousWorker(id=prefix)
    return found[0]


VERBS = {"list": list_, "scale": scale}
