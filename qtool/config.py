"""Settings: flags beat environment beats context beats file.

The file is TOML, ``$QTOOL_CONFIG`` or ``$XDG_CONFIG_HOME/qtool/config.toml``, and need not exist::

    context = "work"                        # used when neither -b, -c nor the environment says otherwise

    [contexts.work]
    broker = "sqlite:///srv/jobs.db"
    read_only = false
    production = true

    [contexts.work.alerts]                  # when 'qtool top' says that somebody should look
    max_age = "5m"
    max_depth = 10000
    min_workers = 1

    [routes]
    "mail.*" = {queue = "email", priority = 5}

    [retention]                             # how long ended jobs are kept
    succeeded = "2d"
    dead = "forever"

    [worker]
    jobs = 4

    [top]
    theme = "nord"
    keys = {"list.sort" = "f7", "app.help" = "f1"}

On the path of ``qtool enqueue``: only what starts fast is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from qtool.engine.alerts import Thresholds
from qtool.engine.value import Value
from qtool.errors import BadConfig, BrokerNotNamed, ReadOnlyContext, UsageError

if TYPE_CHECKING:
    from qtool.engine.broker import Adapter

CELERYS = frozenset({"redis", "rediss", "redis+socket", "unix", "sentinel"})
"""Schemes of brokers on which Celery's workers may stand beside ours."""

CELERY_QUEUE = "celery"
"""Where a Celery worker looks unless it is told otherwise (its ``task_default_queue``)."""

_OWN_TASKS = "qtool."
"""Commands and the like: a Celery worker that found one would throw it away."""


class Route(Value):
    """Where jobs of a task go unless enqueue says otherwise."""

    pattern: str
    """A glob of task names."""
    queue: str | None = None
    """The queue for jobs of tasks whose name matches GLOB; the first route that matches counts."""
    priority: int | None = None
    """Their priority, 0 to 9."""


class ContextEntry(Value):
    """A named broker with its guard rails."""

    name: str
    broker: str
    """Its URL, or a file."""
    read_only: bool = False
    """Refuse commands that change anything."""
    production: bool = False
    """Say so in every question."""
    key: str | None = None
    """The secret by which its workers know a command for yours, where the broker is reached over a network."""
    alerts: Thresholds | None = None
    """When ``qtool top`` says that somebody should look."""


Bytes: TypeAlias = int


class WorkerDefaults(Value, kw_only=True):
    """What ``qtool worker`` uses where its options say nothing."""

    jobs: tuple[int, int] | None = None
    """How many at once, as ``4`` or ``"2:8"``; one a core where nothing says."""
    pool: str | None = None
    """``process``, ``thread`` or ``async``."""
    queues: tuple[str, ...] = ()
    """Only these."""
    app: tuple[str, ...] = ()
    """Modules that define tasks."""
    middleware: tuple[str, ...] = ()
    """Functions around every run, as ``module:function``; the first is outermost, the apps' own are inside."""
    max_jobs_per_child: int | None = None
    """How many jobs a process of the pool runs before it is replaced; any number where nothing says."""
    max_memory_per_child: Bytes | None = None
    """How much memory, as ``"200MB"``, it may hold at the end of a job; any where nothing says."""
    drain_timeout: float | None = None
    """How long running jobs may go on after a signal, in seconds; for ever where nothing says."""
    on_finish: str | None = None
    """A command that /bin/sh runs for each job that has ended."""
    on_finish_state: tuple[str, ...] = ()
    """Only for jobs that ended so: ``succeeded``, ``dead``, ``cancelled``."""
    metrics: str | None = None
    """``HOST:PORT`` to serve metrics for Prometheus at."""
    log_format: str | None = None
    """What the worker's stderr is: ``text``, or ``json`` with an object a line."""
    log_level: str | None = None
    """The least that is said: ``debug``, ``info``, ``warning`` or ``error``."""
    echo: bool = False
    """Copy what jobs write to the worker's stderr."""
    allow_exec: bool = False
    """Run commands that come signed from a network broker."""
    remote_control: bool = True
    """Do what Celery's remote control asks for."""
    task_events: bool = False
    """Send Celery's events of every job."""


class TopDefaults(Value, kw_only=True):
    """What ``qtool top`` uses where its options say nothing."""

    theme: str | None = None
    """The colours: one of ours (``qtool-dark``, ``qtool-light``, ``monochrome``) or of Textual's."""
    refresh: float = 1.0
    """The time between two looks at the broker."""
    mouse: bool = True
    """Take clicks and the wheel; without, the terminal selects text with them."""
    keys: Mapping[str, str] = MappingProxyType({})
    """Other keys for what a key does, by its name: ``"list.sort" = "s,f7"``. ``?`` shows the names."""


class Settings(Value, kw_only=True):
    """What flags, environment, context and file come to."""

    broker: str
    named: bool = True
    """A flag or the environment names the broker, or the file that does."""
    source: str
    """What decided the broker: ``-b``, ``QTOOL_BROKER``, ``context NAME`` or ``default``."""
    context: str | None = None
    """The context in use."""
    read_only: bool = False
    production: bool = False
    key: str | None = None
    """Signs commands on a network broker."""
    contexts: tuple[ContextEntry, ...] = ()
    current: str | None = None
    """The context that the file makes the default."""
    routes: tuple[Route, ...] = ()
    retention: Mapping[str, float | None]
    """State to seconds that finished jobs are kept; None is for ever. What is not said is :data:`policy.KEEP`."""
    worker: WorkerDefaults
    top: TopDefaults
    path: str
    """The configuration file, whether it exists or not."""

    def route(self, task: str) -> Route | None:
        """The first route whose pattern matches ``task``.

        Where the broker is Celery's too, the tasks of others go to Celery's own queue unless a route names one.
        """
        found = None
        if self.routes:
            from fnmatch import fnmatchcase

            found = next((route for route in self.routes if fnmatchcase(task, route.pattern)), None)
        if (found is not None and found.queue is not None) or task.startswith(_OWN_TASKS):
            return found
        if self.broker.partition(":")[0] not in CELERYS:
            return found
        return Route(pattern="*", queue=CELERY_QUEUE, priority=found.priority if found else None)


def load_settings(
    *, broker: str | None = None, context: str | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Settings from two flags, the environment and the file. Raises BadConfig, UsageError."""
    path = config_path(environ)
    said = _Reader(path, read_toml(path))
    contexts = said.contexts()
    current = said.text("context") or said.text("current")
    url, source, entry = _choose(broker, context, environ, contexts, current, path)
    return Settings(
        broker=url,
        source=source,
        named=_is_named(broker or context, environ),
        context=entry.name if entry else None,
        read_only=entry is not None and entry.read_only,
        production=entry is not None and entry.production,
        key=environ.get("QTOOL_KEY") or (entry.key if entry is not None else None),
        contexts=tuple(contexts.values()),
        current=current,
        routes=said.routes(),
        retention=said.retention(),
        worker=said.worker(),
        top=said.top(),
        path=path,
    )


def open_adapter(settings: Settings, *, write: bool = False, patience: float | None = None) -> Adapter:
    """The broker that the settings name, open; ``patience`` as for :func:`~qtool.engine.registry.open_broker`.

    Raises ReadOnlyContext for ``write`` where that is forbidden, BrokerNotNamed, UnknownScheme, BrokerError.
    """
    if not settings.named and os.environ.get("QTOOL_BROKER_REQUIRED", "0") != "0":
        raise BrokerNotNamed
    if write and settings.read_only:
        raise ReadOnlyContext(context=settings.context)
    from qtool.engine.policy import Retention
    from qtool.engine.registry import open_broker

    return open_broker(settings.broker, retention=Retention(**settings.retention), patience=patience, key=settings.key)


def config_path(environ: Mapping[str, str] = os.environ) -> str:
    """Where the configuration file is, or would be."""
    if said := environ.get("QTOOL_CONFIG"):
        return said
    home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    if not sys.platform.startswith("linux") and not environ.get("XDG_CONFIG_HOME"):
        import platformdirs

        return os.path.join(platformdirs.user_config_dir("qtool"), "config.toml")
    return os.path.join(home, "qtool", "config.toml")


def default_broker(environ: Mapping[str, str] = os.environ) -> str:
    """The embedded file in the user's state directory, as a URL."""
    return "sqlite://" + os.path.join(state_directory(environ), "qtool.db")


def state_directory(environ: Mapping[str, str] = os.environ) -> str:
    """Where qtool keeps what it makes by itself."""
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if not sys.platform.startswith("linux") and not environ.get("XDG_STATE_HOME"):
        import platformdirs

        home = platformdirs.user_state_dir()
    return os.path.join(os.path.abspath(home), "qtool")


def read_toml(path: str) -> dict[str, Any]:
    """The file as a dict, empty when there is none. Raises BadConfig."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadConfig(path=path, why=error.strerror) from None
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(path=path, why=str(error)) from None


def redacted(url: str) -> str:
    """``url`` without its password."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not mark or not at or ":" not in user:
        return url
    return f"{scheme}://{user.partition(':')[0]}:***@{host}{slash}{path}"


def _is_named(flag: str | None, environ: Mapping[str, str]) -> bool:
    return bool(flag) or any(map(environ.get, ("QTOOL_BROKER", "QTOOL_CONTEXT", "QTOOL_CONFIG")))


def _choose(
    broker: str | None,
    context: str | None,
    environ: Mapping[str, str],
    contexts: Mapping[str, ContextEntry],
    current: str | None,
    path: str,
) -> tuple[str, str, ContextEntry | None]:
    """The broker's URL, what decided it, and the context it came from."""
    if broker:
        return broker, "-b", None
    if context:
        return _named(context, contexts, path, "-c")
    if url := environ.get("QTOOL_BROKER"):
        return url, "QTOOL_BROKER", None
    if name := environ.get("QTOOL_CONTEXT"):
        return _named(name, contexts, path, "QTOOL_CONTEXT")
    if current:
        return _named(current, contexts, path, "file")
    return default_broker(environ), "default", None


def _named(name: str, contexts: Mapping[str, ContextEntry], path: str, source: str) -> tuple[str, str, ContextEntry]:
    if name not in contexts:
        if source == "file":
            raise BadConfig(path=path, why=f"context = {name!r} names no [contexts.{name}]")
        known = ", ".join(contexts) or "none"
        raise UsageError(
            why=f"No context {name!r} ({source}). Known: {known}. 'qtool context add {name} URL' makes it."
        )
    return contexts[name].broker, f"context {name}", contexts[name]


class _Reader:
    """Takes typed values out of the file, and says which key is wrong."""

    __slots__ = ("_data", "_path")

    def __init__(self, path: str, data: dict[str, Any]) -> None:
        self._path = path
        self._data = data
        known = {"context", "current", "contexts", "routes", "retention", "worker", "top"}
        for key in data:
            if key not in known:
                raise self._bad(key, f"is not a setting (known: {', '.join(sorted(known))})")

    def _bad(self, key: str, why: str) -> BadConfig:
        return BadConfig(path=self._path, why=f"'{key}' {why}")

    def text(self, key: str) -> str | None:
        value = self._data.get(key)
        if value is not None and not isinstance(value, str):
            raise self._bad(key, "is not a string")
        return value or None

    def _table(self, key: str) -> dict[str, Any]:
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self._bad(key, f"is not a table: write [{key}]")
        return value

    def _fields(self, key: str, value: Any, kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
        """A table with known fields only, each of its kind."""
        if not isinstance(value, dict):
            raise self._bad(key, "is not a table")
        for name, said in value.items():
            if name not in kinds:
                raise self._bad(f"{key}.{name}", f"is not a setting (known: {', '.join(kinds)})")
            wanted = kinds[name]
            if not isinstance(said, wanted) or (isinstance(said, bool) and wanted is not bool):
                raise self._bad(f"{key}.{name}", f"is not {_KINDS[wanted]}")
        return value

    def contexts(self) -> dict[str, ContextEntry]:
        entries = {}
        for name, value in self._table("contexts").items():
            key = f"contexts.{name}"
            fields = dict(self._fields(key, value, _CONTEXT))
            if "alerts" in fields:
                fields["alerts"] = self._alerts(f"{key}.alerts", fields["alerts"])
            if not fields.get("broker"):
                raise self._bad(f"{key}.broker", "is missing")
            entries[name] = ContextEntry(name, **fields)
        return entries

    def _alerts(self, key: str, value: Any) -> Thresholds:
        from qtool.engine import alerts

        fields = dict(self._fields(key, value, _ALERTS))
        for name, said in fields.items():
            if name == "queues":
                fields[name] = self._strings(f"{key}.{name}", said)
            elif name in ("max_age", "drain_within"):
                fields[name] = self._seconds(f"{key}.{name}", said)
            if name not in ("queues", "bell") and fields[name] < 0:
                raise self._bad(f"{key}.{name}", "is less than nothing")
        return alerts.Thresholds(**fields)

    def top(self) -> TopDefaults:
        fields = dict(self._fields("top", self._table("top"), _TOP))
        if "refresh" in fields:
            fields["refresh"] = self._seconds("top.refresh", fields["refresh"])
            if not 0.1 <= fields["refresh"] <= 3600:
                raise self._bad("top.refresh", "is not between 0.1 seconds and an hour")
        for name, keys in fields.get("keys", {}).items():
            if not isinstance(keys, str) or not keys:
                raise self._bad(f'top.keys."{name}"', 'is not a string of keys, as in "ctrl+f" or "s,f7"')
        return TopDefaults(**fields)

    def routes(self) -> tuple[Route, ...]:
        routes = []
        for pattern, value in self._table("routes").items():
            key = f'routes."{pattern}"'
            fields = self._fields(key, {"queue": value} if isinstance(value, str) else value, _ROUTE)
            if not 0 <= fields.get("priority", 0) <= 9:
                raise self._bad(f"{key}.priority", "is not between 0 and 9")
            routes.append(Route(pattern, **fields))
        return tuple(routes)

    def retention(self) -> dict[str, float | None]:
        states = ("succeeded", "dead", "cancelled", "expired")
        fields = self._fields("retention", self._table("retention"), dict.fromkeys(states, (str, int, float)))
        return {
            state: None if value == "forever" else self._seconds(f"retention.{state}", value)
            for state, value in fields.items()
        }

    def worker(self) -> WorkerDefaults:
        fields = dict(self._fields("worker", self._table("worker"), _WORKER))
        for name in ("queues", "app", "middleware", "on_finish_state"):
            if name in fields:
                fields[name] = self._strings(f"worker.{name}", fields[name])
        if "drain_timeout" in fields:
            fields["drain_timeout"] = self._seconds("worker.drain_timeout", fields["drain_timeout"])
        for name in ("jobs", "max_memory_per_child"):
            if name in fields:
                fields[name] = self._size(name, str(fields[name]))
        return WorkerDefaults(**fields)

    def _size(self, name: str, value: str) -> Any:
        from qtool.engine.sizes import parse_size, parse_slots

        try:
            return parse_slots(value) if name == "jobs" else parse_size(value)
        except UsageError as error:
            raise self._bad(f"worker.{name}", f"does not do: {error}") from None

    def _strings(self, key: str, value: Any) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not all(isinstance(item, str) for item in items):
            raise self._bad(key, "is not a list of strings")
        return tuple(items)

    def _seconds(self, key: str, value: str | float) -> float:
        if not isinstance(value, str):
            return float(value)
        from qtool.engine.times import parse_duration
        from qtool.errors import BadDuration

        try:
            return parse_duration(value)
        except BadDuration as error:
            raise BadConfig(path=self._path, why=f"'{key}': {error}") from None


_ROUTE: dict[str, type | tuple[type, ...]] = {"queue": str, "priority": int}
_CONTEXT: dict[str, type | tuple[type, ...]] = {
    "broker": str,
    "read_only": bool,
    "production": bool,
    "key": str,
    "alerts": dict,
}
_ALERTS: dict[str, type | tuple[type, ...]] = {
    "queues": (str, list),
    "max_age": (str, int, float),
    "max_depth": int,
    "min_workers": int,
    "drain_within": (str, int, float),
    "max_failures_per_minute": int,
    "max_dead": int,
    "bell": bool,
}
_TOP: dict[str, type | tuple[type, ...]] = {
    "theme": str,
    "refresh": (str, int, float),
    "mouse": bool,
    "keys": dict,
}
_WORKER: dict[str, type | tuple[type, ...]] = {
    "jobs": (int, str),
    "pool": str,
    "queues": (str, list),
    "app": (str, list),
    "middleware": (str, list),
    "max_jobs_per_child": int,
    "max_memory_per_child": (int, str),
    "drain_timeout": (str, int, float),
    "on_finish": str,
    "on_finish_state": (str, list),
    "metrics": str,
    "log_format": str,
    "log_level": str,
    "echo": bool,
    "allow_exec": bool,
    "remote_control": bool,
    "task_events": bool,
}
_KINDS: dict[type | tuple[type, ...], str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    dict: "a table",
    (int, str): "a whole number or a string",
    (str, list): "a string or a list of strings",
    (str, int, float): "a duration (seconds, or '90s', '5m', '2d')",
}
