"""From options and arguments to jobs, checked before the first one is enqueued."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from qtool.engine.codec import MAX_PAYLOAD, decode, encode_body, encode_options
from qtool.engine.ids import new_id
from qtool.engine.job import DEFAULT_QUEUE, NOTHING, PRIORITIES, UNSAID, Job, Policy
from qtool.engine.names import check_key, check_name
from qtool.engine.value import Value, stamp
from qtool.errors import BadDuration, BadTime, QtoolError, UsageError
from qtool.intake.input import HOLE, Filler, Work, check_depth, parse_json

if TYPE_CHECKING:
    from qtool.config import Route
    from qtool.engine.job import OnCrash
    from qtool.intake.options import EnqueueOptions

SHORT = MAX_PAYLOAD // 12
"""Characters that stay below the payload limit however JSON writes them (a surrogate pair takes 12 bytes)."""


class Terms(Value, kw_only=True):
    """Everything about the jobs but their arguments, as far as the command line says it."""

    id: str | None
    queue: str | None
    priority: int | None
    run_in: float | None
    run_at: float | None
    expires_in: float | None
    expires_at: float | None
    unique: str | None
    key: str | None
    key_limit: int | None
    tags: Mapping[str, str]
    policy: Policy

    def starts(self, now: float) -> float | None:
        """Not before this time."""
        return now + self.run_in if self.run_in is not None else self.run_at

    def ends(self, now: float) -> float | None:
        """Not started after this time."""
        return now + self.expires_in if self.expires_in is not None else self.expires_at


def read_terms(options: EnqueueOptions, now: float, *, many: bool) -> Terms:
    """The checked options. Raises UsageError and its kin."""
    if options.id is not None:
        check_name("id", options.id)
        if many:
            raise UsageError(why="--id names one job: it does not go with --lines, -0 or --jsonl.")
    if options.delay is not None and options.at is not None:
        raise UsageError(why="--in and --at both say when: use one.")
    if options.queue is not None:
        check_name("queue", options.queue)
    if options.unique is not None:
        check_key(options.unique)
    if options.key is not None:
        check_key(options.key, "key")
    expires_in, expires_at = _expiry(options.expires, now)
    terms = Terms(
        id=options.id,
        queue=options.queue,
        priority=None if options.priority is None else read_priority(options.priority),
        run_in=_duration("--in", options.delay),
        run_at=_time("--at", options.at, now),
        expires_in=expires_in,
        expires_at=expires_at,
        unique=options.unique,
        key=options.key,
        key_limit=_key_limit(options),
        tags=_tags(options.tag),
        policy=_policy(options),
    )
    starts, ends = terms.starts(now), terms.ends(now)
    if ends is not None and ends <= max(now, starts or now):
        why = "has passed already" if ends <= now else "comes before the job may start"
        raise UsageError(why=f"--expires {options.expires} {why}.")
    return terms


def read_priority(text: str) -> int:
    """A priority as people write it. Raises UsageError."""
    if not (text.isascii() and text.isdigit() and int(text) in PRIORITIES):
        raise UsageError(why=f"'{text}' is not a priority: write a number from 0 to 9; 9 runs first.")
    return int(text)


def read_retries(text: str) -> int:
    """A number of retries as people write it. Raises UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(why=f"'{text}' is not a number of retries: write 0, 1, 2, …")
    return int(text)


def _key_limit(options: EnqueueOptions) -> int | None:
    text = options.key_limit
    if text is None:
        return None
    if options.key is None and not options.jsonl:
        raise UsageError(why="--key-limit says how many jobs with a --key run at once: add it.")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise UsageError(why=f"'{text}' is not a number of jobs: write 1, 2, 3, …")
    return int(text)


def _duration(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    from qtool.engine.times import parse_duration

    try:
        return parse_duration(text)
    except BadDuration as error:
        raise UsageError(why=f"{option}: {error}") from None


def _time(option: str, text: str | None, now: float) -> float | None:
    if text is None:
        return None
    from qtool.engine.times import parse_time

    try:
        return parse_time(text, now)
    except BadTime as error:
        raise UsageError(why=f"{option}: {error}") from None


def _expiry(text: str | None, now: float) -> tuple[float | None, float | None]:
    """A duration, or else a time."""
    if text is None:
        return None, None
    from qtool.engine.times import parse_duration, parse_time

    try:
        return parse_duration(text), None
    except BadDuration:
        pass
    try:
        return None, parse_time(text, now)
    except BadTime:
        raise UsageError(
            why=f"--expires: '{text}' is neither a duration (1h30m) nor a time (2026-01-31T09:00)."
        ) from None


def _tags(said: tuple[str, ...]) -> Mapping[str, str]:
    tags: dict[str, str] = {}
    for item in said:
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(why=f"--tag {item!r} has no value: write NAME=VALUE.")
        check_name("tag", name)
        if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            raise UsageError(why=f"The tag {name!r} cannot hold bytes that are not UTF-8.")
        tags[name] = value
    return tags or NOTHING


def _policy(options: EnqueueOptions) -> Policy:
    timeout = _duration("--timeout", options.timeout)
    if timeout == 0:
        raise UsageError(why="--timeout 0 would end every attempt before it began: leave the option out for no limit.")
    policy = Policy(
        retries=None if options.retries is None else read_retries(options.retries),
        backoff=_duration("--backoff", options.backoff),
        timeout=timeout,
        grace=_duration("--grace", options.grace),
        # Whoever read the command line took it from these two.
        on_crash=cast("OnCrash | None", options.on_crash),
    )
    return UNSAID if policy == UNSAID else policy


# --- makers: each turns a batch of lines into jobs ---------------------------------------------------


class Maker:
    """Makes jobs. ``reject`` hears of a line that cannot become one, by its number."""

    def __init__(
        self,
        work: Work,
        terms: Terms,
        route: Callable[[str], Route | None],
        reject: Callable[[int, Exception], None],
        now: float,
    ) -> None:
        """Raises BadName for a task that cannot be one, PayloadTooLarge, NotSerialisable."""
        self._work = work
        self._terms = terms
        self._route = route
        self._reject = reject
        self._fill = Filler(work)
        if work.task is not None:
            check_name("task", work.task)
            self._template = self._describe(work.task, now)
            encode_body(work.args, work.kwargs)
            encode_options(self._template)
            self._stamp = stamp(
                self._template, "id", "args", "kwargs", "created_at", "run_at", "expires_at", "unique", "key"
            )

    def one(self, now: float) -> Job:
        """The job of a call without lines."""
        terms, work = self._terms, self._work
        made: Job = self._stamp(
            terms.id or new_id(),
            work.args,
            work.kwargs,
            now,
            terms.starts(now),
            terms.ends(now),
            terms.unique,
            terms.key,
        )
        return made

    def of_lines(self, number: int, lines: list[str], now: float) -> list[Job]:
        """A job for every line that is not empty."""
        starts, ends = self._terms.starts(now), self._terms.ends(now)
        unique, key = self._terms.unique, self._terms.key
        make, work = self._stamp, self._work
        delicate = work.command and any("\0" in line for line in lines)
        if (
            self._fill.plain
            and not delicate
            and (unique is None or HOLE not in unique)
            and (key is None or HOLE not in key)
            and max(map(len, lines)) < SHORT
        ):
            # The usual case, a million times.
            args, kwargs = work.args, work.kwargs
            if "" in lines:
                lines = [line for line in lines if line]
            return [
                make(id, (*args, line), kwargs, now, starts, ends, unique, key)
                for id, line in zip(new_id.batch(len(lines)), lines, strict=True)
            ]
        jobs = []
        for at, line in enumerate(lines, number):
            if not line:
                continue
            try:
                args, kwargs = self._fill(line)
                if delicate and "\0" in line:
                    raise UsageError(why="a command's argument cannot hold a NUL")
                if len(line) >= SHORT // 8:
                    encode_body(args, kwargs)
                keys = _key_of(unique, line), _key_of(key, line, "key")
                jobs.append(make(new_id(), args, kwargs, now, starts, ends, *keys))
            except QtoolError as error:
                self._reject(at, error)
        return jobs

    def of_json(self, number: int, lines: list[str], now: float) -> list[Job]:
        """A job for every line of JSON: arguments for the task, or an envelope where there is no task."""
        read = self._envelope if self._work.task is None else self._arguments
        jobs = []
        for at, line in enumerate(lines, number):
            if line and not line.isspace():
                try:
                    check_depth(line)
                    jobs.append(read(parse_json(line, "it"), line, now))
                except QtoolError as error:
                    self._reject(at, error)
        return jobs

    def _arguments(self, said: Any, line: str, now: float) -> Job:
        terms, work = self._terms, self._work
        args, kwargs = work.args, work.kwargs
        if type(said) is list:
            args = (*args, *said)
        elif type(said) is dict:
            kwargs = {**kwargs, **said}
        else:
            raise UsageError(why="it is neither an array of arguments nor an object of keyword arguments")
        if len(line) >= SHORT // 8:
            encode_body(args, kwargs)
        keys = _key_of(terms.unique, line), _key_of(terms.key, line, "key")
        made: Job = self._stamp(new_id(), args, kwargs, now, terms.starts(now), terms.ends(now), *keys)
        return made

    def _envelope(self, said: Any, line: str, now: float) -> Job:
        if type(said) is not dict or "task" not in said:
            raise UsageError(why='it is not an envelope: an object with a "task" (or name the task before --jsonl)')
        if said.get("parents"):
            raise UsageError(why="its parents cannot be waited for yet")
        _check_envelope(said)
        terms, task = self._terms, said["task"]
        default = self._describe(task, now)
        job = decode(said, id=new_id(), created_at=now, queue=default.queue)
        if len(line) >= SHORT // 8:
            encode_body(job.args, job.kwargs)
        return Job(
            id=job.id,
            task=task,
            args=job.args,
            kwargs=job.kwargs,
            queue=terms.queue or job.queue,
            priority=default.priority if terms.priority is not None or "priority" not in said else job.priority,
            created_at=job.created_at,
            run_at=_first(terms.starts(now), job.run_at),
            expires_at=_first(terms.ends(now), job.expires_at),
            unique=_key_of(terms.unique, line) or job.unique,
            key=_key_of(terms.key, line, "key") or job.key,
            key_limit=terms.key_limit or job.key_limit,
            tags={**job.tags, **terms.tags} if terms.tags else job.tags,
            policy=terms.policy.over(job.policy),
        )

    def _describe(self, task: str, now: float) -> Job:
        """A job of ``task`` with everything the options and the routes say."""
        terms = self._terms
        route = self._route(task) if terms.queue is None or terms.priority is None else None
        return Job(
            id="",
            task=task,
            queue=terms.queue or (route and route.queue) or DEFAULT_QUEUE,
            priority=_first(terms.priority, route.priority if route else None) or 0,
            created_at=now,
            key_limit=terms.key_limit or 1,
            tags=terms.tags,
            policy=terms.policy,
        )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _key_of(key: str | None, line: str, what: str = "unique key") -> str | None:
    """The (unique) key for ``line``; its bytes that are not UTF-8 are spelled out, for a key is text."""
    if key is None or HOLE not in key:
        return key
    text = os.fsencode(line).decode("utf-8", "backslashreplace")
    return check_key(key.replace(HOLE, text), what)


# --- envelopes ---------------------------------------------------------------------------------------

_NUMBERS = ("created_at", "run_at", "expires_at", "backoff", "backoff_cap", "timeout", "grace")
_LATEST = 1e11
"""Seconds: a few thousand years, beyond which no calendar helps."""
_WHOLE = {"priority": (0, PRIORITIES[-1]), "retries": (0, 2**31 - 1), "key_limit": (1, 2**31 - 1)}
_TEXTS: Mapping[str, Callable[[str], str]] = {
    **{field: partial(check_name, field) for field in ("id", "task", "queue")},
    "unique": check_key,
    "key": partial(check_key, what="key"),
}


def _check_envelope(said: dict[str, Any]) -> None:
    """Raises UsageError, BadName for a field of the wrong kind; :func:`decode` looks at the others."""
    for field, check in _TEXTS.items():
        if (value := said.get(field)) is not None:
            if type(value) is not str:
                raise UsageError(why=f'its "{field}" is not a string')
            check(value)
    for field in _NUMBERS:
        if (value := said.get(field)) is not None and (type(value) not in (int, float) or not 0 <= value <= _LATEST):
            raise UsageError(why=f'its "{field}" is not a number of seconds')
    for field, (least, most) in _WHOLE.items():
        if (value := said.get(field)) is not None and (type(value) is not int or not least <= value <= most):
            raise UsageError(why=f'its "{field}" is not a whole number from {least} to {most}')
    _check_tags(said.get("tags"))


def _check_tags(tags: Any) -> None:
    if tags is None:
        return
    if type(tags) is not dict or not all(type(value) is str for value in tags.values()):
        raise UsageError(why='its "tags" are not an object of strings')
    for name in tags:
        check_name("tag", name)
