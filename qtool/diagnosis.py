"""What ``qtool doctor`` looks at, and the card of guarantees."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from qtool.engine.broker import LEASE_SECONDS
from qtool.engine.names import few
from qtool.engine.states import State
from qtool.engine.times import format_duration
from qtool.errors import QtoolError
from qtool.views.setup import CheckRow, GuaranteeRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.config import TopDefaults
    from qtool.engine.broker import Adapter, Capabilities, Snapshot
    from qtool.options import Common

GUARANTEE_TEXTS = {
    1: "When enqueue has returned, the job is committed and synced.",
    2: "A ready job starts at least once while a worker serves its queue.",
    3: "A job has at most one live claim and exactly one recorded outcome.",
    4: "Two runs overlap only if a worker outlives its lease, and the late outcome is refused.",
    5: "Each tick of a schedule enqueues at most once.",
    6: "A full disk, a locked file or a lost broker is an error; nothing is lost or half applied.",
    7: "No job takes down workers more than three times unattended.",
}
LOW_DISK = 256 * 1024 * 1024
"""Bytes of free disk below which the doctor warns."""
SAFE_SQLITE = (3, 51, 3)
"""Earlier versions can damage a file when the WAL is reset at the wrong moment."""


def guarantees(capabilities: Capabilities) -> Iterator[GuaranteeRow]:
    """The card: what holds here, and what weakens the rest."""
    for number, text in GUARANTEE_TEXTS.items():
        why = capabilities.weakened.get(number)
        yield GuaranteeRow(number=number, guarantee=text, holds=why is None, why=why)


def diagnose(common: Common) -> Iterator[CheckRow]:
    """Every check in turn; a broker that does not open ends them."""
    try:
        settings = common.settings()
    except QtoolError as error:
        yield _bad("configuration", str(error))
        return
    yield _ok("configuration", settings.path if os.path.exists(settings.path) else f"{settings.path} (none)")
    yield from _screen(settings.top)
    try:
        adapter = common.adapter()
    except QtoolError as error:
        yield _bad("broker", str(error))
        return
    with adapter:
        yield _ok("broker", f"{adapter.url} (by {settings.source})")
        if adapter.url.startswith("sqlite:"):
            yield from _file(adapter)
        yield from _hazards(adapter)
        yield from _state(adapter)


def _hazards(adapter: Adapter) -> Iterator[CheckRow]:
    """What the broker's own settings can do to jobs."""
    try:
        for each in adapter.capabilities.hazards:
            yield _bad("settings", each)
    except QtoolError as error:
        yield _bad("settings", str(error))


def _screen(said: TopDefaults) -> Iterator[CheckRow]:
    """What would keep the screen from starting. It is loaded only where the configuration says something of it."""
    if said.theme is None and not said.keys:
        return
    from qtool.tui.keymap import wrongs
    from qtool.tui.themes import NAMES

    found = [_bad("screen", wrong.why, wrong.advice) for wrong in wrongs(said.keys)]
    if said.theme is not None and said.theme not in NAMES:
        found.append(_bad("screen", f"top.theme: no theme {said.theme!r}", f"Known: {', '.join(NAMES)}."))
    keys = f"{len(said.keys)} {'key' if len(said.keys) == 1 else 'keys'} of your own"
    yield from found or [
        _ok("screen", ", ".join([*([said.theme] if said.theme else []), *([keys] if said.keys else [])]))
    ]


def _file(adapter: Adapter) -> Iterator[CheckRow]:
    """What only a file can have wrong."""
    import shutil

    import apsw

    from qtool.engine.brokers.sqlite import path_of
    from qtool.engine.brokers.sqlite.filesystem import kind_of

    path = path_of(adapter.url)
    version = apsw.sqlitelibversion()
    if tuple(map(int, version.split("."))) >= SAFE_SQLITE:
        yield _ok("SQLite", version)
    else:
        yield _bad("SQLite", f"{version} can damage files", "Install apsw 3.51.3 or later.")
    yield _private(path, 0o600)
    yield _private(f"{path}.d", 0o700)
    yield _ok("file system", f"{kind_of(path) or 'unknown'}, local")
    free = shutil.disk_usage(os.path.dirname(path)).free
    found = f"{free / 2**30:,.1f} GiB free, {_size(path) / 2**20:,.1f} MiB used by the file and its log"
    yield _ok("disk", found) if free >= LOW_DISK else _warning("disk", found, "Free some space, or purge what is done.")


def _size(path: str) -> int:
    return sum(os.stat(each).st_size for each in (path, f"{path}-wal") if os.path.exists(each))


def _private(path: str, wanted: int) -> CheckRow:
    """Whether only the owner can get at ``path``: whoever can write jobs can run commands."""
    name = "permissions"
    try:
        found = os.stat(path)
    except OSError as error:
        return _bad(name, f"{path}: {error.strerror}")
    mode = stat.S_IMODE(found.st_mode)
    told = f"{path} is {mode:04o}"
    if mode & 0o022:
        return _bad(name, f"{told}: others can add jobs, and so run commands as you", f"chmod {wanted:o} {path}")
    if mode & 0o077:
        return _warning(name, f"{told}: others can read jobs and their output", f"chmod {wanted:o} {path}")
    if found.st_uid != os.geteuid():
        return _warning(name, f"{told} and belongs to user {found.st_uid}", "Run qtool as its owner.")
    return _ok(name, told)


def _state(adapter: Adapter) -> Iterator[CheckRow]:
    """What is wrong with the content: damage, orphans, queues that nobody serves."""
    try:
        wrong = adapter.inspector.check()
        advice = "Keep a copy of the file, then report it." if adapter.url.startswith("sqlite:") else None
        yield from (_bad("integrity", sentence, advice) for sentence in wrong)
        if not wrong:
            yield _ok("integrity", "sound")
        snapshot = adapter.inspector.snapshot()
        yield from _workers(adapter, snapshot)
        yield from _queues(snapshot, adapter.capabilities.unseen)
        yield from _moves(adapter)
    except QtoolError as error:
        yield _bad("integrity", str(error))


def _workers(adapter: Adapter, snapshot: Snapshot) -> Iterator[CheckRow]:
    from qtool.engine.filter import parse, quote

    silent = [worker for worker in snapshot.workers if worker.gone or snapshot.at - worker.seen_at > LEASE_SECONDS]
    alive = [worker for worker in snapshot.workers if worker not in silent]
    for worker in silent:
        held = adapter.inspector.count(parse(f"state:running worker={quote(worker.id)}"))
        found = f"{worker.id} on {worker.host} was last seen {format_duration(snapshot.at - worker.seen_at)} ago"
        found = f"{worker.id} on {worker.host} is dead" if worker.gone else found
        advice = "Its jobs come back when the next worker starts: qtool worker"
        yield _warning("workers", f"{found}, holding {held:,} jobs", advice if held else None)
    others = [*adapter.capabilities.others]
    for worker in alive:
        if others and not worker.queues:
            found = f"{worker.id} on {worker.host} takes all jobs, also those that other programs send ({few(others)})"
            advice = "Those of a task that it does not know end as dead (unknown-task): name its queues with -Q."
            yield _warning("workers", found, advice)
    running = sum(queue.counts.get(State.RUNNING, 0) for queue in snapshot.queues)
    if running and not snapshot.workers and adapter.capabilities.unseen is None:
        yield _warning(
            "orphans",
            f"{running:,} running jobs and no worker",
            "They come back when the next worker starts: qtool worker",
        )
    if alive:
        yield _ok(
            "workers", f"{len(alive)} alive, {sum(w.busy for w in alive)}/{sum(w.slots for w in alive)} slots busy"
        )
    elif not silent:
        yield _ok("workers", f"none. {adapter.capabilities.unseen}" if adapter.capabilities.unseen else "none")


def _queues(snapshot: Snapshot, unseen: str | None) -> Iterator[CheckRow]:
    here = [worker for worker in snapshot.workers if not worker.gone and not worker.stopping]
    alive = [worker for worker in here if snapshot.at - worker.seen_at <= LEASE_SECONDS]
    fine = 0
    for queue in snapshot.queues:
        ready = queue.counts.get(State.READY, 0)
        if ready and not any(not worker.queues or queue.name in worker.queues for worker in alive):
            found = f"{queue.name}: {ready:,} ready jobs and no worker serves it"
            yield _warning("queues", f"{found}. {unseen}" if unseen else found, f"qtool worker -Q {queue.name}")
        elif queue.paused:
            yield _warning("queues", f"{queue.name} is paused", f"qtool resume {queue.name}")
        else:
            fine += 1
    if fine == len(snapshot.queues):
        yield _ok("queues", f"{fine} in order" if fine else "none")


def _moves(adapter: Adapter) -> Iterator[CheckRow]:
    """Jobs between two brokers, left there by a move that was killed."""
    from qtool.verbs import jobs

    for each in adapter.freight.transits() if adapter.freight is not None else ():
        if each.outward:
            found = f"left on the way to {each.url} by a move, and run nowhere: {jobs(each.jobs)}"
            advice = f"qtool move --to {each.url}  (or, if that is gone for good: qtool move --put-back)"
        else:
            found = f"arrived from {each.url}, where the move was not ended: {jobs(each.jobs)}"
            advice = f"qtool move -b {each.url} --to {adapter.url}"
        yield _warning("moves", found, advice)


def _ok(check: str, found: str) -> CheckRow:
    return CheckRow(check=check, verdict="ok", found=found)


def _warning(check: str, found: str, advice: str | None = None) -> CheckRow:
    return CheckRow(check=check, verdict="warning", found=found, advice=advice)


def _bad(check: str, found: str, advice: str | None = None) -> CheckRow:
    return CheckRow(check=check, verdict="bad", found=found, advice=advice)
