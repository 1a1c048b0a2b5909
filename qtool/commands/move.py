"""``qtool move``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.engine.states import FINAL, PENDING, State
from qtool.errors import ExitCode, QtoolError, UsageError
from qtool.options import (
    Common,
    DryRun,
    Where,
    Yes,
    any_of,
    complete_queue,
    parse_where,
    read_ids,
)
from qtool.views.reports import MOVES, MoveRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtool.config import Settings
    from qtool.engine.broker import Adapter, Inspector
    from qtool.engine.filter import Filter
    from qtool.engine.freight import Moved, Transit
    from qtool.engine.moving import Mover
    from qtool.output import Output

    Batches = Iterator[list[Moved]]

ROW = MoveRow
EXAMPLES = """
qtool move --to redis://queue.example.com/0 --dry-run
qtool move --to redis://queue.example.com/0 email bulk
qtool move -b redis://queue.example.com/0 --to jobs.db --all -y
qtool move --to work -w 'task:report.* age>1h' --into slow
qtool move 019ab3c2-7f10-7000 --into urgent
qtool jobs -w 'queue:bulk tag.team=billing' -o ids | qtool move - --into billing
"""


def command(
    common: Common,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUEUE…|ID…]",
            help="With --to: queues, all of them if none is said. Without: ids or beginnings of ids. - reads ids from "
            "stdin.",
            autocompletion=complete_queue,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL|CONTEXT", help="The broker where the jobs are to go.")
    ] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="QUEUE", help="The queue where they are to go.", autocompletion=complete_queue),
    ] = None,
    where: Where = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Ended jobs too, with their results, output and attempts.")
    ] = False,
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Take back what is on its way to a broker that is gone for good.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Move jobs to another broker, or into another queue of this one.

    With --to, jobs go to another broker as they are: their id, state, times, attempts, keys and tags, with --all also
    those that have ended, with result and output. What runs stays, and so does a job whose id or unique key is there
    already; the report says so. Without --to, ids or --where say which jobs go --into another queue.

    Jobs go in batches. Each is in one place at every moment: should this be killed, or a broker fail, nothing is lost
    and nothing runs twice. What was on its way then runs nowhere until the same command, given again, goes on with it;
    'qtool doctor' tells of it. Ctrl-C stops between two batches.

    --put-back is for when the other broker is gone for good: what is on its way from here comes back. Should it have
    arrived there after all, it is in both places.
    """
    from qtool.config import open_adapter

    settings = common.settings()
    out = common.out(keep_going=True)
    if put_back:
        if names or to or into or where or all_:
            raise UsageError(why="--put-back takes back all that is on its way from here, and goes with -n or -y only.")
        with open_adapter(settings, write=not dry_run) as source:
            return _put_back(source, settings, out, dry_run=dry_run, yes=yes)
    if to is None and into is None:
        raise UsageError(why="Say where: --to BROKER, or --into QUEUE. See 'qtool move -h'.")
    if to is None and bool(names) == bool(where):
        raise UsageError(why="Say which jobs: ids, - for ids on stdin, or --where FILTER. See 'qtool move -h'.")
    by_id = bool(names) and (to is None or names == ["-"])
    if by_id and where:
        raise UsageError(why="With ids from stdin nothing else says which jobs.")
    with open_adapter(settings, write=not dry_run) as source:
        wanted = _Wanted(source.inspector, into, all_=all_)
        if by_id:
            wanted.ids = names
        else:
            wanted.narrow(names or [], where)
        if to is None:
            return _into(source, wanted, settings, out, dry_run=dry_run, yes=yes)
        target = _settings_of(to, settings)
        if dry_run:
            return _pretend(wanted, target, out)
        with open_adapter(target, write=True) as destination:
            return _move(source, destination, wanted, (settings, target), out, yes=yes)


def _settings_of(to: str, settings: Settings) -> Settings:
    from qtool.config import load_settings

    if to in {each.name for each in settings.contexts}:
        return load_settings(context=to)
    return load_settings(broker=to)


class _Wanted:
    """Which jobs are to be moved: ids, or what matches."""

    def __init__(self, inspector: Inspector, into: str | None, *, all_: bool) -> None:
        self._inspector = inspector
        self._filter: Filter | None = None
        self._running: Filter | None = None
        self.ids: list[str] | None = None
        """As they were typed; None for what matches."""
        self.into = into
        self.states = PENDING | FINAL if all_ else PENDING

    def narrow(self, queues: list[str], where: str | None) -> None:
        """Only these queues, and what matches. Raises BadFilter."""
        asked = parse_where(where, any_of("queue", tuple(dict.fromkeys(queues))))
        named = asked.states() if asked is not None else None
        if named is not None:
            self.states = named - {State.RUNNING}
        text = asked.text if asked is not None else None
        self._filter = parse_where(text, any_of("state", tuple(filter(self.states.__contains__, State))))
        self._running = parse_where(text, "state:running")

    def count(self) -> int | None:
        """How many there are; None for ids, which are counted as they come."""
        return self._inspector.count(self._filter) if self.ids is None and self.states else None

    def left(self) -> int:
        """How many would be among them if they did not run."""
        return self._inspector.count(self._running) if self.ids is None else 0

    def pages(self) -> Iterator[tuple[list[str], list[Moved]]]:
        """Full ids, oldest first, and what was typed that is none."""
        from qtool.engine.freight import BATCH, Moved
        from qtool.verbs import matching

        if self.ids is None:
            if self.states:
                for page in matching(self._inspector, self._filter, oldest_first=True):
                    yield [job.id for job in page], []
            return
        source = read_ids(self.ids)
        while typed := list(dict.fromkeys(islice(source, BATCH))):
            from qtool.acting import full_ids

            full, wrong = full_ids(self._inspector, typed)
            yield list(dict.fromkeys(full.values())), [Moved(id=id, note=why) for id, why in wrong.items()]

    def each(self, do: Callable[[list[str]], Iterable[list[Moved]]]) -> Batches:
        """What ``do`` makes of them, a batch at a time."""
        for ids, wrong in self.pages():
            if wrong:
                yield wrong
            if ids:
                yield from do(ids)

    def pretend(self, ids: list[str]) -> Batches:
        """What would become of them."""
        from qtool.engine.freight import Moved, stays

        report = []
        for job in self._inspector.get(ids):
            if job is None:
                continue
            goes = job.state in self.states
            into = (self.into or job.queue) if goes else None
            note = "dry run" if goes else stays(job.state)
            report.append(Moved(id=job.id, state=job.state, queue=job.queue, into=into, moved=goes, note=note))
        yield report


# --- to another broker -----------------------------------------------------------------------------------


def _move(
    source: Adapter, target: Adapter, wanted: _Wanted, settings: tuple[Settings, Settings], out: Output, *, yes: bool
) -> ExitCode:
    from qtool.acting import danger
    from qtool.engine.moving import Mover, freight_of
    from qtool.verbs import jobs

    mover = Mover(source, target)
    waiting = _waiting(freight_of(source).transits(), freight_of(target).identity(), target.url, out)
    with out.busy("counting"):
        count = wanted.count()
    if count == 0 and not waiting:
        out.note("No job matches.")
        _tell_running(wanted, out)
        return ExitCode.NOT_FOUND
    if waiting:
        out.note(f"An earlier move left {jobs(waiting)} on the way there: that goes first.")
    if count is not None:
        question = f"{danger(settings[0]) or danger(settings[1])}Move {jobs(count + waiting)} to {target.url}?"
        if not out.confirm(question, yes=yes):
            out.note("Nothing was moved.")
            return ExitCode.FAILED
    total = count + waiting if count is not None else None
    try:
        code = _report(partial(_batches, mover, wanted), total, target.url, out)
    except (QtoolError, KeyboardInterrupt):
        _tell_stranded(source, out)
        raise
    _tell_running(wanted, out)
    return code


def _batches(mover: Mover, wanted: _Wanted) -> Batches:
    mover.begin()
    yield from mover.finish()
    yield from wanted.each(lambda ids: mover.move(ids, wanted.states, wanted.into))


def _report(batches: Callable[[], Batches], total: int | None, to: str | None, out: Output) -> ExitCode:
    """Write a row for each job as its batch is done, and give the exit code. Raises KeyboardInterrupt between two."""
    from qtool.interrupts import deferred_interrupt

    seen = found = moved = 0

    def rows() -> Iterator[MoveRow]:
        nonlocal seen, found, moved
        with deferred_interrupt() as check, out.progress("moving", total) as progress:
            check.busy()
            for batch in batches():
                for each in batch:
                    seen += 1
                    found += each.state is not None
                    moved += each.moved
                    yield MoveRow.of(each, to)
                progress.advance(len(batch))
                out.flush()
                check.busy()

    try:
        out.rows(MOVES, rows())
    except KeyboardInterrupt:
        out.warn(f"Interrupted: {moved:,} jobs were moved; the others are where they were. The same command goes on.")
        raise
    if not found:
        return ExitCode.NOT_FOUND
    return ExitCode.OK if moved == seen else ExitCode.PARTLY


def _waiting(transits: list[Transit], identity: str, url: str, out: Output) -> int:
    """How many jobs are on their way to the store of that identity."""
    from qtool.verbs import jobs

    for each in transits:
        if each.outward and each.url == url and each.peer != identity:
            out.warn(
                f"An earlier move left {jobs(each.jobs)} on the way to another store, which was at {url} then. Nothing "
                "is lost: bring that store back, or take them back with 'qtool move --put-back'."
            )
    return sum(each.jobs for each in transits if each.outward and each.peer == identity)


def _tell_stranded(source: Adapter, out: Output) -> None:
    """After something went wrong: what is neither here nor there."""
    from contextlib import suppress

    from qtool.engine.moving import freight_of
    from qtool.verbs import jobs

    with suppress(QtoolError):
        if stranded := sum(each.jobs for each in freight_of(source).transits() if each.outward):
            out.warn(f"Left on the way: {jobs(stranded)}. They run nowhere until the same command goes on with them.")


def _tell_running(wanted: _Wanted, out: Output) -> None:
    if running := wanted.left():
        out.note(f"{running:,} {'job runs and stays' if running == 1 else 'jobs run and stay'}: move again later.")


def _pretend(wanted: _Wanted, target: Settings, out: Output) -> ExitCode:
    """A dry run does not even open the other broker: that would make a file that is not there."""
    from qtool.config import redacted

    if wanted.count() == 0:
        out.note("No job matches.")
        return ExitCode.NOT_FOUND
    code = _report(lambda: wanted.each(wanted.pretend), wanted.count(), redacted(target.broker), out)
    _tell_running(wanted, out)
    return code


# --- into another queue ----------------------------------------------------------------------------------


def _into(source: Adapter, wanted: _Wanted, settings: Settings, out: Output, *, dry_run: bool, yes: bool) -> ExitCode:
    from qtool.acting import danger
    from qtool.engine.moving import freight_of
    from qtool.verbs import jobs

    into = wanted.into
    assert into is not None
    count = wanted.count()
    if count == 0:
        out.note("No job matches.")
        _tell_running(wanted, out)
        return ExitCode.NOT_FOUND
    question = f"{danger(settings)}Move {jobs(count or 0)} into the queue {into}?"
    if count is not None and not dry_run and not out.confirm(question, yes=yes):
        out.note("Nothing was moved.")
        return ExitCode.FAILED
    freight = freight_of(source)
    do: Callable[[list[str]], Iterable[list[Moved]]] = (
        wanted.pretend if dry_run else lambda ids: [freight.transfer(ids, into, wanted.states)]
    )
    code = _report(lambda: wanted.each(do), count, None, out)
    _tell_running(wanted, out)
    return code


# --- back ------------------------------------------------------------------------------------------------


def _put_back(source: Adapter, settings: Settings, out: Output, *, dry_run: bool, yes: bool) -> ExitCode:
    from qtool.acting import danger
    from qtool.engine.moving import freight_of, put_back
    from qtool.verbs import jobs

    waiting = [each for each in freight_of(source).transits() if each.outward]
    for each in waiting:
        out.note(f"{jobs(each.jobs)} on the way to {each.url}")
    total = sum(each.jobs for each in waiting)
    if not total:
        out.note("Nothing is on its way from here.")
        return ExitCode.NOT_FOUND
    if dry_run:
        return ExitCode.OK
    question = f"{danger(settings)}Take {jobs(total)} back? What has arrived there is in both places then."
    if not out.confirm(question, yes=yes):
        out.note("Nothing was taken back.")
        return ExitCode.FAILED
    return _report(lambda: (batch for each in waiting for batch in put_back(source, each)), total, None, out)
