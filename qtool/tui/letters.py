"""Dead letters as the screen shows them: columns, words, and the jobs of one group. No Textual, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.dead_letters import WINDOWS, Found, Group
from qtool.engine.value import Value
from qtool.tables import Column
from qtool.tui.columns import JOBS_HERE
from qtool.tui.listing import brief
from qtool.tui.store import spark
from qtool.views.jobs import JobRow
from qtool.views.text import ago, always, moment, number, span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qtool.engine.broker import Inspector, Page

BARS = 12
"""Cells of a group's bars."""
PAGE = 200
"""Jobs of a group asked for at a time."""
SEARCHED = 1_000
"""Dead jobs that are looked through at a time for those of one group, at most."""
MOST = 2_000
"""Jobs of a group that are listed, at most."""

JOBS_OF_GROUP: tuple[Column[JobRow], ...] = (
    *(column for column in JOBS_HERE if column.head not in ("STATE", "AGE", "WHY")),
    Column("DIED", lambda row: ago(row.finished_at), right=True, order=lambda row: row.finished_at or row.created_at),
    Column(
        "SAID", lambda row: row.error.message if row.error is not None else "", least=14, rank=1, style=always("red")
    ),
)


def group_columns(series: Callable[[Group], tuple[float, ...]]) -> tuple[Column[Group], ...]:
    """The columns of the groups. ``series``: how many of one died when, for its bars."""
    return (
        Column("COUNT", lambda g: number(g.count), right=True, style=always("red"), order=lambda g: g.count),
        Column("LAST", lambda g: _ago(g.last_at), right=True, order=lambda g: g.last_at),
        Column("FIRST", lambda g: _ago(g.first_at), right=True, rank=4, order=lambda g: g.first_at),
        Column("WHEN", lambda g: spark(series(g), BARS), rank=3, style=always("red"), wide=BARS),
        Column(
            "ERROR", lambda g: g.fingerprint.type, least=12, style=always("bold"), order=lambda g: g.fingerprint.type
        ),
        Column("WHERE", lambda g: g.fingerprint.place, least=12, rank=1, order=lambda g: g.fingerprint.place),
        Column("MESSAGE", lambda g: g.fingerprint.message, least=16),
        Column("QUEUES", lambda g: ", ".join(_most(g.queues)), least=8, rank=5),
        Column("TASKS", lambda g: ", ".join(_most(g.tasks)), least=8, rank=6),
        Column("REASON", lambda g: ", ".join(_most(g.reasons)), rank=7),
    )


def _ago(at: float) -> str:
    # The heading says that it is past.
    return ago(moment(at)).removesuffix(" ago")


def _most(names: Mapping[str, int]) -> list[str]:
    return sorted(names, key=lambda name: (-names[name], name))


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {names[name]:,}" for name in _most(names))


def progress(found: Found, now: float) -> str:
    """How much has been read, and how old that is."""
    if not found.complete:
        of = f" of {found.total:,}" if found.total is not None else ""
        return f"{found.read:,}{of} read"
    said = f"{found.read:,} dead"
    if found.again is not None:
        said = f"{said}, counted {span(max(1.0, now - found.read_at))} ago; {found.again:,} read again"
    return said


def kinds(count: int) -> str:
    """``5 errors``."""
    return f"{count:,} {'error' if count == 1 else 'errors'}"


def facts(group: Group) -> list[tuple[str, str]]:
    """A group in words: label and text."""
    if not group.together:
        return [
            ("", f"Errors of more kinds than can be told apart: {group.count:,} jobs."),
            ("queues", _counted(group.queues)),
        ]
    error, place, _ = group.fingerprint
    return [
        ("error", f"{error} in {place}" if place else error),
        ("said", group.message or "nothing"),
        ("queues", _counted(group.queues)),
        ("tasks", _counted(group.tasks)),
        ("reason", _counted(group.reasons)),
        ("when", f"first {ago(moment(group.first_at))}, last {ago(moment(group.last_at))}"),
    ]


def fitting(groups: Sequence[Group], now: float) -> int:
    """The shortest of the windows in which at least half of them died."""
    total = sum(group.count for group in groups)
    for number_, window in enumerate(WINDOWS[:-1]):
        last = int(now // window.step)
        recent = sum(n for group in groups for at, n in group.times[number_].items() if at > last - window.steps)
        if 2 * recent >= total:
            return number_
    return len(WINDOWS) - 1


class Listed(Value):
    """The jobs of a group as far as they have been looked for."""

    rows: tuple[JobRow, ...]
    """The newest first."""
    searched: int
    """How many dead jobs were looked through."""
    complete: bool


class Members:
    """Looks for the jobs of a group, a bounded number at a time; used by one thread."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._where = group.where()
        self._rows: dict[str, JobRow] = {}
        self._newest: int | None = None
        self._after: int | None = None
        self._searched = 0
        self._complete = False

    def read(self, inspector: Inspector, want: int, check: Sequence[str]) -> Listed:
        """Look for as many as are wanted, and for new ones; drop those of ``check`` that do not belong to it any more.

        Raises BrokerError.
        """
        for id, job in zip(check, inspector.get(check), strict=True):
            if job is None or not self._group.holds(job):
                self._rows.pop(id, None)
        if self._newest is not None:
            page = inspector.browse(self._where, after=self._newest, limit=PAGE, oldest_first=True)
            self._newest = page.keys[-1] if page.keys else self._newest
            self._rows = dict(reversed(self._held(page).items())) | self._rows
        left = SEARCHED
        while not self._complete and left > 0 and len(self._rows) < min(want, MOST):
            page = inspector.browse(self._where, after=self._after, limit=PAGE)
            self._rows |= self._held(page)
            if self._newest is None and page.keys:
                self._newest = page.keys[0]
            self._after, self._complete = page.next, page.next is None
            left -= PAGE
        return Listed(tuple(self._rows.values()), self._searched, self._complete)

    def _held(self, page: Page) -> dict[str, JobRow]:
        self._searched += len(page.jobs)
        return {job.id: brief(job) for job in page.jobs if self._group.holds(job)}
