"""Ready jobs whose text is no text: written by hand, or by another program. No claim gets past one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.brokers.sqlite.ledger import Ledger
from qtool.engine.brokers.sqlite.rows import spelled
from qtool.engine.brokers.sqlite.store import SQL, Row, Store
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from qtool.errors import BrokerError


def park(store: Store, now: float) -> int:
    """End them as dead (undecodable), the bytes that are not UTF-8 spelled out: how many. Raises BrokerError.

    It looks at every job that is ready, once for each that somebody has broken.
    """
    ledger = Ledger(now)
    with store.write(durable=False) as db:
        bad = [row for row in db.execute(SQL["ready_bytes"]) if not _readable(row[3:])]
        for seq, queue, held, *texts in bad:
            id, task, key, body, options = (None if each is None else spelled(each) for each in texts)
            values = {"id": id, "task": task, "key": key, "body": body, "options": options}
            why = "The job's row cannot be read: it holds bytes that are not UTF-8."
            parked = {"state": State.DEAD, "reason": Reason.UNDECODABLE, "message": why, "now": now, "seq": seq}
            db.execute(SQL["park"], values | parked)
            ledger.leave(queue, State.READY, key, held)
            ledger.arrive(queue, State.READY, State.DEAD)
        ledger.write(db)
    return len(bad)


def _readable(texts: Row) -> bool:
    return all(each is None or spelled(each).encode() == each for each in texts)


def is_no_text(error: BrokerError) -> bool:
    """Whether this is what came of it: a row holds bytes that are not UTF-8."""
    return isinstance(error.__cause__, UnicodeDecodeError)
