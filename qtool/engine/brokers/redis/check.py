"""Whether what stands in the server agrees with itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from redis import exceptions

from qtool.engine.brokers.redis.records import text
from qtool.engine.names import few
from qtool.engine.states import State

if TYPE_CHECKING:
    from qtool.engine.brokers.redis.store import Store

PIECE = 2000
"""Records that are counted in one go."""

NAMED = 3
"""Jobs that a sentence names."""

INDEXED = frozenset({State.RUNNING, State.SCHEDULED, State.RETRY, State.DEAD, State.CANCELLED, State.EXPIRED})
"""States whose records have an index of their own."""


def check(store: Store) -> list[str]:
    """What is wrong, in sentences. Jobs that move meanwhile are no fault. Raises redis-py's errors."""
    wrong = _check(store) + _evicting(store)
    # What moved while it was counted looks wrong once; what is wrong stays.
    return [each for each in _check(store) + _evicting(store) if each in wrong] if wrong else []


def _evicting(store: Store) -> list[str]:
    """Where the server would rather lose keys than refuse new ones; nothing where this user may not see that."""
    try:
        said: Any = store.client.info("memory")
    except exceptions.NoPermissionError:
        return []
    policy = str(said.get("maxmemory_policy", "noeviction"))
    if not said.get("maxmemory") or not policy.startswith("allkeys"):
        return []
    return [
        f"the server throws keys away when its memory is full, jobs among them (maxmemory-policy is {policy}): "
        "set it to noeviction"
    ]


def _check(store: Store) -> list[str]:
    client, layout = store.client, store.layout
    counted: Counter[str] = Counter()
    odd: dict[str, list[str]] = {
        "in the index of all, without a record": [],
        "running, and not claimed": [],
        "unfinished, while another job holds the unique key": [],
    }
    after: bytes | str = "-inf"
    while after:
        after, flat, *strange = store.scripts.run(
            "recount", (layout.jobs,), (after, PIECE, layout.records, layout.unacked, layout.unique(""))
        )
        counted.update({text(name): n for name, n in zip(flat[::2], flat[1::2], strict=True)})
        for ids, found in zip(strange, odd.values(), strict=True):
            found += [text(id) for id in ids]
    wrong = [
        f"{len(ids)} {'job is' if len(ids) == 1 else 'jobs are'} {what}: {few(ids, NAMED)}"
        for what, ids in odd.items()
        if ids
    ]
    wrong += _miscounted(store, counted)
    for state in sorted(INDEXED):
        there = sum(n for name, n in counted.items() if name.startswith(f"{state}\n"))
        if there != (indexed := client.zcard(layout.inside(state))):
            wrong.append(f"the index of {state} jobs has {indexed} of them, there are {there}")
    return wrong


def _miscounted(store: Store, counted: Counter[str]) -> list[str]:
    client, layout = store.client, store.layout
    said: Counter[str] = Counter()
    for queue in sorted(text(name) for name in client.smembers(layout.queues)):
        for state, n in client.hgetall(layout.counts(queue)).items():
            said[f"{text(state)}\n{queue}"] = int(n)
    said.update({f"key\n{text(key)}": int(n) for key, n in client.hgetall(layout.keys).items()})
    return [
        f"the count of running jobs with key {name!r} says {said[each]}, there are {counted[each]}"
        if state == "key"
        else f"the counter of {state} jobs in queue {name} says {said[each]}, there are {counted[each]}"
        for each in sorted(set(said) | set(counted))
        if said[each] != counted[each]
        for state, _, name in [each.partition("\n")]
    ]
