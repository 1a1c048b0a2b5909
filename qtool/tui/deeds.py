"""What can be done from the screen: to what, how many, what happens then, and how it is taken back. No Textual.

A :class:`Plan` is all that a dialog says before something is done, and how it is done after the dialog said yes. It is
made on a line for looking (:func:`survey`) and carried out on one for acting (:mod:`qtool.tui.hand`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Change
from qtool.engine.states import State
from qtool.engine.times import format_time
from qtool.engine.value import Value
from qtool.errors import UnknownWorker, UsageError
from qtool.options import any_of
from qtool.verbs import CANCEL, DELETE, KILL, MOVE, PAGE, RETRY, by_filter, jobs, matching

if TYPE_CHECKING:
    from qtool.engine.broker import Inspector
    from qtool.engine.filter import Filter
    from qtool.engine.job import JobInfo
    from qtool.engine.journal import Note
    from qtool.tui.targets import Targets
    from qtool.verbs import Verb

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in (RETRY, CANCEL, KILL, DELETE, MOVE)}

Step = list[Change] | str
"""What carrying out tells as it goes: what became of some jobs, or a sentence."""


class Plan(Value, kw_only=True):
    """Something about to be done."""

    title: str
    """``Retry 1,204 jobs``; the button that does it says so too."""
    what: str
    """To what: ``all jobs that match state:dead``."""
    count: int = 1
    """How many jobs it changes, as counted a moment ago; 0: there is nothing to do."""
    happens: str
    undo: str
    left: str = ""
    """Who is left alone, and why."""
    prompt: str = ""
    """What has to be typed first; empty: nothing."""
    typed: str = ""
    """The text that has to be typed."""
    read: Callable[[str], Plan] | None = None
    """Where what is typed says what is done: the plan for it. Raises QtoolError."""
    steps: Callable[[Adapter], Iterator[Step]]

    def after(self, text: str) -> Plan:
        """The plan that holds once this was typed. Raises QtoolError for what does not do."""
        if self.read is not None:
            return self.read(text)
        if self.typed and text.replace(",", "").strip() != self.typed:
            raise UsageError(why=f"It is not {self.typed}." if text.strip() else "")
        return self


def applies(name: str, targets: Targets | None) -> bool:
    """Whether this can be done to what is under the cursor or marked, as far as the screen knows."""
    if targets is None:
        return False
    if name == "delete" and targets.note is not None:
        return True
    if name in VERBS:
        if out_of_reach(VERBS[name], targets):
            return False
        # What matches, and whole queues, are deleted by a purge: it is in the palette only.
        return bool(targets.ids or (name != "delete" and (targets.where is not None or targets.queue is not None)))
    if name in ("edit", "copy"):
        return len(targets.ids) == 1
    if name == "purge":
        return targets.where is not None or targets.queue is not None
    return (targets.queue if name == "pause" else targets.worker) is not None


def out_of_reach(verb: Verb, targets: Targets) -> bool:
    """Whether this is about jobs, and none of them is in a state that the verb changes, as far as the screen knows."""
    reached = verb.applies
    if not targets.ids:
        named = targets.where.states() if targets.where is not None else None
        reached = reached & (frozenset(verb.default_states) if named is None else named)
    return not reached or (targets.states is not None and not targets.states & reached)


def why_not(name: str, targets: Targets | None) -> str:
    """Why this key does nothing to what is under the cursor or marked; empty where it is not about such things."""
    if targets is None or applies(name, targets):
        return ""
    about_jobs = bool(targets.ids or targets.where is not None)
    if name in VERBS and (about_jobs or targets.queue is not None) and out_of_reach(VERBS[name], targets):
        return VERBS[name].reaches + _standing(targets)
    if name in ("edit", "copy") and about_jobs:
        return "That is for one job at a time."
    return ""


def _standing(targets: Targets) -> str:
    """How they stand, where that is known and short: `` This one is ready.``"""
    states = sorted(targets.states or ())
    if not targets.ids or not 1 <= len(states) <= 3:
        return ""
    told = states[0] if len(states) == 1 else f"{', '.join(states[:-1])} or {states[-1]}"
    return f" {'This one is' if len(targets.ids) == 1 else 'These are'} {told}."


def survey(name: str, targets: Targets, production: bool, adapter: Adapter) -> Plan:
    """What doing this would do now. Raises QtoolError."""
    if name == "pause":
        return _pausing(adapter, targets, production)
    if name == "scale":
        return _scaling(adapter, targets)
    if name == "delete" and targets.note is not None:
        return _forgetting(adapter, targets.note)
    return of_jobs(VERBS["delete" if name == "purge" else name], targets, production, adapter, purge=name == "purge")


# --- jobs --------------------------------------------------------------------------------------------


def of_jobs(verb: Verb, targets: Targets, production: bool, adapter: Adapter, *, purge: bool = False) -> Plan:
    """What a verb would do to these jobs now. Raises QtoolError."""
    if targets.ids:
        return _of_ids(adapter.inspector, verb, targets, production)
    return _of_filter(adapter.inspector, verb, targets, production, purge=purge)


def _of_ids(inspector: Inspector, verb: Verb, targets: Targets, production: bool) -> Plan:
    ids = targets.ids
    states: Counter[str] = Counter()
    for page in _pages(ids):
        states.update(str(job.state) if job is not None else "gone" for job in inspector.get(page))
    count = sum(states[state] for state in verb.applies)
    left = {state: number for state, number in states.items() if state not in verb.applies}
    told = f"Left alone: {', '.join(f'{number:,} {state}' for state, number in left.items())}." if left else ""
    asks = production and count > 1
    return Plan(
        title=verb.question.format(count=jobs(count)),
        what=targets.what,
        count=count,
        happens=verb.happens,
        undo=verb.undo,
        left=told,
        prompt=f"Type {count} to go on" if asks else "",
        typed=str(count) if asks else "",
        steps=partial(_to_ids, verb, ids),
    )


def _to_ids(verb: Verb, ids: tuple[str, ...], adapter: Adapter) -> Iterator[Step]:
    do = verb.of(adapter.operator)
    for page in _pages(ids):
        yield do(page)


def _pages(ids: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))


def _of_filter(inspector: Inspector, verb: Verb, targets: Targets, production: bool, *, purge: bool) -> Plan:
    where = verb.reach(text_of(targets))
    only = targets.only
    if only is None:
        count = inspector.count(where)
    else:
        count = sum(only(job) for page in matching(inspector, where) for job in page)
    said = "" if targets.where is not None and targets.where.states() is not None else _only(verb)
    typed = targets.queue if targets.queue is not None and (purge or production) else ""
    if not typed and (purge or (production and count > 1)):
        typed = str(count)
    return Plan(
        title=("Purge: " if purge else "") + verb.question.format(count=jobs(count)),
        what=targets.what + said,
        count=count,
        happens=verb.happens,
        undo=verb.undo,
        prompt=f"Type {typed} to go on" if typed and count else "",
        typed=typed if count else "",
        steps=partial(_to_filter, verb, where, only),
    )


def text_of(targets: Targets) -> str:
    """The filter for what is meant where it is not ids."""
    text = targets.where.text if targets.where is not None else any_of("queue", (targets.queue or "",))
    assert text is not None
    return text


def _only(verb: Verb) -> str:
    states = verb.default_states
    return f", {states[0]} ones only" if len(states) == 1 else ""


def _to_filter(verb: Verb, where: Filter, only: Callable[[JobInfo], bool] | None, adapter: Adapter) -> Iterator[Step]:
    yield from by_filter(adapter.inspector, where, verb.of(adapter.operator), only)


# --- queues and workers ------------------------------------------------------------------------------


def _pausing(adapter: Adapter, targets: Targets, production: bool) -> Plan:
    queue = targets.queue or ""
    stats = next((each for each in adapter.inspector.snapshot().queues if each.name == queue), None)
    ready, running = (stats.counts[State.READY], stats.counts[State.RUNNING]) if stats is not None else (0, 0)
    resume = stats is not None and stats.paused
    return Plan(
        title="Resume the queue" if resume else "Pause the queue",
        what=f"queue {queue}: {ready:,} ready, {running:,} running",
        happens="Its jobs start again."
        if resume
        else "Nothing more starts from it. What runs goes on, and jobs may still be enqueued.",
        undo=f"{'pause' if resume else 'resume'} it, with the same key.",
        prompt=f"Type {queue} to go on" if production else "",
        typed=queue if production else "",
        steps=partial(_pause, queue, resume),
    )


def _pause(queue: str, resume: bool, adapter: Adapter) -> Iterator[Step]:
    changed = (adapter.operator.resume if resume else adapter.operator.pause)(queue)
    yield f"Queue {queue} {'runs' if resume else 'is paused'}{'' if changed else ', as it did before'}."


def _scaling(adapter: Adapter, targets: Targets) -> Plan:
    id = targets.worker or ""
    info = next((each for each in adapter.inspector.snapshot().workers if each.id == id), None)
    if info is None:
        raise UnknownWorker(id=id)
    now = f"{info.slots} slots" + (f", up to {info.most}" if info.most else "")

    def read(text: str) -> Plan:
        from qtool.engine.sizes import parse_slots

        if not text.strip():
            raise UsageError(why="")
        least, most = parse_slots(text.strip())
        return replace(plan, steps=partial(_scale, id, least, most))

    plan = Plan(
        title="Scale the worker",
        what=f"{targets.what}: {now}, {info.busy} busy" + (", stopping" if info.stopping else ""),
        happens="It runs so many jobs at once within a second. A smaller pool lets running jobs end first.",
        undo=f"scale it to {info.slots}" + (f":{info.most}" if info.most else "") + " again.",
        prompt="Slots: N, or MIN:MAX as the load asks for",
        read=read,
        steps=lambda _adapter: iter(()),
    )
    return plan


def _scale(worker: str, least: int, most: int, adapter: Adapter) -> Iterator[Step]:
    if not adapter.operator.scale(worker, least, most):
        raise UnknownWorker(id=worker)
    yield f"The worker has {least if least == most else f'{least} to {most}'} slots from now on."


# --- notes -------------------------------------------------------------------------------------------


def noting(text: str, at: float | None) -> Plan:
    """Write down what happened at this time, or now."""
    return Plan(
        title="Write a note",
        what=text,
        happens="The charts mark the moment, for everybody who looks at this broker.",
        undo="remove it, with the crosshair on it.",
        steps=partial(_note, text, at),
    )


def _note(text: str, at: float | None, adapter: Adapter) -> Iterator[Step]:
    yield f"Written down: {adapter.journal.note(text, at).text}"


def _forgetting(adapter: Adapter, note: Note) -> Plan:
    there = any(each.id == note.id for each in adapter.journal.notes(note.at, note.at + 1))
    return Plan(
        title="Remove the note",
        what=note.text if there else f"{note.text}: somebody has removed it already",
        count=int(there),
        happens="The charts do not mark it any more, for anybody.",
        undo=f"qtool note --at {format_time(note.at)} writes it again.",
        steps=partial(_forget, note.id),
    )


def _forget(id: int, adapter: Adapter) -> Iterator[Step]:
    gone = adapter.journal.forget(id)
    yield f"Removed: {gone.text}" if gone is not None else "Somebody had removed it already."


# --- copies ------------------------------------------------------------------------------------------


def one_job(targets: Targets, adapter: Adapter) -> JobInfo:
    """The job that is to be copied. Raises UnknownJob."""
    job = adapter.inspector.get(targets.ids)[0]
    return job if job is not None else _missing(adapter, targets.ids[0])


def _missing(adapter: Adapter, id: str) -> JobInfo:
    adapter.inspector.find(id)
    raise AssertionError("find() raises UnknownJob for a job that get() does not have")
