"""Following what a job writes, as it writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.states import FINAL
from qtool.engine.waiting import POLL_SECONDS
from qtool.errors import UnknownJob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.broker import Adapter
    from qtool.engine.job import Chunk


def follow_output(adapter: Adapter, id: str, *, attempt: int | None = None) -> Iterator[Chunk]:
    """Pieces of output as they are stored, until the job has ended; a retry goes on with the next attempt's.

    A job that has not started yet is waited for. With ``attempt`` it ends with that attempt. Raises UnknownJob,
    BrokerError.
    """
    bell = adapter.broker.listen("finished")
    at, offset = attempt, 0
    try:
        while True:
            # The state is read before the output: what is written in between is still picked up.
            (job,) = adapter.inspector.get([id])
            if job is None:
                raise UnknownJob(id=id)
            if at is None and job.attempt:
                at = job.attempt
            if at is not None:
                for chunk in adapter.results.output(id, attempt=at, after=offset):
                    offset = max(offset, chunk.offset + len(chunk.data))
                    yield chunk
                if attempt is None and job.attempt > at:
                    at, offset = at + 1, 0
                    continue
                if attempt is not None and job.attempt > attempt:
                    return
            if job.state in FINAL:
                return
            bell.wait(POLL_SECONDS)
    finally:
        bell.close()
