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
    "QUEUES": "the queues it serves, or that it is about",
    "RUNS": "what it runs, the longest first",
    # jobs
    "ID": "the beginning of the job's id",
    "JOB": "the task with its arguments, or the command",
    "AGE": "how long ago it was enqueued",
    "TOOK": "how long its last run took, or has been going on",
    "TRY": "how many times it has been started",
    "WHY": "what it died of, what it waits for, or what it last said",
    "SINCE": "how long it has been running",
    "DONE": "how far it says it is",
    "SAYS": "what it last said",
    # dead letters
    "COUNT": "dead jobs that died of the same",
    "FIRST": "how long ago the first of them died",
    "LAST": "how long ago the last of them died",
    "WHEN": "how many of them died when, the last at the right",
    "ERROR": "the type of the error",
    "WHERE": "where in the tasks' own code it came from",
    "MESSAGE": "its message, without what varies",
    "TASKS": "the tasks that died of it, the most frequent first",
    "REASON": "why they will not run again",
    "DIED": "how long ago the job died",
    "SAID": "the message of its error, with what varies",
    # events
    "TIME": "when it happened",
    "EVENT": "what happened",
    "WHAT": "to which job",
}
