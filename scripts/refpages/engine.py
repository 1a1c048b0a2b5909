"""docs/reference: filter.md, states.md and exit-codes.md, from the tables of the engine."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from qtool import errors
from qtool.engine import filter as filters
from qtool.engine.filter import fields, parser
from qtool.engine.states import FINAL, PENDING, TABLE, Event, Reason, State
from qtool.errors import ExitCode, QtoolError

from . import markdown as md

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# --- the filter language -----------------------------------------------------------------------------

_ASKS = {
    "id": "the job's id",
    "task": "the name of its task; a command is `qtool.exec`, a webhook `qtool.http`",
    "queue": "its queue",
    "state": "its state, or one of the words below",
    "reason": "why it is dead",
    "priority": "0 to 9",
    "attempt": "how many times it has been started",
    "failures": "how many attempts ended in an error",
    "crashes": "how many attempts took their process down",
    "worker": "the id of the worker that runs it or ran it last",
    "error": "its last error, as `Type: message`",
    "args": "its arguments, as the JSON `[[positional], {named}]` without spaces",
    "unique": "its unique key",
    "key": "the key whose jobs run only so many at once",
    "held": "what keeps a ready job from starting: `key:…`, `task:…`",
    "tag.NAME": 'its tag NAME; a name with odd characters goes in quotes: `tag."a b"=c`',
    "age": "how long ago it was enqueued",
    "wait": "how long it was ready before it started, or has been so far",
    "runtime": "how long it ran, or has run so far",
    "created": "when it was enqueued",
    "due": "when it may start, or be tried again",
    "started": "when its last attempt began",
    "finished": "when it ended",
    "expires": "when it is too late to start it",
}

_EXAMPLES = (
    ("state:dead queue:email", "dead jobs of the queue `email`"),
    ("state:failed task:send_* age>5m", "`failed` is another word for `dead`; `*` stands for any text"),
    ('error~timeout args~"@example.com"', "the error contains `timeout`, the arguments contain `@example.com`"),
    ("(state:dead or state:retry) and not queue:bulk", "`and` binds tighter than `or`"),
    ("tag.team=billing priority>=5", "a tag, a number"),
    ("created>2026-01-31T09:00 finished<-1h", "a time, and a time before now"),
    ("state:running runtime>10m", "what has been running for long"),
    ("worker:*", "there is a worker at all"),
    ("invoice", "the word is in the id, the task or the arguments"),
)


def filter_page() -> str:
    """The page of the filter language."""
    _same("fields", _ASKS, fields.FIELDS)
    doc = inspect.getdoc(filters) or ""
    rules = doc[doc.index("Terms side by side") : doc.index("=====")]
    absent = doc[doc.rindex("What a job does not have") :]
    words = {**parser.STATES}
    return md.page(
        "Filters",
        "One language wherever jobs are chosen: `--where` (`-w`) of `qtool jobs`, `retry`, `cancel`, `kill`, `purge`.",
        md.table(("filter", "means"), ((md.code(text), meaning) for text, meaning in _examples())),
        md.paragraphs(rules),
        "## Fields",
        md.table(("field", "operators", "asks for"), ((md.code(f), _operators(f), _ASKS[f]) for f in fields.FIELDS)),
        "## Operators",
        md.table(("operator", "means"), _operator_rows(doc)),
        md.paragraphs(absent),
        "## Words for states",
        md.table(("word", "states"), ((md.code(w), _states(s)) for w, s in words.items() if set(map(str, s)) != {w})),
        f"Reasons are {', '.join(md.code(reason) for reason in parser.REASONS)}; see [states](states.md).",
        "## Values",
        "A value with spaces, quotes or parentheses in it goes in double quotes, in which a backslash stands before "
        r'`"` and `\`, and `\n`, `\r`, `\t` and `\u0000` are understood. Durations are written `90s`, `5m`, `1h30m`, '
        "`2d`; times are ISO 8601, in the machine's own zone where none is named, or `+5m` and `-2h` from now.",
        f"A filter has at most {parser.MAX_TEXT:,} characters, {parser.MAX_TERMS} terms and parentheses "
        f"{parser.MAX_DEPTH} deep. One that does not parse is told with its column, and the exit code is "
        f"{ExitCode.USAGE}.",
    )


def _examples() -> Iterator[tuple[str, str]]:
    for text, meaning in _EXAMPLES:
        filters.parse(text)
        yield text, meaning


def _operators(name: str) -> str:
    known: tuple[str, ...]
    if name in ("state", "reason"):
        known = parser.CHOICE_OPERATORS
    elif name in fields.TEXTS or name == "tag.NAME":
        known = parser.TEXT_OPERATORS
    elif name in fields.COUNTS:
        known = parser.COUNT_OPERATORS
    else:
        known = (*parser.ORDER_OPERATORS, ":*")
    return " ".join(md.code(operator) for operator in known)


def _operator_rows(doc: str) -> Iterator[tuple[str, str]]:
    """The table of the package's docstring."""
    lines = doc.splitlines()
    bars = [at for at, line in enumerate(lines) if line.startswith("====")]
    split = lines[bars[0]].index(" ")
    rows: list[list[str]] = []
    for line in lines[bars[0] + 1 : bars[1]]:
        left, right = line[:split].strip(), line[split:].strip()
        if left and (right or not rows):
            rows.append([left, right])
        else:
            rows[-1][0] += f" {left}" if left else ""
            rows[-1][1] += f" {right}" if right else ""
    return ((md.prose(left), md.prose(right)) for left, right in rows)


def _states(states: Collection[State]) -> str:
    return ", ".join(md.code(state) for state in State if state in states)


def _same(what: str, told: Collection[str], real: Collection[str]) -> None:
    """Every word of the code is explained here, and no other."""
    if set(told) != set(real):
        raise SystemExit(f"{what}: the page and the code differ in {sorted(set(told) ^ set(real))}")


# --- states ------------------------------------------------------------------------------------------

_STATES = {
    State.WAITING: "for other jobs to succeed",
    State.SCHEDULED: "for its time",
    State.READY: "a worker may take it",
    State.RUNNING: "a worker holds a lease on it",
    State.RETRY: "an attempt failed; it backs off until it is due",
    State.SUCCEEDED: "its task returned, or its command exited with 0",
    State.DEAD: "it will not run again by itself; a reason says why",
    State.CANCELLED: "somebody cancelled it",
    State.EXPIRED: "its time to start had passed",
}
_REASONS = {
    Reason.FAILED: "an error, and no retry was left",
    Reason.DISCARDED: "its own code said that it should not run again",
    Reason.CRASHED: "it took its process down three times",
    Reason.TIMEOUT: "it ran longer than its time limit, and no retry was left",
    Reason.UNKNOWN_TASK: "no module of the worker (`-A`) has its task",
    Reason.UNDECODABLE: "what is stored of it cannot be read",
    Reason.LOST: "a worker of Celery's took it, and there is no result as of others of its task: how it ended nobody "
    "knows (where such a worker keeps no results of its task, it is `expired` and `lost`)",
}


def states_page() -> str:
    """The page of states, with the table drawn."""
    _same("states", list(_STATES), list(State))
    _same("reasons", list(_REASONS), list(Reason))
    kinds = ((md.code(s), "final" if s in FINAL else "pending" if s in PENDING else "", _STATES[s]) for s in State)
    return md.page(
        "States",
        "A job is always in one of these states. One table in `qtool/engine/states.py` says which moves there are; "
        "every broker is tested against it, and every move is one conditional update.",
        md.table(("state", "", "waits, or means"), kinds),
        md.fence(_diagram(), "mermaid"),
        _apart(),
        "## Moves",
        md.table(("from", "event", "to"), _moves()),
        "A claim gives the job a new token and counts an attempt. A snooze gives the attempt back. A lost lease counts "
        "as a crash only for a job that had really started; at the third the job is dead.",
        "## Why a job is dead",
        md.table(("reason", "means"), ((md.code(reason), text) for reason, text in _REASONS.items())),
    )


def _moves() -> Iterator[tuple[str, str, str]]:
    """Rows of the table; those that differ only by where they start are one."""
    joined: dict[tuple[str, frozenset[State]], list[State]] = {}
    for (before, event), after in TABLE.items():
        joined.setdefault((str(event), after), []).append(before)
    for (word, after), befores in joined.items():
        ends = " or ".join(md.code(state) for state in State if state in after)
        yield ", ".join(md.code(state) for state in State if state in befores), word, ends


_GROUPS = {"pending": PENDING, "final": FINAL}


def _group_moves() -> dict[tuple[str, Event], frozenset[State]]:
    """The moves that are the same in all pending states, or in all final ones."""
    return {
        (group, event): next(iter(found))
        for group, states in _GROUPS.items()
        for event in Event
        if len(found := {TABLE.get((state, event), frozenset()) for state in states}) == 1 and any(found)
    }


def _apart() -> str:
    told = [
        f"any {group} job may go to {' or '.join(md.code(state) for state in State if state in after)} ({event})"
        for (group, event), after in _group_moves().items()
    ]
    return f"Not drawn, because they are the same everywhere: {'; '.join(told)}."


def _diagram() -> str:
    """The table as a diagram, without the moves of :func:`_group_moves`."""
    apart = _group_moves()
    drawn: dict[tuple[State, State], list[str]] = {}
    for (before, event), after in TABLE.items():
        if not any((group, event) in apart and before in states for group, states in _GROUPS.items()):
            for state in State:
                if state in after:
                    drawn.setdefault((before, state), []).append(event)
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in (State.WAITING, State.SCHEDULED, State.READY))]
    lines += [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in drawn.items()]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)


# --- exit codes --------------------------------------------------------------------------------------

_CODES = {
    ExitCode.OK: "Done.",
    ExitCode.FAILED: "It failed: a broken file, a full disk, a job that failed, a question answered with no.",
    ExitCode.USAGE: "The command line, a filter, a name, the configuration or a module to import is wrong.",
    ExitCode.PARTLY: "Some of it was done: some lines were left out, some jobs could not be changed.",
    ExitCode.NOT_FOUND: "There is no such job, queue or task.",
    ExitCode.EMPTY: "There was nothing there. No command uses it yet.",
    ExitCode.UNREACHABLE: "The broker cannot be reached.",
    ExitCode.REFUSED: "Not allowed: a read-only context or file, a network file system.",
    ExitCode.TIMED_OUT: "The time to wait has passed, or the job that was waited for ran out of its own.",
    ExitCode.INTERNAL: "qtool's own error where the code of a job would be passed on.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C.",
}


def exit_codes_page() -> str:
    """The page of exit codes and of every error behind them."""
    _same("exit codes", [str(code) for code in _CODES], [str(code) for code in ExitCode])
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, QtoolError)]
    told = [each for each in kinds if (each.__doc__ or "").strip() not in ("{why}", "") and each is not QtoolError]
    return md.page(
        "Exit codes",
        md.table(("code", "means"), ((str(int(code)), text) for code, text in _CODES.items())),
        "`qtool wait` and `qtool enqueue --wait` pass on the exit code of a command, 128 and the signal's number if a "
        "signal ended it. What a code means to one command stands on [its page](commands.md). A reader that leaves "
        "early (`| head`) is no failure.",
        "## Errors",
        "An error is one line on stderr, after `qtool: `; `-v` adds the traceback. In Python each is a class of "
        "`qtool.errors`, below `qtool.QtoolError`. Words in braces are filled in.",
        md.table(
            ("error", "exit code", "message"), ((md.code(e.__name__), str(int(e.exit_code)), _doc(e)) for e in told)
        ),
    )


def _doc(kind: type) -> str:
    return md.prose(kind.__doc__ or "")
