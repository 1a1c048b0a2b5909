"""The third way to run jobs in a pool's process: coroutines on one event loop, and plain functions in its threads.

A module of its own, because asyncio is a third of what the other pools' processes would otherwise load.
"""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import NoReturn

from qtool.engine import hooks
from qtool.engine.job import Cancel, Outcome
from qtool.engine.run import outcome_of, run_async
from qtool.engine.worker import capture, wire
from qtool.engine.worker.interruption import interruption
from qtool.engine.worker.link import Link, Run
from qtool.engine.worker.slots import Breaker
from qtool.errors import HookFailed


class _Loop:
    """Coroutines on one event loop; plain functions in its threads."""

    def __init__(self, link: Link, first: int, count: int, room: int) -> None:
        self._link = link
        self._breaker = Breaker()
        self._free = list(range(first + room - 1, first - 1, -1))
        """Places on the slate: more than there are slots."""
        self._limit = count
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._why: dict[int, tuple[str, float | None]] = {}
        self._bodies: dict[int, asyncio.Future[str]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(room, thread_name_prefix="slot"))
        self._loop.add_reader(link.control, self._on_control)
        self._loop.add_reader(link.sock, self._on_job)
        self._reading = True
        self._context = copy_context()
        self._ending: asyncio.Task[NoReturn] | None = None
        link.serialise()
        link.leave = self._leave

    def _leave(self) -> NoReturn:
        """Once: what the hooks await is awaited on this loop."""
        for end in (self._link.sock, self._link.control):
            self._loop.remove_reader(end)
        self._ending = self._ending or self._loop.create_task(_end())
        raise BlockingIOError

    def _on_job(self) -> None:
        if len(self._tasks) >= self._limit:
            self._loop.remove_reader(self._link.sock)
            self._reading = False
            return
        try:
            serial, lease = self._link.receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            # The supervisor took it back.
            return
        slot = self._free.pop()
        self._tasks[serial] = self._loop.create_task(self._run(Run(self._link, serial, lease, slot), slot))

    async def _run(self, current: Run, slot: int) -> None:
        capture.recorder.set(current.recorder)
        serial = current.serial
        outcome: Outcome = Cancel()
        with suppress(asyncio.CancelledError):
            outcome = await self._execute(current)
        why = self._why.pop(serial, None)
        if why is not None and isinstance(outcome, Cancel) and current.task is not None:
            outcome = outcome_of(current.task, interruption(*why), current.job)
        del self._tasks[serial]
        current.end(outcome)
        self._free.append(slot)
        self._read_on()

    def _read_on(self) -> None:
        if not self._reading and len(self._tasks) < self._limit:
            self._reading = True
            # What it calls must not go on in the context of the job that has just ended.
            self._context.run(self._loop.add_reader, self._link.sock, self._on_job)

    async def _execute(self, current: Run) -> Outcome:
        outcome = current.prepare()
        if outcome is not None:
            return outcome
        assert current.task is not None
        body = current.lease.body
        if not body:
            box = self._bodies[current.serial] = self._loop.create_future()
            self._link.send((wire.FETCH, current.serial))
            body = await box
        if current.task.is_async:
            return await run_async(current.task, current.job, body, current.timeout)
        return await asyncio.to_thread(self._breaker.guarded, current, body)

    def _on_control(self) -> None:
        with suppress(BlockingIOError):
            while True:
                data, content = wire.receive_with_file(self._link.control, socket.MSG_DONTWAIT)
                if not data:
                    self._link.leave()
                kind, serial, *rest = wire.decode(data)
                if kind == wire.RESIZE:
                    self._limit = serial
                    self._read_on()
                elif kind == wire.BODY and content is not None:
                    self._bodies.pop(serial).set_result(content.decode())
                elif kind == wire.INTERRUPT and serial in self._tasks and not self._breaker.interrupt(serial, *rest):
                    self._why[serial] = (rest[0], rest[1])
                    self._tasks[serial].cancel()


async def _end() -> NoReturn:
    try:
        await hooks.stop_on_loop()
    finally:
        os._exit(0)


def on_a_loop(link: Link, first: int, count: int, room: int) -> NoReturn:
    """An async pool."""

    async def forever() -> None:
        try:
            await hooks.start_on_loop()
        except HookFailed as error:
            link.refuse(error)
        loop = _Loop(link, first, count, room)
        link.hello()
        await asyncio.Event().wait()
        del loop

    asyncio.run(forever())
    os._exit(0)
