"""``qtool limits``."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.engine.broker import Adapter
from qtool.engine.limits import Limit, Scope
from qtool.errors import ExitCode, UsageError
from qtool.options import Common, complete_queue
from qtool.views.limits import LIMITS, LimitRow

ROW = LimitRow
EXAMPLES = """
qtool limits
qtool limits set email --concurrency 5 --rate 10/s
qtool limits set email --rate 600/m --burst 20     # what is not named stays
qtool limits set email --concurrency none
qtool limits set --task shop.tasks.sync --rate 100/m
qtool limits rm email
"""

NO_LIMIT = "none"

Queue = Annotated[
    str | None,
    typer.Argument(metavar="QUEUE", help="The queue that is limited.", autocompletion=complete_queue),
]
Task = Annotated[str | None, typer.Option("--task", metavar="NAME", help="A task instead of a queue.")]
Text = str | None


def command() -> None:
    """Limit how many jobs run at once, and how many start a second."""


def list_(common: Common) -> None:
    """Every limit, and how much of it is in use."""
    with common.adapter() as adapter:
        common.out().rows(LIMITS, map(LimitRow.of, adapter.inspector.limits()))


def set_(
    common: Common,
    queue: Queue = None,
    task: Task = None,
    concurrency: Annotated[
        Text,
        typer.Option("--concurrency", metavar="N", help="So many jobs run at once; none: any number."),
    ] = None,
    rate: Annotated[
        Text, typer.Option("--rate", metavar="RATE", help="So many start: 10/s, 100/m, 1000/h; none: any number.")
    ] = None,
    burst: Annotated[
        Text, typer.Option("--burst", metavar="N", help="So many may start together; by default a tenth of a second's.")
    ] = None,
) -> int:
    """Limit a queue or a task.

    Holds for all workers at once, for jobs that start from now on. What is not named stays as it was. For a task it
    beats what its code says with rate_limit.
    """
    scope, name = _which(queue, task)
    if concurrency is None and rate is None and burst is None:
        raise UsageError(why="Say what to limit: --concurrency, --rate or --burst.")
    with common.adapter(write=True) as adapter:
        before = _find(adapter, scope, name) or Limit(scope=scope, name=name)
        per_second = before.rate if rate is None else _rate(rate)
        said = before.burst if rate is None and not before.declared else None
        try:
            adapter.operator.limit(
                scope,
                name,
                concurrency=before.concurrency if concurrency is None else _count("--concurrency", concurrency),
                rate=per_second,
                burst=said if burst is None else _count("--burst", burst),
            )
        except ValueError as error:
            raise UsageError(why=f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        return _shown(common, adapter, scope, name)


def rm(common: Common, queue: Queue = None, task: Task = None) -> int:
    """Take back what 'set' said. What a task's code says holds again."""
    scope, name = _which(queue, task)
    with common.adapter(write=True) as adapter:
        if not adapter.operator.unlimit(scope, name):
            common.out().note(f"Nobody has limited the {scope} {name!r} here.")
            return ExitCode.NOT_FOUND
        return _shown(common, adapter, scope, name)


VERBS = {"list": list_, "set": set_, "rm": rm}


def _which(queue: str | None, task: str | None) -> tuple[Scope, str]:
    from qtool.engine.names import check_name

    if (queue is None) == (task is None):
        raise UsageError(why="Name a queue, or a task with --task.")
    return ("queue", check_name("queue", queue)) if queue is not None else ("task", check_name("task", task or ""))


def _find(adapter: Adapter, scope: Scope, name: str) -> Limit | None:
    return next((each for each in adapter.inspector.limits() if (each.scope, each.name) == (scope, name)), None)


def _shown(common: Common, adapter: Adapter, scope: Scope, name: str) -> int:
    found = _find(adapter, scope, name)
    common.out(keep_going=True).rows(LIMITS, [LimitRow.of(found)] if found is not None else [])
    return ExitCode.OK


def _count(option: str, text: str) -> int | None:
    if text == NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(why=f"{option}: '{text}' is not a number: write 1, 2, 3, …, or none.")
    return int(text)


def _rate(text: str) -> float | None:
    from qtool.engine.limits import parse_rate

    if text == NO_LIMIT:
        return None
    try:
        return parse_rate(text)
    except ValueError as error:
        raise UsageError(why=f"--rate: {error}.") from None
