"""What ``@task`` and ``apply_async`` take: checked once, in qtool's words, with Celery's understood."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from qtool.engine.job import PRIORITIES, UNSAID, OnCrash, Policy
from qtool.engine.limits import parse_rate

if TYPE_CHECKING:
    from qtool.engine.on_error import OnError

UNLIMITED = 2**31 - 1
"""Retries without end, as Celery's ``max_retries=None`` asks for them."""
ASKED_RETRIES = 3
"""How often errors are retried where a task says which (``on_error``, Celery's options), and not how often."""

Key = str | Callable[..., str | None]
Rate = str | float
Unique = bool | str | Callable[..., str]
Errors = type[BaseException] | Collection[type[BaseException]]


Seconds = float | timedelta


class TaskOptions(TypedDict, total=False):
    """The options of ``@task``; the second part are Celery's names. A bare number is seconds."""

    name: str
    """What jobs call it; ``module.function`` by default."""
    queue: str
    """Where its jobs go."""
    priority: int
    """0 (the default) to 9; the larger runs first."""
    retries: int
    """How many errors are forgiven; none by default."""
    backoff: Seconds
    """The longest wait before the first retry, doubled for each further one; 2 seconds by default."""
    backoff_cap: Seconds
    """The longest wait between two attempts; an hour by default."""
    jitter: bool
    """False: wait the whole backoff, not a random part of it."""
    on_error: OnError
    """What becomes of a job by the class of its error: ``"retry"``, ``"dead"``, ``"discard"``, ``Retry(in_=5)`` or
    ``Snooze(30)``, or a function of the error and the job that says so. The most specific class decides."""
    on_crash: OnCrash
    """``"dead"``: no other try for a job that took its process down; by default there are three."""
    timeout: Seconds
    """How long an attempt may run; for ever by default."""
    grace: Seconds
    """How long it may go on after that before it is killed; 5 seconds by default."""
    unique: Unique
    """No second unfinished job with the same key: True for the same arguments, a string, or a function of them."""
    expires: Seconds
    """Not started once this has passed since it was enqueued."""
    key: Key
    """Of all jobs with the same key ``key_limit`` run at once: a string, or a function of the arguments."""
    key_limit: int
    """How many jobs with its key may run at once; 1 by default."""
    rate_limit: Rate
    """How many of its jobs start, over all workers: ``"10/s"``, ``"100/m"``, ``"1000/h"``, or a number a second."""
    tags: Mapping[str, str]
    """For filters; a call's own are added."""

    autoretry_for: Errors
    """Celery's: retry only these errors, three times unless ``max_retries`` says otherwise."""
    dont_autoretry_for: Errors
    """Celery's: these are not retried, whatever else says so."""
    throws: Errors
    """Celery's: expected errors. A job that ends by one is dead (discarded): nobody need look."""
    max_retries: int | None
    """Celery's ``retries``; None is without end."""
    default_retry_delay: Seconds
    """Celery's: a fixed wait between attempts."""
    retry_backoff: bool | float
    """Celery's ``backoff``; True is one second."""
    retry_backoff_max: Seconds
    """Celery's ``backoff_cap``."""
    retry_jitter: bool
    """Celery's ``jitter``."""
    retry_kwargs: Mapping[str, Any]
    """Celery's: ``max_retries`` and ``countdown`` for ``autoretry_for``."""
    time_limit: Seconds
    """Celery's ``timeout``; beside ``soft_time_limit`` the time of the kill, which ``grace`` counts from there."""
    soft_time_limit: Seconds
    """Celery's ``timeout``."""
    ignore_result: bool
    """Do not keep what it returns."""
    acks_late: bool
    """Celery's: True is what happens anyway."""
    track_started: bool
    """Celery's: taken and not needed, for a start is always recorded."""
    serializer: str
    """Celery's: ``json`` is what happens anyway."""


class SendOptions(TypedDict, total=False):
    """The options of one call; what it does not say is the task's, then the routes', then the default."""

    countdown: Seconds
    """Seconds from now before it may start."""
    eta: datetime | float
    """Not before this time: an aware datetime, a naive one in local time, or seconds since the epoch."""
    expires: datetime | timedelta | float
    """Not started after this time; a number is seconds from now."""
    queue: str
    """Where the job goes."""
    priority: int
    """0 to 9; the larger runs first."""
    retries: int
    """How many errors are forgiven."""
    backoff: Seconds
    """The longest wait before the first retry, doubled for each further one."""
    backoff_cap: Seconds
    """The longest wait between two attempts."""
    jitter: bool
    """False: wait the whole backoff."""
    on_crash: OnCrash
    """``"dead"`` or ``"retry"``: what becomes of the job if it takes its process down."""
    timeout: Seconds
    """How long an attempt may run."""
    grace: Seconds
    """How long it may go on after that before it is killed."""
    unique: Unique
    """As for ``@task``; False for none."""
    key: Key | None
    """As for ``@task``; None for none."""
    key_limit: int
    """How many jobs with its key may run at once."""
    tags: Mapping[str, str]
    """For filters, over those of the task."""
    task_id: str
    """The job's id: enqueued again, it stands already and nothing is added."""

    max_retries: int
    """Celery's ``retries``."""
    time_limit: Seconds
    """Celery's ``timeout``; beside ``soft_time_limit`` the time of the kill."""
    soft_time_limit: Seconds
    """Celery's ``timeout``."""


NOT_YET = {
    "link": "enqueue the next job at the end of the task",
    "link_error": "catch the error in the task and enqueue from there",
    "serializer": "arguments travel as JSON",
    "acks_late": "a job is always acknowledged after it ran",
}
"""Options of Celery's that mean something qtool does not do, and what to do instead."""

_HARMLESS = {"serializer": ("json",), "acks_late": (True,)}
"""Values of those that ask for what qtool does anyway."""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_seconds(value: Any) -> bool:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    # Not a number is below no bound either.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_errors(value: Any) -> bool:
    kinds = (value,) if isinstance(value, type) else value
    return isinstance(kinds, Collection) and all(isinstance(k, type) and issubclass(k, BaseException) for k in kinds)


def _is_rate(value: Any) -> bool:
    with suppress(ValueError):
        return value is None or parse_rate(value) > 0
    return False


def _is_tags(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair)


_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "priority": (lambda value: type(value) is int and value in PRIORITIES, "a whole number from 0 to 9"),
    "retries": (_is_count, "a whole number, 0 or more"),
    "key": (
        lambda value: value is None or callable(value) or _is_name(value),
        "a string that is not empty, or a function",
    ),
    "key_limit": (lambda value: type(value) is int and 1 <= value <= UNLIMITED, "a whole number, 1 or more"),
    "rate_limit": (_is_rate, "written 10/s, 100/m or 1000/h"),
    "max_retries": (lambda value: value is None or _is_count(value), "a whole number, 0 or more, or None"),
    "tags": (_is_tags, "a mapping of strings to strings"),
    "on_crash": (lambda value: value in ("retry", "dead"), "'retry' or 'dead'"),
    **dict.fromkeys(("jitter", "retry_jitter"), (lambda value: isinstance(value, bool), "True or False")),
    **dict.fromkeys(
        ("autoretry_for", "dont_autoretry_for", "throws"), (_is_errors, "a class of errors, or several of them")
    ),
    **dict.fromkeys(("name", "queue", "task_id"), (_is_name, "a string that is not empty")),
    **dict.fromkeys(
        (
            "backoff",
            "backoff_cap",
            "timeout",
            "grace",
            "time_limit",
            "soft_time_limit",
            "default_retry_delay",
            "retry_backoff_max",
        ),
        (_is_seconds, "a number of seconds, 0 or more"),
    ),
}
"""What an option may be, where a wrong value would only be noticed in the worker."""


def checked(what: str, options: Mapping[str, Any], known: type, also: Collection[str] = ()) -> dict[str, Any]:
    """``options`` without those that ask for nothing; ``also`` names what is known and not among them.

    Raises TypeError naming every option that is not known, ValueError for a value that cannot be.
    """
    names: Mapping[str, Any] = known.__annotations__
    for name, advice in NOT_YET.items():
        if name in options and options[name] not in _HARMLESS.get(name, (None,)):
            raise TypeError(f"{what}: {name}={options[name]!r} is not supported yet; {advice}")
    if unknown := sorted(set(options) - set(names) - set(NOT_YET)):
        plural = "s" if len(unknown) > 1 else ""
        raise TypeError(
            f"{what}: unknown option{plural} {', '.join(unknown)}; known: {', '.join(sorted({*names, *also}))}"
        )
    said = {name: value for name, value in options.items() if name not in NOT_YET}
    for name, value in said.items():
        if name in _WANTED:
            fits, words = _WANTED[name]
            if not fits(value):
                raise ValueError(f"{what}: {name} is {words}, not {value!r}")
    return said


def policy_of(said: Mapping[str, Any], retries: int | None = None) -> Policy:
    """The policy in options that are checked; ``retries`` where they say nothing. Raises ValueError."""
    timeout, grace = _limits(said)
    policy = Policy(
        retries=said.get("retries", said.get("max_retries", retries)),
        backoff=seconds(said.get("backoff")),
        backoff_cap=seconds(said.get("backoff_cap")),
        timeout=timeout,
        grace=grace,
        jitter=said.get("jitter", said.get("retry_jitter")),
        on_crash=said.get("on_crash"),
    )
    return UNSAID if policy == UNSAID else policy


def _limits(said: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """After how many seconds an attempt is asked to stop, and how many later it is killed."""
    soft, hard = seconds(said.get("soft_time_limit")), seconds(said.get("time_limit"))
    timeout, grace = seconds(said.get("timeout")), seconds(said.get("grace"))
    if timeout is not None:
        return timeout, grace
    if soft is None or hard is None:
        return (hard if soft is None else soft), grace
    if hard < soft:
        raise ValueError(f"time_limit={hard:g} ends before soft_time_limit={soft:g}")
    return soft, hard - soft if grace is None else grace


def errors_of(said: Errors) -> tuple[type[BaseException], ...]:
    """One class or several, as ``except`` takes them."""
    return (said,) if isinstance(said, type) else tuple(said)


def celery_retries(said: dict[str, Any]) -> tuple[tuple[type[BaseException], ...] | None, float | None]:
    """Rewrite Celery's retry options into qtool's; which errors are retried (None: all), and after what fixed wait.

    A task that uses any of them is retried as Celery would: only where it asks, or for ``autoretry_for``.
    """
    celery = {"bind", "autoretry_for", "max_retries", "default_retry_delay", "retry_backoff", "retry_kwargs"}
    if not celery & set(said):
        return None, None
    again = dict(said.pop("retry_kwargs", {}))
    delay = again.pop("countdown", said.pop("default_retry_delay", None))
    if "max_retries" in again:
        said["max_retries"] = again.pop("max_retries")
    if again:
        raise TypeError(f"@task: unknown retry_kwargs: {', '.join(sorted(again))}; known: countdown, max_retries")
    backoff = said.pop("retry_backoff", False)
    if backoff is not False:
        # Celery's retry_backoff=True starts at one second, and wins over a fixed wait.
        said["backoff"], delay = float(backoff), None
    if "retry_backoff_max" in said:
        said["backoff_cap"] = said.pop("retry_backoff_max")
    native = "retries" in said
    limit = said.pop("max_retries", ASKED_RETRIES)
    said.setdefault("retries", UNLIMITED if limit is None else limit)
    errors = said.pop("autoretry_for", None)
    if errors is None:
        return (None if native else ()), seconds(delay)
    return errors_of(errors), seconds(delay)


def moment(value: datetime | timedelta | float, now: float, *, relative: bool) -> float:
    """Seconds since the epoch; a bare number counts from ``now`` where ``relative``."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, timedelta):
        return now + value.total_seconds()
    return now + value if relative else float(value)


def seconds(value: Seconds | None) -> float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value
