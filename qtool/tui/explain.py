"""What the columns say, for the help and for who chooses among them. One heading means one thing everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADS: Mapping[str, str] = {
    # queues
    "QUEUE": "the queue; ‖: it is paused",
    "READY": "jobs that could start now",
    "HELD": "ready jobs that a limit keeps from starting",
    "RUN": "jobs that run",
    "SCHED": "jobs that wait for their time",
    "RETRY": "jobs that failed and wait for their next try",
    "DEAD": "jobs that will not run again by themselves",
    "OK": "jobs that succeeded",
    "OLDEST": "how long the oldest ready job has been waiting",
    "IN/s": "jobs enqueued a second, over the last minute",
    "OUT/s": "jobs ended a second, over the last minute",
    "WAIT50": "from ready to started: half of the jobs waited no longer",
    "WAIT95": "from ready to started: 95 of 100 waited no longer",
    "RUN50": "from started to ended: half of the jobs took no longer",
    "RUN95": "from started to ended: 95 of 100 took no longer",
    "DRAIN": "until it is empty at these rates; ∞: it does not shrink",
    "FAIL/m": "jobs that died in the last minute",
    "LIMIT": "how many may run at once, and start a second",
    "WRK": "workers that serve it",
    "LAST MINUTE": "jobs ended, a bar for four seconds",
    # workers
    "WORKER": "the worker's id",
    "STATE": "what state it is in",
    "HOST": "the computer it runs on",
    "PID": "its process there",
    "POOL": "in what its jobs run: process, thread or async",
    "SLOTS": "busy slots of all; …N: it may grow to N",
    "FAILED": "runs that failed",
    "MEM": "memory of it and its children, on this computer",
    "CPU": "processor of it and its children; 100 % is one core",
    "UP": "since when it has been running",
    "SEEN": "when it last gave a sign of life",
    "QUEUES": "the queues it serves",
    "RUNS": "what it runs, the longest first",
    # jobs
    "JOB": "the beginning of the job's id",
    "SINCE": "how long it has been running",
    "TRY": "how many times it has been started",
    "DONE": "how far it says it is",
    "WHAT": "the task with its arguments, or the command",
    "SAYS": "what it last said",
}
