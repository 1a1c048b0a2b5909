"""The producer's side: a client enqueues jobs on one broker and hands out handles."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from qtool.engine import hooks
from qtool.engine.handle import Batch, Handle
from qtool.engine.ids import new_id
from qtool.engine.job import DEFAULT_QUEUE, NOTHING, Job
from qtool.engine.names import check_key, check_name
from qtool.engine.options import Key, SendOptions, Unique, checked, moment, policy_of, seconds
from qtool.engine.tasks import Task
from qtool.errors import NotSerialisable, PayloadTooLarge, ReadOnlyContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Unpack

    from qtool.config import Route, Settings
    from qtool.engine.broker import Adapter
    from qtool.engine.tasks import AnyTask


BATCH = 1000
"""Jobs to a commit where many are enqueued at once."""

MAKERS = 1000
"""Tasks whose settled options are kept; a program has fewer, unless it makes their names up."""


class Client:
    """Enqueues on one broker. Threads may share it; a forked process opens a connection of its own."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        """Opens the broker when it is first used. ``clock`` tells the wall time."""
        self._settings = settings
        self._clock = clock
        self._adapter: Adapter | None = None
        self._pid = os.getpid()
        self._inherited: list[Adapter] = []
        self._opening = threading.Lock()
        self._makers: dict[AnyTask | str, _Maker] = {}

    @property
    def url(self) -> str:
        """The broker, without its password."""
        from qtool.config import redacted

        return redacted(self._settings.broker)

    def adapter(self, *, write: bool = False) -> Adapter:
        """The open broker. Raises UnknownScheme, BrokerError and its kin; ReadOnlyContext for ``write`` where so."""
        if write and self._settings.read_only:
            raise ReadOnlyContext(context=self._settings.context)
        adapter, pid = self._adapter, os.getpid()
        if adapter is None or self._pid != pid:
            if self._pid != pid:
                # Another thread may have held the lock while this process was forked.
                self._opening = threading.Lock()
            with self._opening:
                return self._opened(pid)
        return adapter

    def _opened(self, pid: int) -> Adapter:
        if self._adapter is None or self._pid != pid:
            if self._adapter is not None:
                # Kept, and never closed: it belongs to the process this one was forked from.
                self._inherited.append(self._adapter)
            from qtool.config import open_adapter

            self._adapter, self._pid = open_adapter(self._settings), pid
        return self._adapter

    def enqueue(self, task: AnyTask | str, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Enqueue one job: ``client.enqueue("shop.tasks.send", 42, to="ann@example.com")``. Raises as :meth:`send`."""
        return self.send(task, args, kwargs)

    def send(
        self,
        task: AnyTask | str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = NOTHING,
        **options: Unpack[SendOptions],
    ) -> Handle[Any]:
        """Enqueue one job, by the task or its name (then without its code), with options.

        Raises TypeError, ValueError and BadName for bad options; NotSerialisable, PayloadTooLarge, BrokerError.
        """
        job = self._maker(task, options)(tuple(args), kwargs)
        receipt = self.adapter(write=True).broker.enqueue([job])
        return Handle(receipt.ids[0], self.adapter, existing=bool(receipt.existing))

    def _maker(self, task: AnyTask | str, options: SendOptions) -> _Maker:
        """Kept for what is sent without options, as most jobs are."""
        make = self._makers.get(task) if not options else None
        if make is None:
            make = _Maker(task, options, self._settings, self._clock)
            if not options and len(self._makers) < MAKERS:
                self._makers[task] = make
        return make

    def send_many(
        self, task: AnyTask | str, calls: Iterable[tuple[Any, ...]], **options: Unpack[SendOptions]
    ) -> Batch[Any]:
        """Enqueue a job for each tuple of arguments, a thousand to a commit; memory holds only their ids.

        Raises as :meth:`send`; a note on the error says how many jobs were enqueued before it.
        """
        if "task_id" in options:
            raise TypeError("task_id names one job, and here are many")
        make = self._maker(task, options)
        batch: Batch[Any] = Batch(self.adapter)
        source = iter(calls)
        adapter = self.adapter(write=True)
        latest: list[Job] = []

        def batches() -> Iterator[list[Job]]:
            nonlocal latest
            while latest := make.batch(list(islice(source, BATCH))):
                yield latest

        stream = adapter.stream or partial(map, adapter.broker.enqueue)
        try:
            for receipt in stream(batches()):
                batch.add(receipt.ids)
        except Exception as error:
            blamed = _blamed(latest, len(batch), error)
            blamed.add_note(f"{len(batch)} jobs were enqueued before this.")
            if blamed is error:
                raise
            raise blamed from None
        return batch

    def apply(
        self,
        task: AnyTask,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = NOTHING,
        **options: Unpack[SendOptions],
    ) -> Handle[Any]:
        """Run a job of the task here and now, in this process and without the broker. Raises as :meth:`send`."""
        from qtool.testing.jobs import Jobs

        return Jobs(eager=True, raises=False, settings=self._settings).client.send(task, args, kwargs, **options)

    def job(self, id: str) -> Handle[Any]:
        """The handle of a job that stands already, by its id or how that begins. Raises UnknownJob, AmbiguousJob."""
        return Handle(self.adapter().inspector.find(id), self.adapter)

    def close(self) -> None:
        """Close the broker; using the client again opens it anew."""
        adapter, self._adapter = self._adapter, None
        if adapter is not None and self._pid == os.getpid():
            adapter.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<client of {self.url}>"


def connect(url: str | None = None, *, context: str | None = None) -> Client:
    """A client of a broker: of ``url`` or the named context, or of what ``QTOOL_BROKER``, ``QTOOL_CONTEXT`` and the
    configuration file say, and otherwise of the embedded file in the user's state directory. A context manager.

    Raises UsageError, UnknownScheme, BadConfig, BrokerNotNamed, BrokerError and its kin.
    """
    if _stand_in is not None and url is None and context is None:
        return _stand_in
    from qtool.config import load_settings

    client = Client(load_settings(broker=url, context=context))
    client.adapter()
    return client


_default: Client | None = None
_stand_in: Client | None = None


def stand_in(client: Client | None) -> Client | None:
    """From now on this client serves whoever names no broker, None for nobody; gives the one before.

    For tests: nothing that the code enqueues goes where the configuration says.
    """
    global _stand_in
    before, _stand_in = _stand_in, client
    return before


def default_client() -> Client:
    """The client that ``.delay`` uses, made when it is first needed and kept by the process. Raises BadConfig."""
    global _default
    if _stand_in is not None:
        return _stand_in
    if _default is None:
        from qtool.config import load_settings

        _default = Client(load_settings())
    return _default


class _Maker:
    """Turns arguments into jobs, with everything that does not depend on them settled once.

    A call's options win over the task's, those over the routes, those over the defaults.
    """

    __slots__ = ("_checked", "_clock", "_eta", "_expires", "_fixed", "_key", "_name", "_task", "_task_id", "_unique")

    def __init__(
        self, task: AnyTask | str, options: SendOptions, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        said = checked("apply_async", options, SendOptions)
        own = task if isinstance(task, Task) else None
        self._task = own
        self._checked: set[int] = set()
        self._name = own.name if own is not None else cast("str", task)
        if not isinstance(self._name, str) or not self._name:
            raise TypeError(f"a task or its name is wanted, not {task!r}")
        check_name("task", self._name)
        route = settings.route(self._name)
        self._fixed: dict[str, Any] = {
            "task": self._name,
            "queue": check_name(
                "queue", said.get("queue") or (own and own.queue) or (route and route.queue) or DEFAULT_QUEUE
            ),
            "priority": _priority(said, own, route),
            "tags": {**(own.tags if own else {}), **said.get("tags", {})} or NOTHING,
            "policy": policy_of(said),
            "key_limit": said.get("key_limit") or (own and own.key_limit) or 1,
        }
        for tag in self._fixed["tags"]:
            check_name("tag", tag)
        self._task_id: str | None = check_name("id", said["task_id"]) if "task_id" in said else None
        self._unique: Unique | None = said.get("unique", own.unique if own else None)
        self._key: Key | None = said.get("key", own.key if own else None)
        self._eta = said.get("eta"), seconds(said.get("countdown"))
        self._expires = said.get("expires", own.expires if own else None)

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Job:
        if self._task is not None:
            self._task.check(args, kwargs)
        now = self._clock()
        return self._job(self._task_id or new_id(), args, kwargs, now, self._times(now))

    def batch(self, calls: list[tuple[Any, ...]]) -> list[Job]:
        """A job for each tuple of positional arguments. Raises TypeError if one does not fit the task."""
        for args in calls:
            # Whether positional arguments fit is a matter of their number.
            if self._task is not None and len(args) not in self._checked:
                self._task.check(tuple(args), NOTHING)
                self._checked.add(len(args))
        now = self._clock()
        times = self._times(now)
        ids = new_id.batch(len(calls))
        return [self._job(id, tuple(args), NOTHING, now, times) for id, args in zip(ids, calls, strict=True)]

    def _times(self, now: float) -> tuple[float | None, float | None]:
        eta, countdown = self._eta
        if eta is not None:
            run_at: float | None = moment(eta, now, relative=False)
        else:
            run_at = now + countdown if countdown else None
        return run_at, None if self._expires is None else moment(self._expires, now, relative=True)

    def _job(
        self,
        id: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        now: float,
        times: tuple[float | None, float | None],
    ) -> Job:
        job = Job(
            id=id,
            args=args,
            kwargs=kwargs,
            created_at=now,
            run_at=times[0],
            expires_at=times[1],
            unique=None if self._unique is None else _unique_key(self._unique, self._name, args, kwargs),
            key=None if self._key is None else _key(self._key, args, kwargs),
            **self._fixed,
        )
        return hooks.changed(job) if hooks.producers else job


def _priority(said: Mapping[str, Any], own: AnyTask | None, route: Route | None) -> int:
    for value in (said.get("priority"), own and own.priority, route and route.priority):
        if value is not None:
            return cast("int", value)
    return 0


def _unique_key(unique: Unique, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """The key as given, from a function of the arguments, or (True) from the task and its arguments."""
    if unique is False:
        return None
    if unique is not True:
        return check_key(unique(*args, **kwargs) if callable(unique) else unique)
    from hashlib import sha256

    from qtool.engine.codec import encode_body

    body = encode_body(args, dict(sorted(kwargs.items())))
    return f"{name}:{sha256(body.encode()).hexdigest()[:32]}"


def _key(key: Key, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """The key as given, or from a function of the arguments."""
    made = key(*args, **kwargs) if callable(key) else key
    return None if made is None else check_key(made, "key")


def _blamed(jobs: list[Job], before: int, error: Exception) -> Exception:
    """The error for the first job of a refused batch that cannot be written, saying which item it was; or the same."""
    if isinstance(error, NotSerialisable | PayloadTooLarge):
        from qtool.engine.codec import encode_body

        for number, job in enumerate(jobs, before):
            try:
                encode_body(job.args, job.kwargs)
            except NotSerialisable as refused:
                return NotSerialisable(what=f"Item {number}", why=refused.data["why"])
    return error
