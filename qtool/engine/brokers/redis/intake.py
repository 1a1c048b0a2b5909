"""How jobs come in: batches, each whole or not at all."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from qtool.engine.broker import Receipt
from qtool.engine.celery.message import encode_message, moment
from qtool.engine.job import PRIORITIES, Job
from qtool.engine.signing import signed
from qtool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qtool.engine.brokers.redis.scripts import Call
    from qtool.engine.brokers.redis.store import Store


def row(job: Job, now: float) -> tuple[Any, ...]:
    """What ``enqueue.lua`` takes, of a job whose message can be made."""
    run_at, expires_at, key = job.run_at, job.expires_at, job.key
    return (
        job.id,
        job.queue,
        job.task,
        str(job.priority),
        moment(job.created_at),
        repr(run_at) if run_at is not None and run_at > now else False,
        repr(expires_at) if expires_at is not None else False,
        job.unique if job.unique is not None else False,
        key if key is not None else False,
        job.key_limit,
    )


def enqueue(store: Store, jobs: Sequence[Job]) -> Receipt:
    """See :meth:`qtool.engine.broker.Broker.enqueue`."""
    if not jobs:
        return Receipt(())
    _, arguments, raw = _call(store, jobs)
    return _receipt(jobs, store.call("enqueue", *arguments, raw=raw))


def stream(store: Store, batches: Iterable[Sequence[Job]]) -> Iterator[Receipt]:
    """See :attr:`qtool.engine.broker.Adapter.stream`."""
    batch: deque[Sequence[Job]] = deque()

    def calls() -> Iterator[Call]:
        for jobs in batches:
            if jobs:
                batch.append(jobs)
                yield _call(store, jobs)

    for known in store.stream("enqueue", calls()):
        yield _receipt(batch.popleft(), known)


def _call(store: Store, jobs: Sequence[Job]) -> Call:
    """What ``enqueue.lua`` is called with. Raises NotSerialisable, PayloadTooLarge, UsageError."""
    now, key, url = store.clock.now(), store.key, store.url
    jobs = [signed(job, key, url) for job in jobs]
    for job in jobs:
        if job.priority not in PRIORITIES:
            raise UsageError(why=f"The priority of a job is 0 to {PRIORITIES[-1]}, not {job.priority!r}.")
    messages = [encode_message(job) for job in jobs]
    rows = [row(job, now) for job in jobs]
    # Messages that are all new, as far as the batch can tell, are kept by one command.
    alone = all(job.unique is None for job in jobs) and len({job.id for job in jobs}) == len(jobs)
    return now, (rows, alone), messages


def _receipt(jobs: Sequence[Job], known: list[Any]) -> Receipt:
    ids = [job.id for job in jobs]
    existing = set()
    for n in range(0, len(known), 2):
        ids[known[n]] = known[n + 1].decode()
        existing.add(ids[known[n]])
    return Receipt(tuple(ids), frozenset(existing))
