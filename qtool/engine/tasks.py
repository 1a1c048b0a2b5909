"""Tasks: named callables that jobs run. The decorator, the registry, and how a worker finds what a job names.

::

    import_app("shop.tasks")            # for every -A MODULE; raises AppNotImported
    task = find("shop.tasks.send")      # raises UnknownTask
    task.policy, task.is_async          # what the pool needs to know; :func:`qtool.engine.run.run` runs it

``qtool.exec`` (a command) is the worker's own and not in the registry; ``qtool.http`` is.
Tasks enqueue through :data:`producer`, which the package's front sets: the engine itself knows no settings.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from qtool.engine.job import HTTP, NOTHING
from qtool.engine.limits import parse_rate
from qtool.engine.on_error import Rules
from qtool.engine.options import (
    ASKED_RETRIES,
    SendOptions,
    TaskOptions,
    celery_retries,
    checked,
    errors_of,
    policy_of,
)
from qtool.errors import AppNotImported, BadName, UnknownTask

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from typing import Unpack

    from qtool.engine.current import CurrentJob
    from qtool.engine.handle import Batch, Handle
    from qtool.engine.job import Outcome

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")


class Producer(Protocol):
    """Where :meth:`Task.delay` and its kin enqueue."""

    def send(
        self,
        task: AnyTask,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = NOTHING,
        **options: Unpack[SendOptions],
    ) -> Handle[Any]:
        """Enqueue one job. Raises TypeError if its arguments do not fit the task."""
        ...

    def send_many(self, task: AnyTask, calls: Iterable[tuple[Any, ...]], **options: Unpack[SendOptions]) -> Batch[Any]:
        """Enqueue a job for each tuple of arguments, in batches."""
        ...

    def apply(
        self,
        task: AnyTask,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = NOTHING,
        **options: Unpack[SendOptions],
    ) -> Handle[Any]:
        """Run one job here and now."""
        ...


producer: Callable[[], Producer] | None = None
"""Gives the process's own producer. Set by :mod:`qtool` when the API is first used."""


class Task(Generic[P, C, R]):
    """A function that jobs can run: ``C`` is what calling it returns, ``R`` what its job's result is."""

    # What runs it in a worker, in place of qtool.engine.run, where it is another framework's task.
    _trace: Callable[[CurrentJob, str | bytes], Outcome] | None = None

    def __init__(
        self, function: Callable[..., C], name: str, *, bind: bool = False, options: Mapping[str, Any] = NOTHING
    ) -> None:
        """Raises TypeError, ValueError for options that are not understood; :func:`task` also registers it."""
        said = checked(f"@task {name}", options, TaskOptions, also=("bind",))
        said.pop("name", None)
        self.name = name
        self.function = function
        self.bind = bind
        self.options: Mapping[str, Any] = dict(said)
        """The options as they were given."""
        if bind:
            said["bind"] = True
        self.retry_for, self.retry_delay = celery_retries(said)
        """Which errors are retried (None: all), and after how many seconds (None: the usual backoff)."""
        self.dont_retry_for = errors_of(said.get("dont_autoretry_for", ()))
        self.throws = errors_of(said.get("throws", ()))
        """Expected errors: nobody need look at a job that ends by one."""
        self.on_error = Rules(said["on_error"]) if "on_error" in said else None
        if self.on_error is not None and self.on_error.retries and "retries" not in said:
            # Those that it says are to be retried, and no others.
            said["retries"] = ASKED_RETRIES
            self.retry_for = () if self.retry_for is None else self.retry_for
        self.policy = policy_of(said)
        self.is_async = _is_async(function)
        self.queue: str | None = said.get("queue")
        self.priority: int | None = said.get("priority")
        self.expires: float | None = said.get("expires")
        self.unique = said.get("unique")
        self.key = said.get("key")
        self.key_limit: int | None = said.get("key_limit")
        rate = said.get("rate_limit")
        self.rate_limit: float | None = parse_rate(rate) if rate is not None else None
        """How many of its jobs start a second, over all workers."""
        self.tags: Mapping[str, str] = said.get("tags", NOTHING)
        self.ignore_result: bool = said.get("ignore_result", False)
        self._signature: inspect.Signature | Literal[False] | None = False
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Run the function here and now; a bound one gets the job it is called from as ``self``."""
        if self.bind:
            from qtool.engine.current import CurrentJob, running

            return self.function(running.get() or CurrentJob("", self.name, ""), *args, **kwargs)
        return self.function(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue a job that calls the function with these arguments.

        Raises TypeError if they do not fit, NotSerialisable if they are not JSON, BrokerError and its kin.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> Handle[R]:
        """Enqueue a job with options of its own: :class:`~qtool.engine.options.SendOptions`. Raises as delay does."""
        return _producer().send(self, tuple(args or ()), kwargs or NOTHING, **options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SendOptions],
    ) -> Handle[R]:
        """Run a job with these arguments here and now, in this process, retries at once; no broker hears of it.

        The handle has its result, or its error: this raises only as delay does.
        """
        return _producer().apply(self, tuple(args or ()), kwargs or NOTHING, **options)

    def map(self, items: Iterable[Any], **options: Unpack[SendOptions]) -> Batch[R]:
        """Enqueue a job for each item, which is its only argument, a thousand to a commit.

        ``items`` is read as it goes, so it may be larger than memory. Raises as delay does; what was enqueued before
        a bad item stays, and the error says how many that is.
        """
        return self.starmap(((item,) for item in items), **options)

    def starmap(self, calls: Iterable[tuple[Any, ...]], **options: Unpack[SendOptions]) -> Batch[R]:
        """Enqueue a job for each tuple of arguments; otherwise as :meth:`map`."""
        return _producer().send_many(self, calls, **options)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises TypeError if the function cannot be called so, as calling it would."""
        if self._signature is False:
            import inspect

            try:
                self._signature = inspect.signature(self.function)
            except (TypeError, ValueError):
                self._signature = None
        if self._signature is not None:
            try:
                self._signature.bind(*((None, *args) if self.bind else args), **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> str:
        # Pickled by name, like the function in whose place it stands: a multiprocessing pool can be given it.
        return str(getattr(self, "__qualname__", self.name))


AnyTask: TypeAlias = Task[..., Any, Any]


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, S]], /) -> Task[P, Coroutine[Any, Any, S], S]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...


class _BoundDecorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, S]], /
    ) -> Task[P, Coroutine[Any, Any, S], S]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, S]], /) -> Task[P, Coroutine[Any, Any, S], S]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R, R]: ...
@overload
def task(*, bind: Literal[True], **options: Unpack[TaskOptions]) -> _BoundDecorator: ...
@overload
def task(*, bind: Literal[False] = False, **options: Unpack[TaskOptions]) -> _Decorator: ...
def task(function: Callable[..., Any] | None = None, /, *, bind: bool = False, **options: Any) -> Any:
    """Make a function a task: ``@task``, or ``@task(queue="mail", retries=3)`` with what
    :class:`~qtool.engine.options.TaskOptions` lists. With ``bind=True`` its first argument is the running job.

    Raises TypeError for an unknown option, BadName for a name that is taken.
    """
    if function is None:
        return lambda function: _make(function, bind, options)
    if not callable(function):
        raise TypeError(f"@task goes on a function, and its options are given by name: got {function!r}")
    return _make(function, bind, options)


shared_task = task
"""The same, under the name that Celery's projects import."""


def _make(function: Callable[..., Any], bind: bool, options: dict[str, Any]) -> AnyTask:
    name = options.get("name") or f"{module_name(function.__module__)}.{function.__qualname__.replace('.<locals>', '')}"
    made: AnyTask = Task(function, name, bind=bind, options=options)
    _register(made)
    return made


def module_name(module: str) -> str:
    """What a worker would call ``module``: a script that runs as ``__main__`` goes by its file."""
    if module not in ("__main__", "__mp_main__"):  # the second is the script again, in multiprocessing's children
        return module
    main = sys.modules[module]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    if not path:
        return module
    directory, file = os.path.split(os.path.abspath(path))
    name: str = os.path.splitext(file)[0]
    while os.path.exists(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        name = f"{package}.{name}"
    return name


# --- the registry ------------------------------------------------------------------------------------

_tasks: dict[str, AnyTask] = {}
_apps: list[str] = []
_BUILT_IN = {
    HTTP: "qtool.engine.http:call",
    "celery.map": "qtool.engine.sequences:each",
    "celery.starmap": "qtool.engine.sequences:each_star",
    "celery.accumulate": "qtool.engine.sequences:accumulate",
}
"""Found by name when first asked for: a worker that calls no URL does not load a client for it."""


def registered() -> dict[str, AnyTask]:
    """Every task by name, sorted; what ``@task`` made so far."""
    return dict(sorted(_tasks.items()))


def rates() -> dict[str, float | None]:
    """How many jobs of each task that ``@task`` made so far start a second; None where its code does not say."""
    return {name: made.rate_limit for name, made in _tasks.items()}


def find(name: str) -> AnyTask:
    """The task with this name: registered, or a function of a module that was named with ``-A`` or lies below one.

    Raises UnknownTask; AppNotImported if the module it lies in does not import.
    """
    found = _tasks.get(name)
    if found is None:
        found = _built_in(name) if name in _BUILT_IN else _in_apps(name)
    if found is None:
        raise UnknownTask(task=name, known=_known(name))
    return found


def import_app(module: str) -> ModuleType:
    """Import a module for its tasks; the current directory counts. Raises AppNotImported with the real reason."""
    imported = import_here(module)
    if module not in _apps:
        _apps.append(module)
    return imported


def import_here(module: str) -> ModuleType:
    """Import a module that may lie in the current directory. Raises AppNotImported with the real reason."""
    if module.endswith(".py") or os.sep in module:
        stem = module.removesuffix(".py").strip("./").replace(os.sep, ".")
        raise AppNotImported(module=module, why=f"that is a file; write -A {stem}")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything at import, sys.exit() included
        raise AppNotImported(module=module, why=_import_failure(module, error)) from error


def adopt(made: AnyTask) -> None:
    """Register a task that another framework's code declares. Raises BadName for a name that is taken."""
    _register(made)


def _register(made: AnyTask) -> None:
    if made.name.startswith("qtool.") and not made.function.__module__.startswith("qtool."):
        raise BadName(what="Task name", name=made.name, why="names that begin with 'qtool.' are qtool's own")
    other = _tasks.get(made.name)
    if other is not None and _origin(other) != _origin(made):
        raise BadName(
            what="Task name",
            name=made.name,
            why=f"{other.function.__module__}.{other.function.__qualname__} has it already",
        )
    _tasks[made.name] = made


def _origin(made: AnyTask) -> tuple[Any, Any]:
    """What tells two functions apart, and not two imports of one: a script may also be imported as a module."""
    code = getattr(made.function, "__code__", None)
    return getattr(code, "co_filename", made.function.__module__), made.function.__qualname__


def _built_in(name: str) -> AnyTask:
    place, _, function = _BUILT_IN[name].partition(":")
    module = import_module(place)
    made: AnyTask = Task(getattr(module, function), name, options=getattr(module, "OPTIONS", NOTHING))
    _register(made)
    return made


def _in_apps(name: str) -> AnyTask | None:
    """A task, or a public function of its own, in an app's module or one below it; nothing else is reachable."""
    module, _, attribute = name.rpartition(".")
    if not attribute or not any(module == app or module.startswith(f"{app}.") for app in _apps):
        return None
    if module not in sys.modules:
        try:
            import_app(module)
        except AppNotImported as error:
            if isinstance(error.__cause__, ModuleNotFoundError) and (error.__cause__.name or "") in module:
                return None
            raise
        if name in _tasks:
            return _tasks[name]
    found = getattr(sys.modules[module], attribute, None)
    if isinstance(found, Task):
        return found
    # A name that the module merely imported (os.system, say) is not its own: whoever can enqueue may not call it.
    if not isinstance(found, FunctionType) or found.__module__ != module or attribute.startswith("_"):
        return None
    made: AnyTask = Task(found, name)
    _register(made)
    return made


def _known(name: str) -> str:
    names = list(registered())
    if not names:
        return "none; name the module with -A"
    import difflib

    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or names
    listed = ", ".join(near[:8])
    return listed if len(near) == len(names) <= 8 else f"{listed}, … ({len(names)} in all)"


def _import_failure(module: str, error: BaseException) -> str:
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and (module == error.name or module.startswith(f"{error.name}."))
    ):
        return f"there is no module {error.name!r} here or on the Python path"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    place = ""
    frames = error.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and file != __file__ and f"{os.sep}importlib{os.sep}" not in file:
            place = f" ({file}, line {frames.tb_lineno})"
        frames = frames.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _is_async(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    if code is None:
        call = getattr(getattr(function, "func", None) or type(function).__call__, "__code__", None)
        code = call
    # CO_COROUTINE, read here because importing inspect takes longer than starting the rest.
    return code is not None and bool(code.co_flags & 0x80)


def _producer() -> Producer:
    if producer is None:
        raise RuntimeError("nothing says where jobs go: import task from qtool, or set qtool.engine.tasks.producer")
    return producer()
