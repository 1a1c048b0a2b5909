"""Middleware: code around the runs of tasks, in the pool's process.

::

    @middleware(tasks="mail.*")
    def timed(job, call_next):
        began = time.monotonic()
        try:
            return call_next()
        finally:
            job.log.info("took %.3f s", time.monotonic() - began)

:mod:`qtool.engine.run` looks at :data:`registered`, and comes here only when it is not empty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from qtool.engine.current import JobCancelled
from qtool.engine.tasks import import_here
from qtool.errors import AppNotImported

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from concurrent.futures import Future, ThreadPoolExecutor

    from qtool.engine.current import CurrentJob
    from qtool.engine.tasks import AnyTask

F = TypeVar("F", bound=Callable[..., Any])

Call = Callable[[], Any]
"""What is inside: the next middleware, and in the end the task."""

Chain = Callable[["CurrentJob", Call], Any]


class Layer(NamedTuple):
    """One registered function."""

    function: Chain
    tasks: tuple[str, ...]
    """Globs of task names; empty is all."""
    is_async: bool


class Around(NamedTuple):
    """All middleware of one task, composed: the plain part, and inside of it the part that is awaited."""

    plain: Chain
    awaited: Chain
    threaded: bool
    """The plain part is more than the call itself."""


registered: list[Layer] = []
_loaded: list[Layer] = []
_composed: dict[AnyTask, Around] = {}

GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200
"""Flags of a code object, as in inspect, which takes longer to import than the rest."""


@overload
def middleware(function: F, /) -> F: ...
@overload
def middleware(*, tasks: str | Iterable[str] = ()) -> Callable[[F], F]: ...
def middleware(function: Any = None, /, *, tasks: str | Iterable[str] = ()) -> Any:
    """Put a function around the runs of tasks: ``@middleware``, or ``@middleware(tasks="mail.*")`` for some of them.

    It is called with the running job and ``call_next``, and what it returns is the result: ``return call_next()``.
    What it raises ends the run as if the task had raised it, Retry, Snooze and Discard included. What was registered
    first is outermost. An ``async def`` one awaits ``call_next()``; it goes around ``async def`` tasks only, inside
    of the plain ones, which go around every task and in the async pool run in a thread meanwhile.

    Raises TypeError for what cannot be called so.
    """
    globs = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    if function is None:
        return lambda function: _register(function, globs)
    return _register(function, globs)


def _register(function: F, globs: tuple[str, ...]) -> F:
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if not callable(function) or flags & (GENERATOR | ASYNC_GENERATOR):
        raise TypeError(f"middleware is a function of (job, call_next) that returns call_next(): got {function!r}")
    if not flags:
        flags = getattr(getattr(type(function).__call__, "__code__", None), "co_flags", 0)
    registered.append(Layer(function, globs, bool(flags & COROUTINE)))
    _composed.clear()
    return function


def load(place: str) -> None:
    """Register ``module:function`` outside of what apps register, unless its module has done so itself.

    Raises AppNotImported.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise AppNotImported(module=place, why="middleware is written as module:function")
    function: Any = import_here(module)
    try:
        for part in name.split("."):
            function = getattr(function, part)
        if not any(layer.function is function for layer in registered):
            _register(function, ())
            # Importing its module may have registered others, and what an operator names is outside of them.
            registered.insert(len(_loaded), registered.pop())
            _loaded.append(registered[len(_loaded)])
    except (AttributeError, TypeError) as error:
        raise AppNotImported(module=place, why=str(error)) from None


def around(task: AnyTask) -> Around:
    """What goes around this task, composed when it first runs."""
    found = _composed.get(task)
    if found is None:
        from fnmatch import fnmatchcase

        mine = [
            layer
            for layer in registered
            if not layer.tasks or any(fnmatchcase(task.name, glob) for glob in layer.tasks)
        ]
        plain = [layer.function for layer in mine if not layer.is_async]
        awaited = [layer.function for layer in mine if layer.is_async] if task.is_async else []
        found = _composed[task] = Around(_compose(plain), _compose(awaited), bool(plain))
    return found


def _compose(functions: list[Chain]) -> Chain:
    chain: Chain = _call
    for function in reversed(functions):
        chain = partial(_nested, function, chain)
    return chain


def _call(_job: CurrentJob, call: Call) -> Any:
    return call()


def _nested(function: Chain, inner: Chain, job: CurrentJob, call: Call) -> Any:
    return function(job, partial(inner, job, call))


# --- plain middleware around a coroutine on a loop that others share ----------------------------------

_threads: ThreadPoolExecutor | None = None
_MOST = 4096
"""Threads; as many as a worker may have slots, so that none waits for another's."""


def _executor() -> ThreadPoolExecutor:
    # Not the loop's own: a task that needs a thread would wait for those that middleware holds around it.
    global _threads
    if _threads is None:
        from concurrent.futures import ThreadPoolExecutor

        _threads = ThreadPoolExecutor(_MOST, thread_name_prefix="middleware")
    return _threads


async def in_thread(chain: Chain, job: CurrentJob, start: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run plain middleware in a thread, around a coroutine that ``start`` makes and this loop runs.

    Cancelling it cancels the coroutine; the middleware sees JobCancelled and is waited for.
    """
    import asyncio
    from concurrent.futures import Future
    from contextvars import copy_context

    loop = asyncio.get_running_loop()
    inner: set[asyncio.Task[None]] = set()
    stopped = False

    def call_next() -> Any:
        done: Future[Any] = Future()
        # The callback runs in a copy of this thread's context: what the middleware set there the task finds.
        loop.call_soon_threadsafe(launch, done)
        return done.result()

    def launch(done: Future[Any]) -> None:
        if stopped:
            done.set_exception(JobCancelled())
            return
        task = loop.create_task(_deliver(start, done))
        inner.add(task)
        task.add_done_callback(partial(_ended, done))

    thread = loop.run_in_executor(_executor(), partial(copy_context().run, chain, job, call_next))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stopped = True
        for task in inner:
            task.cancel()
        await asyncio.wait([thread])
        if not thread.cancelled():
            # Looked at, or asyncio complains that nobody did.
            thread.exception()
        raise


def _ended(done: Future[Any], _: object) -> None:
    # Cancelled before its first step, it has delivered nothing.
    if not done.done():
        done.set_exception(JobCancelled())


async def _deliver(start: Callable[[], Coroutine[Any, Any, Any]], done: Future[Any]) -> None:
    import asyncio

    try:
        value = await start()
    except asyncio.CancelledError as error:
        me = asyncio.current_task()
        done.set_exception(JobCancelled() if me is not None and me.cancelling() else error)
    except BaseException as error:  # noqa: BLE001  the boundary: whatever the task raises is the middleware's to see
        done.set_exception(error)
    else:
        done.set_result(value)
