"""How whole jobs go from one store to another: the sixth protocol at the seam, its values and their text.

A job is in one of three places: among the jobs of its origin, among the *departures* of its origin (whole, but no job:
nothing runs, lists or counts it there), or among the jobs of its destination. It goes from place to place like this:

1. ``origin.load``: from the jobs to the departures, in one transaction;
2. ``destination.unload``: among the jobs there, with a mark, the *arrival*, in one transaction;
3. ``origin.drop``: out of the departures; what the destination would not have is ``put_back`` among the jobs instead;
4. ``destination.clear``: the marks have done their work.

Whoever is killed between two of these leaves departures behind, and whoever goes on unloads them: the mark tells what
has arrived already, also when it has long been run and deleted there. A :class:`Trip` has a number, the greater the
later, and both stores refuse one that is not the last: somebody who was frozen between two steps while another went on
can do no harm when he wakes up.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Protocol

from qtool.engine.codec import decode_body, decode_options
from qtool.engine.job import Attempt, Chunk, Failure, Job
from qtool.engine.states import FINAL, Event, Reason, State
from qtool.engine.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

BATCH = 500
"""Jobs that are loaded at once."""

BATCH_BYTES = 16 * 1024 * 1024
"""And as many bytes of text, roughly: one job more than fits is taken."""


class Parcel(Value, kw_only=True):
    """Everything about a job that does not run."""

    id: str
    task: str
    queue: str
    into: str | None = None
    """The queue at the destination; None for the same."""
    state: State
    priority: int = 0
    created_at: float
    ready_at: float | None = None
    due_at: float | None = None
    expires_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    reason: Reason | None = None
    error: Failure | None = None
    worker: str | None = None
    """Who ran it last."""
    message: str | None = None
    unique: str | None = None
    key: str | None = None
    key_limit: int = 1
    body: str
    """As :func:`qtool.engine.codec.encode_body` makes it."""
    options: str | None = None
    """As :func:`qtool.engine.codec.encode_options` makes them."""
    envelope: str | None = None
    """The message, where a client of Celery's published it."""
    redis_only: bool = False
    """The message says more than a job can hold: what is to follow it, its group, its route."""
    result: str | None = None
    attempts: tuple[Attempt, ...] = ()
    output: tuple[tuple[int, Chunk], ...] = ()
    """Pieces, each with the attempt that wrote it."""

    @property
    def at(self) -> str:
        """The queue that it belongs into at the destination."""
        return self.queue if self.into is None else self.into

    def job(self, queue: str, run_at: float | None = None) -> Job:
        """The job as one that is sent into a queue. Raises Undecodable."""
        args, kwargs = decode_body(self.body)
        policy, tags, parents = decode_options(self.options)
        return Job(
            id=self.id,
            task=self.task,
            args=args,
            kwargs=kwargs,
            queue=queue,
            priority=self.priority,
            created_at=self.created_at,
            run_at=run_at,
            expires_at=self.expires_at,
            unique=self.unique,
            key=self.key,
            key_limit=self.key_limit,
            tags=tags,
            parents=parents,
            policy=policy,
        )

    @property
    def holds(self) -> str | None:
        """The unique key that it holds."""
        return None if self.state in FINAL else self.unique


class Trip(Value, kw_only=True):
    """One going from one store to another."""

    number: int
    origin: str
    """See :meth:`Freight.identity`."""
    origin_url: str
    destination: str


class Moved(Value, kw_only=True):
    """What became of one job that was to be moved."""

    id: str
    state: State | None = None
    """None: no such job."""
    queue: str | None = None
    """Where it was."""
    into: str | None = None
    """The queue where it is now."""
    moved: bool = False
    note: str | None = None
    """Why it stays, or what is to be known."""


class Transit(Value, kw_only=True):
    """A trip that was not ended."""

    peer: str
    """The identity of the other store."""
    url: str
    """Where the other store was."""
    outward: bool
    """From here to there: the jobs are departures here. Else they have arrived here, and there nobody knows."""
    jobs: int


class Freight(Protocol):
    """Takes whole jobs out of a store and into another. Raises MoveSuperseded for a trip that is not the last."""

    def identity(self) -> str:
        """Which store this is, by whatever address: random, and for ever."""
        ...

    def begin(self, destination: str, url: str) -> Trip:
        """A new trip to the store of that identity, at ``url`` without password; those before it are over."""
        ...

    def load(
        self, trip: Trip, ids: Sequence[str], states: Collection[State], into: str | None = None
    ) -> list[Parcel | Moved]:
        """Take jobs out that are in one of ``states``; what became of each of the first of ``ids``.

        As many of them as :data:`BATCH_BYTES` allow, at least one. A running job stays, whatever ``states`` say.
        """
        ...

    def loaded(self, trip: Trip, after: str = "") -> list[Parcel]:
        """What is on its way there, also from earlier trips: a batch, by id, from behind ``after`` on."""
        ...

    def unload(self, trip: Trip, parcels: Sequence[Parcel]) -> list[str | None]:
        """At the destination: take them in, unless they have arrived already; why not, for each that stays outside.

        With no parcels it only tells the store of the trip.
        """
        ...

    def drop(self, trip: Trip, ids: Sequence[str]) -> None:
        """At the origin: these have arrived."""
        ...

    def put_back(self, trip: Trip, ids: Sequence[str]) -> list[str | None]:
        """At the origin: these are not wanted there. Why not, for each that cannot go back either."""
        ...

    def clear(self, trip: Trip) -> None:
        """At the destination: forget the marks of this trip and those before it. Once all that arrived is dropped."""
        ...

    def transits(self) -> list[Transit]:
        """The trips from here and to here that were not ended."""
        ...

    def transfer(self, ids: Sequence[str], into: str, states: Collection[State]) -> list[Moved]:
        """Move jobs in one of ``states`` to another queue of the same store, in one transaction."""
        ...


# --- why a job stays -----------------------------------------------------------------------------------

UNKNOWN = "no such job"
UNDERWAY = "it is on its way from here to another store already"
THERE_ALREADY = "a job with its id is there already"
MORE_THAN_A_JOB = "what Celery is to do after it, or with its result, can be kept on Redis only"
UNREADABLE = "it holds bytes that are no text"
SAME_QUEUE = "it is in that queue already"


def stays(state: State) -> str:
    """Why a job in ``state`` is not moved."""
    if state is State.RUNNING:
        return "it is running"
    return f"it is {state} already" if state in FINAL else f"it is {state}"


def key_held(holder: str) -> str:
    """Why a job whose unique key is held is not taken in."""
    return f"job {holder} holds its unique key"


# --- parcels as text -------------------------------------------------------------------------------------

_PLAIN = tuple(
    name for name in Parcel.__slots__ if name not in ("state", "reason", "error", "attempts", "output", "redis_only")
)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encode_parcel(parcel: Parcel) -> str:
    """JSON in ASCII; what is not said is not in it."""
    said: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(parcel, name)) is not None}
    said["state"] = parcel.state
    if parcel.redis_only:
        said["redis_only"] = True
    if parcel.reason is not None:
        said["reason"] = parcel.reason
    if parcel.error is not None:
        said["error"] = _failure_to(parcel.error)
    if parcel.attempts:
        said["attempts"] = [attempt_said(each) for each in parcel.attempts]
    if parcel.output:
        said["output"] = [
            [attempt, chunk.stream, chunk.offset, b64encode(chunk.data).decode()] for attempt, chunk in parcel.output
        ]
    return _encode(said)


def decode_parcel(text: str | bytes) -> Parcel:
    """The parcel in a text of :func:`encode_parcel`. Raises ValueError for what is none."""
    said: dict[str, Any] = json.loads(text)
    said["state"] = State(said["state"])
    if "reason" in said:
        said["reason"] = Reason(said["reason"])
    if "error" in said:
        said["error"] = Failure(**said["error"])
    said["attempts"] = tuple(_attempt_from(each) for each in said.get("attempts", ()))
    said["output"] = tuple(
        (attempt, Chunk(stream, offset, b64decode(data))) for attempt, stream, offset, data in said.get("output", ())
    )
    return Parcel(**said)


def _failure_to(error: Failure) -> dict[str, Any]:
    return {name: value for name in Failure.__slots__ if (value := getattr(error, name)) is not None}


def attempt_said(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON has it."""
    said = {name: getattr(attempt, name) for name in Attempt.__slots__}
    said["error"] = _failure_to(attempt.error) if attempt.error is not None else None
    return said


def _attempt_from(said: dict[str, Any]) -> Attempt:
    error = Failure(**said["error"]) if said["error"] is not None else None
    return Attempt(**(said | {"event": Event(said["event"]), "state": State(said["state"]), "error": error}))


def batched(texts: Iterable[str | bytes]) -> list[Parcel]:
    """As many of the parcels as make a batch."""
    found: list[Parcel] = []
    size = 0
    for text in texts:
        if len(found) >= BATCH or size >= BATCH_BYTES:
            break
        found.append(decode_parcel(text))
        size += len(text)
    return found
