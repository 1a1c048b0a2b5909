"""What the commands that change jobs share: which jobs, one question, pages, a report line a job, an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from qtool.config import open_adapter
from qtool.engine.broker import Change
from qtool.engine.states import State
from qtool.errors import AmbiguousJob, ExitCode, UnknownJob, UsageError
from qtool.options import read_ids
from qtool.verbs import PAGE, by_filter, jobs
from qtool.views.reports import REPORTS, ReportRow

if TYPE_CHECKING:
    from qtool.config import Settings
    from qtool.engine.broker import Adapter, Inspector
    from qtool.options import Common
    from qtool.output import Output
    from qtool.progress import Progress
    from qtool.verbs import Do, Verb

Answers = Callable[[Sequence[str]], Iterator[Change]]
"""What becomes of running jobs that were asked to stop, as it becomes known."""


def resolve(inspector: Inspector, ids: Sequence[str]) -> list[str]:
    """The full id for each id or unique beginning of one. Raises UnknownJob, AmbiguousJob."""
    found = []
    for id, job in zip(ids, inspector.get(ids), strict=True):
        # People copy what a table has cut.
        found.append(job.id if job is not None else inspector.find(id.rstrip("…")))
    return found


def danger(settings: Settings) -> str:
    """What a question begins with where a mistake is expensive."""
    return f"PRODUCTION ({settings.context}): " if settings.production else ""


class Tally:
    """Counts reports, for the exit code."""

    def __init__(self, wanted: State | None) -> None:
        """``wanted``: what the jobs were to become; None where they were to be gone."""
        self._wanted = wanted
        self.found = 0
        self.changed = 0
        self.seen = 0

    def add(self, change: Change) -> None:
        """Count one report."""
        self.seen += 1
        self.found += change.before is not None
        # What is still as it was has been asked to change; what changed into something else was not changed by this.
        self.changed += change.changed and change.after in (self._wanted, change.before)

    @property
    def exit_code(self) -> ExitCode:
        """All changed: 0; no such job at all: 4; anything between: 3."""
        if not self.found:
            return ExitCode.NOT_FOUND
        return ExitCode.OK if self.changed == self.seen else ExitCode.PARTLY


def act(
    out: Output, pages: Iterable[list[Change]], tally: Tally, progress: Progress, answers: Answers | None = None
) -> ExitCode:
    """Report on every change as it is made; on running jobs, where ``answers`` are waited for, when they are in."""

    def reports() -> Iterator[ReportRow]:
        asked: list[str] = []
        for page in pages:
            for change in page:
                if answers is not None and change.changed and change.after is State.RUNNING:
                    asked.append(change.id)
                    continue
                tally.add(change)
                yield ReportRow.of(change)
            progress.advance(len(page))
            out.flush()
        if asked and answers is not None:
            for change in answers(asked):
                tally.add(change)
                yield ReportRow.of(change)
                out.flush()

    out.rows(REPORTS, reports())
    return tally.exit_code


def by_id(inspector: Inspector, ids: Iterable[str], do: Do) -> Iterator[list[Change]]:
    """Apply a verb to ids as they come, a page at a time."""
    source = iter(ids)
    while page := list(islice(source, PAGE)):
        yield _each(inspector, page, do)


def full_ids(inspector: Inspector, typed: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The full id for each that was typed, and for each of the others why there is none: no such job, or several."""
    full: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for id, job in zip(typed, inspector.get(typed), strict=True):
        if job is not None:
            full[id] = id
            continue
        try:
            full[id] = inspector.find(id.rstrip("…"))
        except UnknownJob:
            wrong[id] = "no such job"
        except AmbiguousJob:
            wrong[id] = "begins more than one id"
    return full, wrong


def _each(inspector: Inspector, typed: Sequence[str], do: Do) -> list[Change]:
    """The report on each id as it was typed: on its job, or that there is none or more than one."""
    full, wrong = full_ids(inspector, typed)
    done = {change.id: change for change in do(list(dict.fromkeys(full.values())))} if full else {}
    return [done[full[id]] if id in full else Change(id, None, None, wrong[id]) for id in dict.fromkeys(typed)]


# --- retry, cancel, kill --------------------------------------------------------------------------------


def run(
    verb: Verb,
    common: Common,
    ids: list[str] | None,
    where: str | None,
    *,
    dry_run: bool,
    yes: bool,
    wait: float | None = None,
) -> ExitCode:
    """A verb as a command: on ids, ids from stdin, or what matches a filter; gives the exit code.

    ``wait``: so many seconds for what runs to stop. Raises UsageError, BrokerError.
    """
    if bool(ids) == bool(where):
        raise UsageError(why=f"Say which jobs: ids, - for ids on stdin, or --where FILTER. See 'qtool {verb.name} -h'.")
    settings = common.settings()
    out = common.out(keep_going=True)
    with open_adapter(settings, write=not dry_run) as adapter:
        do: Do = partial(verb.pretend, adapter.inspector) if dry_run else verb.of(adapter.operator)
        tally = Tally(verb.after)
        answers = partial(_answers, adapter, wait) if wait is not None and not dry_run else None
        if ids:
            with out.progress(verb.name) as progress:
                return act(out, by_id(adapter.inspector, read_ids(ids), do), tally, progress, answers)
        assert where is not None
        filter = verb.narrow(where)
        with out.busy("counting"):
            count = adapter.inspector.count(filter)
        if not count:
            out.note("No job matches.")
            return ExitCode.NOT_FOUND
        question = verb.question.format(count=jobs(count))
        if not dry_run and not out.confirm(f"{danger(settings)}{question}?", yes=yes):
            out.note("Nothing was changed.")
            return ExitCode.FAILED
        with out.progress(verb.name, count) as progress:
            return act(out, by_filter(adapter.inspector, filter, do), tally, progress, answers)


def _answers(adapter: Adapter, seconds: float, ids: Sequence[str]) -> Iterator[Change]:
    from qtool.engine.waiting import as_they_stop

    return as_they_stop(adapter, ids, timeout=seconds)


def waiting_time(wait: str, *, no_wait: bool) -> float | None:
    """Seconds to wait for running jobs to stop; None not to wait at all. Raises BadDuration."""
    from qtool.engine.times import parse_duration

    return None if no_wait else parse_duration(wait)
