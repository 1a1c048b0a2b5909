"""How jobs come in: batches, each whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.engine.broker import Receipt
from qtool.engine.celery.message import encode_message
from qtool.engine.job import PRIORITIES, Job
from qtool.engine.signing import signed
from qtool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.engine.brokers.redis.store import Store

AT_ONCE = 1000
"""Jobs in one script where the batch is larger: nothing holds the server for long."""


def row(job: Job, now: float) -> tuple[Any, ...]:
    """What ``enqueue.lua`` takes. Raises NotSerialisable, PayloadTooLarge, UsageError."""
    if job.priority not in PRIORITIES:
        raise UsageError(why=f"The priority of a job is 0 to {PRIORITIES[-1]}, not {job.priority!r}.")
    run_at, expires_at, key = job.run_at, job.expires_at, job.key
    return (
        job.id,
        job.queue,
        job.task,
        str(job.priority),
        repr(job.created_at),
        repr(run_at) if run_at is not None and run_at > now else False,
        repr(expires_at) if expires_at is not None else False,
        job.unique if job.unique is not None else False,
        key if key is not None else False,
        job.key_limit,
        encode_message(job).decode("ascii"),
    )


def enqueue(store: Store, jobs: Sequence[Job]) -> Receipt:
    """See :meth:`qtool.engine.broker.Broker.enqueue`."""
    if not jobs:
        return Receipt(())
    now = store.clock.now()
    rows = [row(signed(job, store.key, store.url), now) for job in jobs]
    ids = [job.id for job in jobs]
    existing = set()
    known: list[Any] = store.call("enqueue", rows)
    for n in range(0, len(known), 2):
        ids[known[n]] = known[n + 1].decode()
        existing.add(ids[known[n]])
    return Receipt(tuple(ids), frozenset(existing))
