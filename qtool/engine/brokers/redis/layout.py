"""The names of the keys; docs/decisions/2026-11-23-how-jobs-stand-in-redis.md says why. common.lua has them, too."""

from __future__ import annotations

from qtool.engine.value import Value

SEPARATOR = "\x06\x16"
"""Between a queue's name and its priority step, and between the parts of a binding (WIRE.md section 2)."""

STEPS = (0, 3, 6, 9)
"""kombu's priority steps: one list each, the first without a suffix; 0 is served first."""


def step_of(priority: int) -> int:
    """The step of a message's priority (0 runs first): the highest that does not exceed it."""
    return STEPS[min(max(priority, 0), 9) // 3]


class Layout(Value):
    """The keys of one database under one prefix."""

    prefix: str
    """Before every key and channel, as Celery's ``global_keyprefix``; often empty."""
    db: int

    # --- Celery's and kombu's ------------------------------------------------------------------------

    def ready(self, queue: str, step: int = 0) -> str:
        """List: ready messages of a step, LPUSH in and RPOP out."""
        return f"{self.prefix}{queue}{SEPARATOR}{step}" if step else f"{self.prefix}{queue}"

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, first served first."""
        return [self.ready(queue, step) for step in STEPS]

    @property
    def unacked(self) -> str:
        """Hash: ``[envelope, exchange, routing_key]`` of what is claimed, by delivery tag."""
        return f"{self.prefix}unacked"

    @property
    def unacked_index(self) -> str:
        """Zset: delivery tag by the time it was delivered; of ours, by the end of the lease."""
        return f"{self.prefix}unacked_index"

    @property
    def bindings(self) -> str:
        """What the keys of bindings begin with; the exchange follows."""
        return f"{self.prefix}_kombu.binding."

    @property
    def results(self) -> str:
        """What the keys of Celery's results begin with; the id follows. The prefix has a rule of its own there."""
        prefix = self.prefix
        return f"{prefix if not prefix or prefix[-1] in ':_-.' else prefix + '_'}celery-task-meta-"

    def fanout(self, exchange: str, routing_key: str = "") -> str:
        """The channel of a fanout exchange of kombu's."""
        return f"{self.prefix}/{self.db}.{exchange}" + (f"/{routing_key}" if routing_key else "")

    @property
    def id(self) -> str:
        """String: who this database is, for as long as it is not emptied."""
        return f"{self.own}id"

    # --- qtool's: jobs -------------------------------------------------------------------------------

    @property
    def own(self) -> str:
        """What every key of ours begins with."""
        return f"{self.prefix}qtool:"

    @property
    def records(self) -> str:
        """What the keys of records (hashes) begin with; the id follows."""
        return f"{self.own}job:"

    @property
    def messages(self) -> str:
        """What the keys of the records' messages (strings, as published) begin with; the id follows."""
        return f"{self.own}message:"

    @property
    def jobs(self) -> str:
        """Zset: id by key, of all records."""
        return f"{self.own}jobs"

    def inside(self, state: str) -> str:
        """Zset: id by key, of the records in running, scheduled, retry, dead, cancelled or expired."""
        return f"{self.own}in:{state}"

    def ended(self, state: str) -> str:
        """Zset: id by the time it ended, of the records in a final state."""
        return f"{self.own}ended:{state}"

    @property
    def delayed(self) -> str:
        """Zset: id by the time it is due."""
        return f"{self.own}delayed"

    @property
    def expiry(self) -> str:
        """Zset: id by its deadline, of pending jobs that have one."""
        return f"{self.own}expiry"

    @property
    def owed(self) -> str:
        """List: ids of jobs that ended where they waited, and whose chords have not been told."""
        return f"{self.own}owed"

    def attempts(self, id: str) -> str:
        """List: the attempts that did not succeed, JSON, oldest first."""
        return f"{self.own}attempts:{id}"

    def output(self, id: str, attempt: int) -> str:
        """List: the head of an attempt's output, in pieces ``<stream> <offset>\\n<bytes>``."""
        return f"{self.own}output:{id}:{attempt}"

    def tail(self, id: str, attempt: int) -> str:
        """List: the end of an attempt's output; what lay between was dropped."""
        return f"{self.own}output:{id}:{attempt}:tail"

    # --- qtool's: queues, limits, workers ------------------------------------------------------------

    @property
    def queues(self) -> str:
        """Set: every queue that ever got a job."""
        return f"{self.own}queues"

    @property
    def bound(self) -> str:
        """Set: the queues that Celery's clients bound, as upkeep has seen them."""
        return f"{self.own}bound"

    @property
    def paused(self) -> str:
        """Set: paused queues."""
        return f"{self.own}paused"

    def counts(self, queue: str) -> str:
        """Hash: state to number, of records; ``held``: the ready ones among them that a key or a task holds back."""
        return f"{self.own}counts:{queue}"

    def held(self, limit: str, queue: str) -> str:
        """Zset: ready jobs of a queue that ``key:NAME`` or ``task:NAME`` holds back, in the order of claiming.

        Members are the job's key as fifteen digits and its id.
        """
        return f"{self.own}held:{limit}\n{queue}"

    def holding(self, limit: str) -> str:
        """Set: the queues in which a limit holds something back."""
        return f"{self.own}holding:{limit}"

    @property
    def holding_tasks(self) -> str:
        """Set: the tasks whose rate holds something back."""
        return f"{self.own}holding"

    @property
    def keys(self) -> str:
        """Hash: concurrency key to how many of its jobs run."""
        return f"{self.own}keys"

    def unique(self, key: str) -> str:
        """String: the id of the unfinished job that holds a unique key."""
        return f"{self.own}unique:{key}"

    @property
    def limits(self) -> str:
        """Hash: ``queue:NAME`` or ``task:NAME`` to JSON: concurrency, rate, burst, explicit, declared."""
        return f"{self.own}limits"

    @property
    def rates(self) -> str:
        """Hash: ``queue:NAME`` or ``task:NAME`` to ``<used> <used_at>``, by the clock of :mod:`.store`."""
        return f"{self.own}rates"

    @property
    def workers(self) -> str:
        """Set: worker ids."""
        return f"{self.own}workers"

    def worker(self, id: str) -> str:
        """Hash: ``info`` (JSON), ``beat`` (a counter), ``lease`` (seconds), ``slots`` (``<least> <most>``)."""
        return f"{self.own}worker:{id}"

    # --- qtool's: what is kept beside ----------------------------------------------------------------

    def rollup(self, width: int) -> str:
        """What the keys of the history's spans of a width begin with; where the span begins follows."""
        return f"{self.own}rollup:{width}:"

    @property
    def notes(self) -> str:
        """Hash: the journal."""
        return f"{self.own}notes"

    @property
    def note(self) -> str:
        """String: the last note's id."""
        return f"{self.own}note"

    # --- qtool's: jobs on their way ------------------------------------------------------------------

    @property
    def trips(self) -> str:
        """Hash: the last trip to (``o:``) and from (``i:``) each other store, by its identity: ``<number> <url>``."""
        return f"{self.own}trips"

    @property
    def departed(self) -> str:
        """Hash: id to the store that the job is on its way to."""
        return f"{self.own}departures"

    def departures(self, store: str) -> str:
        """Hash: id to the job, whole, of what is on its way to a store."""
        return f"{self.own}departures:{store}"

    def arrivals(self, store: str) -> str:
        """Hash: id to the number of the trip, of what has come from a store that may not know it yet."""
        return f"{self.own}arrivals:{store}"

    def parked(self, queue: str) -> str:
        """List: messages nobody can read, intact."""
        return f"{self.own}parked:{queue}"

    def channel(self, topic: str) -> str:
        """The channel of a bell. Channels are the whole server's, hence the database."""
        return f"{self.prefix}qtool:/{self.db}.{topic}"
