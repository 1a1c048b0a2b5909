"""A worker's ``-A`` that names a Celery application: finding it, and making its tasks runnable here.

The application is looked for where Celery's own ``-A`` looks. Its tasks are registered as tasks that run themselves:
through Celery's tracer, see :mod:`qtool.engine.worker.celery.trace`. Only the processes that run jobs import Celery.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qtool.engine import hooks, tasks
from qtool.engine.celery.message import policy_of
from qtool.engine.limits import parse_rate
from qtool.engine.tasks import Task
from qtool.engine.worker import interruption
from qtool.errors import AppNotImported, BadName

if TYPE_CHECKING:
    from celery import Celery
    from celery import Task as CeleryTask

    from qtool.engine.worker.celery.trace import Tracer


def load(place: str, node: str) -> str | None:
    """Import what ``-A`` names: a module of qtool's tasks, or a Celery application; what a person should know of it.

    ``node`` is the worker's name, as Celery's tasks and signals are told it. Raises AppNotImported.
    """
    app = find(place)
    if app is None:
        tasks.import_app(place)
        return None
    install(place, app, node)
    return _strays(place, app)


# --- finding -----------------------------------------------------------------------------------------


def find(place: str) -> Celery | None:
    """The application that ``MODULE``, ``MODULE:NAME`` or ``MODULE.NAME`` names, or None where it names a plain module.

    In a module it is what is called ``app`` or ``celery``, then ``MODULE.celery``, then the first there is. Raises
    AppNotImported.
    """
    try:
        name, _, attribute = place.partition(":")
        if attribute:
            return _named(place, tasks.import_here(name), attribute)
        module = _module(place)
        return _within(place, module) if module is not None else _attribute(place)
    except AppNotImported as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and (cause.name or "").partition(".")[0] == "celery":
            why = f"it needs Celery, which is not installed for {sys.executable}; install celery there, beside qtool"
            raise AppNotImported(module=place, why=why) from cause
        raise


def _module(place: str) -> ModuleType | None:
    """The module, or None where only the last word of its name is none."""
    try:
        return tasks.import_here(place)
    except AppNotImported as error:
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == place and "." in place:
            return None
        raise


def _attribute(place: str) -> Celery:
    """What a dotted name means whose last word is no module."""
    name, _, attribute = place.rpartition(".")
    return _named(place, tasks.import_here(name), attribute)


def _named(place: str, module: ModuleType, attribute: str) -> Celery:
    value: Any = module
    for word in attribute.split("."):
        value = getattr(value, word, None)
    if value is None:
        raise AppNotImported(module=place, why=f"there is no module and no {attribute!r} in {module.__name__!r}")
    if isinstance(value, ModuleType) and (app := _within(place, value)) is not None:
        return app
    if not _is_app(value):
        raise AppNotImported(module=place, why=f"{attribute!r} in {module.__name__!r} is no Celery application")
    found: Celery = value
    return found


def _within(place: str, module: ModuleType) -> Celery | None:
    """The application in a module."""
    for word in ("app", "celery"):
        if _is_app(value := getattr(module, word, None)):
            found: Celery = value
            return found
    below = f"{module.__name__}.celery"
    if hasattr(module, "__path__") and below != place and find_spec(below) is not None:
        return _below(place, module, below)
    return next((value for value in vars(module).values() if _is_app(value)), None)


def _below(place: str, package: ModuleType, name: str) -> Celery | None:
    try:
        return _within(place, tasks.import_here(name))
    except AppNotImported:
        if any(known.startswith(f"{package.__name__}.") for known in tasks.registered()):
            # It declares tasks of qtool's: what else lies in it, left from before, need not work.
            return None
        raise


def _is_app(value: object) -> bool:
    """Whether it is an application, asked without importing Celery: whoever made one has."""
    celery = sys.modules.get("celery")
    return celery is not None and value is not None and isinstance(value, celery.Celery)


# --- running -----------------------------------------------------------------------------------------


class Traced(Task[..., Any, Any]):
    """A task of a Celery application."""

    def __init__(self, task: CeleryTask, tracer: Tracer) -> None:
        super().__init__(task.run, task.name)
        self._trace = partial(tracer.run, task)
        self.is_async = False
        self.policy = policy_of((task.time_limit or None, task.soft_time_limit or None))
        self.rate_limit = _rate(task.rate_limit)
        self.ignore_result = bool(task.ignore_result)


def _rate(said: object) -> float | None:
    """Starts a second; None for no limit (Celery's ``0`` too), and for what Celery alone understands."""
    try:
        return parse_rate(said) if isinstance(said, str | int | float) and said else None
    except ValueError:
        return None


class Here:
    """What the receivers of ``worker_init`` get in place of Celery's worker.

    Celery sends it once, and forks; here every process is a fresh interpreter, and begins with it.
    """

    def __init__(self, app: Celery, hostname: str) -> None:
        self.app = app
        self.hostname = hostname
        self.pid = os.getpid()


def install(place: str, app: Celery, hostname: str) -> None:
    """Do what a process of Celery's pool does before its first task, and register the tasks. Raises AppNotImported."""
    from billiard.exceptions import SoftTimeLimitExceeded
    from celery import signals
    from celery.app.trace import build_tracer, setup_worker_optimizations

    from qtool.engine.worker.celery.trace import Tracer

    _refuse_embedded(place)
    try:
        app.loader.init_worker()
        setup_worker_optimizations(app, hostname)
        here = Here(app, hostname)
        signals.celeryd_init.send(sender=hostname, instance=here, conf=app.conf, options={})
        signals.worker_init.send(sender=here)
        app.loader.init_worker_process()
        tracer = Tracer(app, hostname)
        for name, task in sorted(app.tasks.items()):
            task.__trace__ = build_tracer(name, task, app.loader, hostname, app=app)
            tasks.adopt(Traced(task, tracer))
    except (Exception, SystemExit) as error:
        # Whatever the modules that it includes, and the receivers of its signals, do.
        why = str(error) if isinstance(error, BadName) else f"{type(error).__name__}: {error}"
        raise AppNotImported(module=place, why=why) from error
    interruption.tell_time_limits_by(SoftTimeLimitExceeded)
    _installed.append(app)

    def celery_starts() -> None:
        signals.worker_process_init.send(sender=hostname)

    def celery_stops() -> None:
        signals.worker_process_shutdown.send(sender=hostname, pid=os.getpid(), exitcode=0)

    hooks.on_start(celery_starts)
    hooks.on_stop(celery_stops)


_installed: list[Celery] = []


def settings() -> dict[str, Any] | None:
    """What the first application that was installed says of remote control and events, and all of its settings as
    ``celery inspect conf`` shows them, without what is secret; None where there is none.
    """
    return settings_of(_installed[0]) if _installed else None


def settings_of(app: Celery) -> dict[str, Any]:
    """The same of one application."""
    from celery.utils.serialization import jsonify

    conf = app.conf
    try:
        table = conf.table(with_defaults=False)
        shown = jsonify(table, keyfilter=_shown, unknown_type_filter=repr)
    except Exception as error:  # noqa: BLE001  whatever an application puts into its settings: they are only shown
        shown = {"qtool": f"these settings cannot be shown: {error!r}"}
    return {
        "remote_control": bool(conf.worker_enable_remote_control),
        "task_events": bool(conf.worker_send_task_events),
        "control_exchange": str(conf.control_exchange),
        "event_exchange": str(conf.event_exchange),
        "conf": shown,
    }


def _shown(name: object) -> bool:
    return isinstance(name, str) and not name.startswith("__")


def _strays(place: str, app: Celery) -> str | None:
    """What to say of an application whose tasks publish elsewhere than where this worker serves."""
    from qtool.engine.worker.celery.describe import published, same, shown

    url, served = published(app), os.environ.get("QTOOL_BROKER")
    if served is None or same(url, served):
        return None
    return (
        f"{place} names another broker, {shown(url)}: what its tasks send (retries, chains, others' calls) goes there, "
        f"and this worker serves {shown(served)}."
    )


def _refuse_embedded(place: str) -> None:
    """What such a task publishes goes to the application's broker: a worker elsewhere would lose sight of it."""
    url = os.environ.get("QTOOL_BROKER", "")
    if url.partition(":")[0] in ("sqlite", "memory"):
        why = (
            "it is a Celery application, whose tasks retry and call others through a broker of Celery's, and this"
            f" worker serves {url}; name that broker with -b, or leave -b out"
        )
        raise AppNotImported(module=place, why=why)
