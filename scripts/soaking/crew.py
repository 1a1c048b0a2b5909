"""The workers that run, and what was done to each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from qtool.engine.worker.health import FIRM

from .kinds import CRASHING, QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from .setting import Setting

STEADY = "steady"
"""The worker that is never harmed: what it takes of memory and descriptors is what is watched."""

PATIENCE = 60.0
"""Seconds within which a worker that was told to end has ended."""


@dataclass
class Member:
    """One worker."""

    name: str
    pool: str
    process: subprocess.Popen[bytes]
    hired_at: float
    id: str | None = None
    """Its own name for itself, once it has one."""
    killed: set[int] = field(default_factory=set)
    """Processes of its pool that were killed, and those of its commands."""
    launcher_killed: bool = False
    gone: bool = False
    """It was killed, or told to end."""
    told_at: float | None = None
    """When it was told to end."""
    early: bool = False
    """It was told so while it was still starting."""
    frozen: bool = False
    """It was frozen for longer than its lease."""
    stopped: bool = False
    """It is frozen now."""

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class Crew:
    """Hires workers and looks after them."""

    def __init__(self, setting: Setting, random: Random) -> None:
        self._setting = setting
        self._random = random
        self._hired = 0
        self.now: list[Member] = []
        """Those that should be at work."""
        self.all: dict[str, Member] = {}
        """By name, since the last judgement, and those at work."""

    # --- coming and going ----------------------------------------------------------------------------

    def hire(self, name: str | None = None) -> Member:
        """Start one more worker, of a pool chosen at random unless it is the steady one."""
        self._hired += 1
        pool = "process" if name == STEADY else self._a_pool()
        name = name or f"w{self._hired}"
        options = {
            "pool": pool,
            "slots": {"process": 2, "thread": 4, "async": 8}[pool],
            "queues": [*QUEUES, CRASHING] if pool == "process" and name != STEADY else QUEUES,
            "lease": self._setting.lease,
            "grace": 1.0,
            "retention": self._setting.retention,
            "seed": self._random.randrange(1 << 32),
            "swing": self._setting.swing if name != STEADY and self._random.random() < 0.3 else 0.0,
        }
        words = [sys.executable, "-m", "soaking.member", self._setting.url, json.dumps(options)]
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._setting.environment | {"SOAK_MEMBER": name},
                start_new_session=True,
            )
        member = Member(name, pool, process, time.monotonic())
        self.now.append(member)
        self.all[name] = member
        return member

    def _a_pool(self) -> str:
        """Any, but for one that has to be there for those jobs that take their process down."""
        if not any(member.pool == "process" and member.name != STEADY for member in self.now):
            return "process"
        return self._random.choice(("process", "thread", "async"))

    def dismiss(self, member: Member) -> None:
        """It is no longer one of those at work."""
        member.gone = True
        if member in self.now:
            self.now.remove(member)

    def log(self, name: str) -> Path:
        """What the worker says."""
        return self._setting.directory / "logs" / name

    def said(self, member: Member) -> str:
        """What it has said so far."""
        with suppress(FileNotFoundError):
            return self.log(member.name).read_text(errors="replace")
        return ""

    def troubled(self, member: Member) -> bool:
        """Whether it could not renew its leases at some time, and so killed what it ran."""
        return "could not be renewed" in self.said(member)

    def identify(self) -> None:
        """Learn the ids of those that have one."""
        for member in self.all.values():
            if member.id is None:
                with suppress(FileNotFoundError):
                    member.id = (self._setting.directory / "ids" / member.name).read_text() or None

    def settled(self, member: Member) -> bool:
        """Whether one that is gone had made its first contact for certain: before it, it may give up a locked file.

        Judged by its own last word, not by when somebody looks: what holds up the file holds up whoever looks too.
        """
        with suppress(FileNotFoundError):
            began = (self._setting.directory / "ids" / member.name).stat().st_mtime
            return self.log(member.name).stat().st_mtime - began > FIRM + 5.0
        return False

    def by_id(self, id: str) -> Member | None:
        """The worker that calls itself so."""
        self.identify()
        return next((member for member in self.all.values() if member.id == id), None)

    def forget(self) -> None:
        """Drop what is known of those that are gone: everything that they had to do with has been judged."""
        for name in [name for name, member in self.all.items() if member not in self.now and not member.alive]:
            del self.all[name]
            for path in (self.log(name), self._setting.directory / "ids" / name):
                path.unlink(missing_ok=True)

    def victims(self) -> list[Member]:
        """Those that may be harmed now: at work, on their feet and not steady."""
        return [member for member in self.now if member.name != STEADY and member.alive and not member.stopped]

    # --- what they are made of -----------------------------------------------------------------------

    def children(self, member: Member) -> list[psutil.Process]:
        """The processes of its pool."""
        return [each for each in _below(member.process.pid) if _runs(each, "worker.child")]

    def launcher(self, member: Member) -> psutil.Process | None:
        """The process that starts its commands."""
        return next((each for each in _below(member.process.pid) if _runs(each, "worker.launcher")), None)

    def family(self, member: Member) -> list[psutil.Process]:
        """Every process of it, the supervisor first."""
        try:
            head = psutil.Process(member.process.pid)
        except psutil.NoSuchProcess:
            return []
        return [head, *_below(member.process.pid, recursive=True)]

    # --- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill whatever is left of anyone."""
        for member in self.all.values():
            for process in reversed(self.family(member)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            member.process.wait()
        for process in self.strays():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def strays(self) -> list[psutil.Process]:
        """Processes that this run's workers left behind, however they are related."""
        known = {member.process.pid for member in self.all.values() if member.alive}
        return [each for each in _of_run(str(self._setting.directory)) if each.pid not in known]

    def end_all(self) -> dict[str, int | None]:
        """Tell everyone to end and wait for it: the exit codes by name, None for who did not end in time."""
        for member in self.now:
            member.gone = True
            member.process.send_signal(signal.SIGTERM)
        codes: dict[str, int | None] = {}
        for member in self.now:
            try:
                codes[member.name] = member.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                codes[member.name] = None
        self.now.clear()
        return codes


def _below(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=recursive)
        return found
    return []


def _runs(process: psutil.Process, module: str) -> bool:
    with suppress(psutil.Error):
        return any(word.endswith(module) for word in process.cmdline())
    return False


def _of_run(directory: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("SOAK_DIRECTORY") == directory:
                yield process
