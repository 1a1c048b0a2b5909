"""Commands that come over a network: who may write to the broker is not yet who may run programs on its workers.

On the embedded file its permissions are the lock. Where others can write to the broker, a command job carries an
HMAC-SHA-256 (RFC 2104) by a key that its producer and the workers share, over what it does: its id, task, arguments,
policy, tags and parents. Not signed is the queue, which an operator may change. Whoever can read the broker can put the
same job there again, with the same id: what ran once may be made to run twice, but nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from qtool.engine.codec import encode_options
from qtool.engine.job import EXEC, Job
from qtool.engine.value import Value
from qtool.errors import KeyNeeded

if TYPE_CHECKING:
    from qtool.engine.job import Lease

SIGNATURE = "signature"
"""Its name among the fields of a job, and among its options."""


def signed(job: Job, key: str | None, url: str) -> Job:
    """The job as it may go to a network broker at ``url``. Raises KeyNeeded for a command where there is no key."""
    if job.task != EXEC:
        return job
    if not key:
        raise KeyNeeded(url=url)
    options = encode_options(job)
    said = json.loads(options) if options is not None else {}
    said.pop(SIGNATURE, None)
    signature = _signature(key, job.id, job.task, [list(job.args), dict(job.kwargs)], said)
    return Job(**({name: getattr(job, name) for name in Job.__slots__} | {SIGNATURE: signature}))


class Guard(Value):
    """What a worker of a network broker holds a command against."""

    url: str
    allowed: bool
    """``--allow-exec``."""
    key: str | None

    def refusal(self, lease: Lease) -> str | None:
        """Why the command is not to be run; None if it may be."""
        if not self.allowed:
            return "commands that come from a network broker run only at a worker with --allow-exec"
        if not self.key:
            return "this worker has no key to check commands with: set QTOOL_KEY, or 'key' of its context"
        try:
            said = json.loads(lease.options) if lease.options is not None else {}
            body = json.loads(lease.body)
            found = said.pop(SIGNATURE, None)
            wanted = _signature(self.key, lease.id, lease.task, body[:2], said)
        except (ValueError, AttributeError, TypeError, RecursionError):
            return "it cannot be read"
        if not isinstance(found, str):
            return "it is not signed: its producer has no key"
        if not hmac.compare_digest(found.encode(), wanted.encode()):
            return "its signature is wrong: another key, or it was changed on its way"
        return None


def _signature(key: str, id: str, task: str, body: Any, options: dict[str, Any]) -> str:
    # One text for the same values, however they were spelled on the way.
    said = json.dumps([id, task, body, options], sort_keys=True, separators=(",", ":"))
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()
