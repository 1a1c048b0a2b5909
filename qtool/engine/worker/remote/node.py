"""A worker as a node of Celery's: it hears requests, answers them, and gives a sign of life every two seconds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qtool.engine.celery import control, events
from qtool.engine.celery.lamport import Lamport
from qtool.engine.ids import new_id
from qtool.engine.states import FINAL
from qtool.engine.worker.naming import node_name
from qtool.engine.worker.remote.dispatcher import Dispatcher
from qtool.engine.worker.remote.inspecting import Inspection
from qtool.engine.worker.remote.panel import Panel
from qtool.engine.worker.remote.revoked import Revoked
from qtool.engine.worker.remote.version import version
from qtool.errors import BrokerDenied, BrokerError, Undecodable

if TYPE_CHECKING:
    from qtool.engine.job import Settlement
    from qtool.engine.remote import Mailbox, Remote
    from qtool.engine.worker.remote.reach import Reach

EVERY = 2
"""Seconds between two heartbeats, as Celery's."""

AGAIN = 1.0
"""Seconds between two tries to listen."""

NAMESPACE, EXCHANGE = "celery", "celeryev"
"""Celery's ``control_exchange`` and ``event_exchange`` where an application does not say otherwise."""


class Node:
    """Puts remote control and events together, for one worker."""

    def __init__(self, remote: Remote, reach: Reach) -> None:
        self._remote = remote
        self._reach = reach
        self._clock = Lamport()
        self.name = node_name(reach.options.name)
        self._revoked = Revoked()
        source = events.Source(self.name, os.getpid(), self._clock)
        self._dispatcher = dispatcher = Dispatcher(remote, source, reach)
        self._panel = Panel(remote, reach, dispatcher, self._revoked, self._heartbeat)
        self._inspection = Inspection(self.name, remote, reach, dispatcher, self._revoked, self._clock)
        self.screen = self._panel.screen
        self._namespace = NAMESPACE
        self._mailbox: Mailbox | None = None
        self._online = False
        self._closed = False

    # --- life ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin, as soon as the worker's code has said what it is; at once where it has none."""
        if self._reach.options.apps:
            self._reach.catalogue.on_known = self._begin
        else:
            self._begin()

    def _begin(self) -> None:
        if self._online or self._closed:
            return
        self._online = True
        said, options = self._reach.catalogue.application, self._reach.options
        self._namespace = said.get("control_exchange") or NAMESPACE
        self._dispatcher.exchange = said.get("event_exchange") or EXCHANGE
        if options.task_events or said.get("task_events"):
            self._dispatcher.enable()
        self._dispatcher.tell(events.Online, self._about(EVERY))
        self._reach.floor.reactor.after(EVERY, self._beat)
        if options.remote_control and said.get("remote_control", True):
            self._listen()

    def _listen(self) -> None:
        if self._closed:
            return
        try:
            self._mailbox = self._remote.listen(f"{self._namespace}.pidbox")
        except BrokerDenied as error:
            self._reach.floor.say(f"There is no remote control: {error}")
        except BrokerError as error:
            self._reach.health.failed(error)
            self._reach.floor.reactor.after(AGAIN, self._listen)
        else:
            self._reach.floor.reactor.watch(self._mailbox.fileno(), self._hear)

    def close(self) -> None:
        """Say the last of its tasks, and good-bye."""
        self._closed = True
        if self._online:
            self._dispatcher.flush()
            self._dispatcher.tell(events.Offline, self._about(EVERY))
        if self._mailbox is not None:
            self._reach.floor.reactor.unwatch(self._mailbox.fileno())
            self._mailbox.close()
            self._mailbox = None

    # --- signs of life -------------------------------------------------------------------------------

    def _beat(self) -> None:
        if not self._closed:
            self._heartbeat(EVERY)
            self._reach.floor.reactor.after(EVERY, self._beat)

    def _heartbeat(self, every: int) -> None:
        self._dispatcher.tell(events.Heartbeat, self._about(every))

    def _about(self, every: int) -> dict[str, Any]:
        reach = self._reach
        return {
            "freq": float(every),
            "active": reach.runners.active,
            "processed": sum(reach.floor.outbox.counts.values()),
            "loadavg": [round(each, 2) for each in os.getloadavg()],
            "sw_ident": "qtool",
            "sw_ver": version(),
            "sw_sys": os.uname().sysname,
        }

    def settled(self, batch: list[Settlement]) -> None:
        """These have ended, and the broker knows it."""
        self._dispatcher.settled(batch)
        if wanted := self._revoked.wanted:
            wanted.difference_update(each.lease.id for each in batch if each.state in FINAL)

    # --- requests ------------------------------------------------------------------------------------

    def _hear(self) -> None:
        if self._mailbox is None:
            return
        for raw in self._mailbox.take():
            try:
                request = control.read_request(raw, self.name, self._namespace, self._reach.floor.clock.now())
            except Undecodable:
                # Nobody to tell: it does not even say who asks.
                continue
            if request is not None:
                self._clock.adjust(request.clock)
                self._answer(request)

    def _answer(self, request: control.Request) -> None:
        value = self._carry_out(request)
        if request.reply_to is None:
            return
        message = control.encode_reply(request, self.name, value, self._clock.forward(), new_id())
        try:
            self._remote.reply(request.reply_to, message)
        except BrokerDenied as error:
            self._reach.floor.say(f"A request of Celery's remote control is not answered: {error}")
        except BrokerError as error:
            self._reach.health.failed(error)

    def _carry_out(self, request: control.Request) -> object:
        method = self._panel.methods.get(request.method) or self._inspection.methods.get(request.method)
        if method is None:
            return control.refused(f"a qtool worker cannot {request.method[:100]!r}")
        try:
            return method(**request.arguments)
        except BrokerError as error:
            self._reach.health.failed(error)
            return control.refused(str(error))
        except Exception as error:  # noqa: BLE001  whatever somebody sends: the worker goes on, and says what is wrong
            return control.refused(f"{type(error).__name__}: {error}")
