"""The mixed load: what is enqueued, and as what it may end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtool.engine.job import EXEC, Job, Policy
from qtool.engine.states import Reason, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

QUEUES = ("a", "b", "c")
CRASHING = "crashing"
"""Jobs that take their process down: only workers with a process pool serve it, for threads share one."""
BIN = "bin"
"""What nobody serves: it is there to be purged."""

COMMAND = """
mark() { echo "$1 $QTOOL_JOB_ID $QTOOL_ATTEMPT $SOAK_MEMBER $$" >>"$SOAK_DIRECTORY/effects"; }
exec 9>>"$SOAK_DIRECTORY/running/$QTOOL_JOB_ID"
flock -n 9 || mark '!'
mark +
%s
mark -
"""
"""A command that leaves the same lines in the effect log as a task; what it does goes in the middle."""

End = tuple[State, Reason | None]
SUCCEEDED: End = (State.SUCCEEDED, None)
FAILED: End = (State.DEAD, Reason.FAILED)

Fields = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """Jobs of one sort."""

    name: str
    weight: int
    make: Callable[[Random, float], Fields]
    """The fields of a job, from a random source and the time."""
    ends: frozenset[End]
    suicidal: bool = False
    """It may take its process down itself."""
    command: bool = False
    limited: bool = False
    """It runs beside a limited number of its like."""

    def job(self, id: str, random: Random, now: float) -> Job:
        """One job of this kind."""
        fields: Fields = {"queue": random.choice(QUEUES), "priority": random.choice((0, 0, 0, 1, 5, 9))}
        return Job(id=id, created_at=now, **(fields | self.make(random, now)))


def _task(name: str, *args: Any, **more: Any) -> Fields:
    return {"task": f"soaking.load.{name}", "args": args, **more}


def _command(middle: str, **more: Any) -> Fields:
    return {"task": EXEC, "args": (COMMAND % middle,), "kwargs": {"shell": True}, **more}


def _kind(name: str, weight: int, make: Callable[[Random, float], Fields], *ends: End, **more: Any) -> Kind:
    return Kind(name, weight, make, frozenset(ends or (SUCCEEDED,)), **more)


def _seated(random: Random, now: float) -> Fields:
    del now
    number = random.randrange(3)
    key, limit = f"key{number}", 1 + number % 2
    return _task("seated", key, limit, random.uniform(0, 0.2), key=key, key_limit=limit)


KINDS: tuple[Kind, ...] = (
    _kind("no-op", 150, lambda random, _: _task("echo", random.randrange(1_000_000))),
    _kind("slow", 6, lambda random, _: _task("slow", random.expovariate(5.0))),
    _kind("coroutine", 4, lambda random, _: _task("doze", random.uniform(0, 0.5))),
    _kind("output", 4, lambda random, _: _task("talk", random.randrange(1, 20))),
    _kind("failing", 3, lambda _, __: _task("fail", "on purpose", policy=Policy(retries=0)), FAILED),
    _kind(
        "failing, retried",
        3,
        lambda _, __: _task("fail", "on purpose", policy=Policy(retries=2, backoff=0.1)),
        FAILED,
    ),
    _kind("flaky", 3, lambda random, _: _task("flaky", random.randrange(1, 3), policy=Policy(retries=5))),
    _kind("snoozing", 3, lambda _, __: _task("put_off", 0.5)),
    _kind("discarded", 1, lambda _, __: _task("discard"), FAILED, (State.DEAD, Reason.DISCARDED)),
    _kind(
        "overdue",
        1,
        lambda _, __: _task("slow", 60.0, policy=Policy(retries=0, timeout=0.3)),
        (State.DEAD, Reason.TIMEOUT),
    ),
    _kind("scheduled", 4, lambda random, now: _task("echo", 1, run_at=now + random.uniform(0, 5))),
    _kind(
        "expiring",
        2,
        lambda random, now: _task("echo", 1, expires_at=now + random.uniform(0.1, 5)),
        SUCCEEDED,
        (State.EXPIRED, None),
    ),
    _kind("unique", 2, lambda random, _: _task("slow", 0.05, unique=f"u{random.randrange(20)}")),
    _kind("keyed", 6, _seated, limited=True),
    _kind("command", 6, lambda _, __: _command("echo out; echo err >&2"), command=True),
    _kind("command, slow", 2, lambda random, _: _command(f"sleep {random.uniform(0, 1):.3f}"), command=True),
    _kind("command, failing", 2, lambda _, __: _command("exit 3"), FAILED, command=True),
    _kind("command, noisy", 1, lambda _, __: _command("head -c 300000 /dev/zero"), command=True),
    _kind("crashing once", 1, lambda _, __: _task("crash_once", queue=CRASHING), suicidal=True),
    _kind("poison", 1, lambda _, __: _task("poison", queue=CRASHING), (State.DEAD, Reason.CRASHED), suicidal=True),
)
