"""What time does to jobs: due ones become ready, overdue ones expire, old ones are pruned, history thins out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.limits import Gates
from qtool.engine.brokers.sqlite.store import SQL, Row, Store, rows
from qtool.engine.notes import NOTES_KEEP
from qtool.engine.rollup import HISTORY_KEEP, THINNING, floor_to
from qtool.engine.states import FINAL, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from qtool.engine.policy import Retention

STRETCH = 1000
"""Rows a transaction of upkeep touches at most, so that nobody waits long for the write lock."""


def anything_to_claim(store: Store, now: float, monotonic: float, queues: Sequence[str]) -> bool:
    """Whether a claim would find something, without taking the write lock: idle workers must not queue for it."""
    with store.read() as db:
        if any(True for _ in Gates(db, monotonic).open_queues(queues)):
            return True
        due = db.execute(SQL["next_due"]).get
        return isinstance(due, float) and due <= now


def advance(store: Store, now: float) -> tuple[int, int, float | None]:
    """Promote and expire what ``now`` asks for: how many of each, and when the next job is due."""
    promoted = expired = 0
    while True:
        with store.read() as db:
            next_due = db.execute(SQL["next_due"]).get
            waiting = db.execute(SQL["overdue"], {"now": now}).fetchone() is not None
        due = next_due if isinstance(next_due, float) else None
        if not waiting and (due is None or due > now):
            return promoted, expired, due
        ledger = Ledger(now)
        with store.write(durable=False) as db:
            expired += expire(db, now, ledger)
            promoted += promote(db, now, ledger)
            ledger.write(db)


def promote(db: apsw.Connection, now: float, ledger: Ledger) -> int:
    """A stretch of due jobs becomes ready; how many."""
    promoted = 0
    for queue, state, count in rows(db, "due_states", {"now": now}):
        ledger.move(queue, state, State.READY, count)
        promoted += count
    if promoted:
        db.execute(SQL["due"], {"now": now})
    return promoted


def expire(db: apsw.Connection, now: float, ledger: Ledger) -> int:
    """A stretch of overdue jobs expires; how many."""
    overdue = rows(db, "overdue", {"now": now})
    for seq, queue, state, key, held in overdue:
        db.execute(SQL["finish_pending"], {"state": "expired", "now": now, "seq": seq})
        ledger.leave(queue, state, key, held)
        ledger.arrive(queue, state, State.EXPIRED)
    return len(overdue)


def prune(store: Store, now: float, retention: Retention) -> int:
    """Delete a stretch of finished jobs that are kept no longer; how many went.

    Jobs are looked at in the order of enqueueing, a thousand a queue and state: one that finished long after its
    neighbours keeps a few of them company a little longer, and no index has to be kept by the time of finishing.
    """
    with store.read() as db:
        runs = [(queue, State(state)) for queue, state, n in rows(db, "counters") if n and State(state) in FINAL]
        old: list[Row] = []
        for queue, final in runs:
            if (keep := retention.seconds(final)) is not None:
                wanted = {"queue": queue, "state": str(final), "before": now - keep}
                old += rows(db, "old_finished", wanted)
                if len(old) >= STRETCH:
                    break
    old = old[:STRETCH]
    if old:
        ledger = Ledger(now)
        with store.write(durable=False) as db:
            for seq, queue, state in old:
                # Looked at again by its state: an operator may have restarted it meanwhile.
                if db.execute(SQL["state_of"], (seq,)).get == state:
                    forget_job(db, seq)
                    ledger.move(queue, state, None)
            ledger.write(db)
    return len(old)


def forget_job(db: apsw.Connection, seq: int) -> None:
    """Remove a job with its output and history."""
    for statement in ("delete_job", "delete_attempts", "delete_output"):
        db.execute(SQL[statement], (seq,))


def thin_history(store: Store, now: float) -> None:
    """Seconds become minutes, minutes become hours, and what is older than the history is kept is dropped.

    With it go notes as old, and the counters of queues that are empty: names that are used once do not add up.
    """
    with store.write(durable=False) as db:
        narrow = 1
        for wide, age in THINNING:
            bounds = {"span": wide, "from_span": narrow, "before": floor_to(now - age, wide)}
            db.execute(SQL["thin"], bounds)
            db.execute(SQL["drop_rollups"], {"span": narrow, "before": bounds["before"]})
            narrow = wide
        db.execute(SQL["drop_rollups"], {"span": narrow, "before": int(now - HISTORY_KEEP)})
        db.execute(SQL["drop_notes"], (now - NOTES_KEEP,))
        db.execute(SQL["drop_counters"])
