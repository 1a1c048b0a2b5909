"""The worker: one process, one thread that claims, hands out, settles and keeps leases alive. It runs no user code."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from qtool.engine.broker import Adapter, Bell, WorkerInfo
from qtool.engine.clock import Clock, SystemClock
from qtool.engine.ids import new_id
from qtool.engine.names import few
from qtool.engine.pipeline import Direct
from qtool.engine.signing import Guard
from qtool.engine.sizes import MOST_SLOTS
from qtool.engine.states import State
from qtool.engine.worker.autoscale import Autoscale
from qtool.engine.worker.catalogue import Catalogue
from qtool.engine.worker.claimer import Claimer
from qtool.engine.worker.commands import Commands
from qtool.engine.worker.finish import Finish
from qtool.engine.worker.floor import Floor
from qtool.engine.worker.health import Health, firmly
from qtool.engine.worker.leases import Leases
from qtool.engine.worker.news import News
from qtool.engine.worker.notify import Service
from qtool.engine.worker.options import Listener, Silence, Summary, Vitals, WorkerOptions
from qtool.engine.worker.outbox import Outbox
from qtool.engine.worker.places import Places
from qtool.engine.worker.pool import Pool
from qtool.engine.worker.process import Starter
from qtool.engine.worker.rates import Rates
from qtool.engine.worker.reactor import Reactor
from qtool.engine.worker.readahead import ReadAhead
from qtool.engine.worker.reload import Reload
from qtool.engine.worker.runners import Runners
from qtool.engine.worker.runs import Why
from qtool.engine.worker.scale import Size
from qtool.engine.worker.served import Served
from qtool.engine.worker.settler import Settler
from qtool.engine.worker.stopping import Stopping
from qtool.engine.worker.upkeep import Upkeep
from qtool.errors import BrokerError, NoModules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtool.engine.job import Lease, Report, Settlement
    from qtool.engine.worker.notify import Notify
    from qtool.engine.worker.remote.node import Node

PROGRESS = 0.1
"""Seconds between two words to the listener."""


class Worker:
    """Runs jobs until it is told to stop, or until there are none where ``options`` say so."""

    def __init__(
        self,
        adapter: Adapter,
        options: WorkerOptions,
        listener: Listener | None = None,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        watchers: Sequence[Callable[[list[Settlement]], None]] = (),
        echo: Callable[[Sequence[Report | Settlement]], None] | None = None,
        brake: Callable[[], bool] | None = None,
        notify: Notify | None = None,
    ) -> None:
        """``watchers`` are called with the outcomes that were stored, ``echo`` with all that may hold output of jobs;
        nothing is claimed while ``brake`` is true; ``notify`` tells systemd how the worker is."""
        self.id = new_id()
        self._broker = broker = adapter.broker
        self._capabilities = adapter.capabilities
        self._options = options
        lease = options.lease if options.lease is not None else adapter.capabilities.lease
        self._listener = listener = listener or Silence()
        self._clock = clock = clock or SystemClock()
        self._started_at = clock.now()
        self._progress_at = 0.0
        self._reactor = reactor = Reactor(clock)
        self._outbox = outbox = Outbox(broker, clock, draw, listener)
        outbox.watchers = watchers if echo is None else (*watchers, echo)
        self._pipeline = outbox.pipeline = adapter.pipeline() if adapter.pipeline is not None else Direct(broker)
        self._health = health = Health(reactor, clock, listener.say)
        self._settler = Settler(outbox, reactor, health)
        news = News(broker, reactor, health)
        news.watchers = (echo,) if echo is not None else ()
        self._size = size = Size(options.slots, options.most)
        read_ahead = ReadAhead(options.slots)
        size.on_change(read_ahead.resize)
        places = Places()
        first_command = places.take(MOST_SLOTS)
        assert first_command is not None
        self._served = served = Served(options.queues)
        self._catalogue = catalogue = Catalogue(Rates(adapter.operator, reactor, health))
        floor = Floor(
            clock=clock,
            reactor=reactor,
            outbox=outbox,
            news=news,
            say=listener.say,
            learn=read_ahead.learn,
            pace=read_ahead.pace,
            catalogue=catalogue,
            grace=options.grace,
        )
        self._slate = broker.slate(self.id, places.count)
        guard = Guard(adapter.url, options.allow_exec, options.key) if adapter.capabilities.network else None
        self._commands = Commands(floor, self._slate, first_command, guard)
        starter = Starter(options, self._slate, self._commands.keeper, announce=listener.wants_events)
        self._pool = Pool(options, floor, starter, size, places)
        self._runners = runners = Runners(self._pool, self._commands)
        self._claimer = claimer = Claimer(
            self.id, broker, options, lease, floor, health, runners, read_ahead, size, served
        )
        claimer.brake, claimer.pipeline = brake, self._pipeline
        size.on_change(lambda _: self._pool.children.fit())
        self._reload = Reload(floor, claimer, self._pool.children) if options.reload else None
        self._autoscale = Autoscale(adapter.inspector, served, floor, health, claimer, runners, size)
        told = self._autoscale.told
        self._leases = Leases(broker, lease, self._info, floor, health, claimer, runners, told)
        self._upkeep = Upkeep(broker, floor, health, claimer, self._leases.beat)
        self._service = Service(notify, reactor, lambda: self._pool.serves, self._status)
        self._stopping = Stopping(options.drain_timeout, floor, claimer, runners, self._announce_stop)
        self._finish = Finish(
            adapter.inspector, options, served, lease, floor, health, claimer, runners, self._stopping
        )
        self._node = self._join(adapter, floor)
        if self._node is not None:
            claimer.screen = self._node.screen
            outbox.watchers = (*outbox.watchers, self._node.settled)

    def _join(self, adapter: Adapter, floor: Floor) -> Node | None:
        """Be a node of Celery's, where the broker has a way for that."""
        if adapter.remote is None:
            return None
        from qtool.engine.worker.remote.node import Node
        from qtool.engine.worker.remote.reach import Reach

        reach = Reach(
            adapter=adapter,
            options=self._options,
            floor=floor,
            health=self._health,
            claimer=self._claimer,
            runners=self._runners,
            size=self._size,
            served=self._served,
            catalogue=self._catalogue,
            describe=self._info,
            renew=self._leases.beat,
            drain=self._stopping.drain,
        )
        return Node(adapter.remote, reach)

    def run(self, *, then_exit: bool = False) -> Summary:
        """Work. Raises AppNotImported, PoolBroken, NoModules, BrokerError (the last only at the very start).

        ``then_exit``: the process ends after it, so signals that ask it to stop are ignored from then on.
        """
        signals, claimer = self._stopping.signals, self._claimer
        signals.last = then_exit
        bells: dict[Bell, Callable[[], object]] = {
            self._broker.listen("ready"): self._claimer.look,
            self._broker.listen("control"): self._leases.beat,
        }
        # Also around the end: a signal that comes while the worker signs off must not break that.
        with signals:
            try:
                self._open()
                for bell, callback in bells.items():
                    self._reactor.watch(bell.fileno(), partial(_on_bell, bell, callback))
                self._reactor.watch(signals.fileno(), self._stopping.on_signal)
                if self._pipeline.fileno() >= 0:
                    self._reactor.watch(self._pipeline.fileno(), self._pipeline.receive)
                while not self._finish.reached():
                    self._turn()
                if claimer.stranger is not None:
                    raise _no_modules(claimer.stranger)
                return self._summary()
            finally:
                self._close()
                for bell in bells:
                    bell.close()

    def _warn(self) -> None:
        """Say what is dangerous about this broker, and about serving all of its queues. Raises BrokerError."""
        for hazard in self._capabilities.hazards:
            self._listener.say(hazard)
        if self._options.apps and not self._options.queues and (others := [*self._capabilities.others]):
            self._listener.say(_serves_others(others))

    def _open(self) -> None:
        self._commands.keeper.open()
        self._leases.open()
        self._upkeep.run()
        # Advice: a broker that does not answer now is no reason not to begin, and is spoken of by who needs it.
        with suppress(BrokerError):
            self._warn()
        self._autoscale.open()
        # The first round looks for jobs before it sleeps.
        self._reactor.after(0.0)
        if self._node is not None:
            self._node.open()
        if self._options.apps:
            self._pool.children.open()
        self._service.open()

    def _turn(self) -> None:
        """One round: what happened, what is due, what can be stored, what can be started."""
        claimer = self._claimer
        now = self._reactor.turn(sleep=not (self._settler.pressing or claimer.answered))
        self._pipeline.receive()
        claimer.expect(self._settler.collect())
        claimer.collect()
        if claimer.waiting:
            # A slot that has just fallen free need not wait for a commit.
            claimer.start_commands()
        if self._outbox.waiting:
            claimer.expect(self._settler.settle(now, busy=claimer.ahead))
        claimer.fill(now)
        if claimer.stranger is not None and not self._stopping.stage:
            self._turn_away(claimer.stranger)
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS
            self._outbox.tell()
            self._listener.progress(self._summary())

    def _turn_away(self, stranger: Lease) -> None:
        """A job has come that this worker has no code for."""
        if self._runners.active:
            # Otherwise the error says it in a moment.
            self._listener.say(str(_no_modules(stranger)))
        self._stopping.drain()

    def _announce_stop(self) -> None:
        self._service.stopping()
        self._leases.beat()

    def _close(self) -> None:
        self._service.stopping()
        self._runners.kill_all(Why.SHUTDOWN)
        # From here on nothing is renewed: whoever parts with care is not to be cut short for that.
        self._commands.keeper.board.hold(anything=False)
        self._pool.children.close()
        self._commands.keeper.close()
        self._outbox.tell()
        if self._node is not None:
            self._node.close()
        self._pipeline.close()
        if self._leases.introduced:
            self._sign_off()
        if self._slate is not None:
            self._slate.close()
        if self._reload is not None:
            self._reload.close()
        self._reactor.close()

    def _sign_off(self) -> None:
        try:
            firmly(self._clock, lambda: self._broker.leave(self.id))
        except BrokerError as error:
            self._listener.say(
                f"could not sign off ({error}); what this worker held is taken back when its lease runs out"
            )

    def _summary(self) -> Summary:
        return self._outbox.summary(running=self._runners.active)

    def _status(self) -> str:
        summary = self._summary()
        return f"{summary.running:,} running, {summary.jobs:,} ended, {summary.dead:,} of them dead"

    def vitals(self) -> Vitals:
        """How it is doing; other threads may ask too."""
        return Vitals(
            running=self._runners.active,
            slots=self._size.now,
            claims=self._claimer.claims,
            claimed=self._outbox.claimed,
            batches=self._outbox.batches,
            broker_errors=self._health.failures,
            late=self._outbox.late,
            deaths=self._pool.children.deaths,
            rescued=self._upkeep.rescued,
        )

    def _info(self) -> WorkerInfo:
        counts = self._outbox.counts
        return WorkerInfo(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._served.names,
            pool=self._options.pool,
            slots=self._size.now,
            most=self._size.most if self._size.most > self._size.least else None,
            busy=min(self._size.now, self._runners.active),
            started_at=self._started_at,
            seen_at=self._clock.now(),
            succeeded=counts[State.SUCCEEDED],
            failed=counts[State.DEAD] + counts[State.RETRY],
            stopping=self._stopping.stage > 0,
        )


def _serves_others(queues: Sequence[str]) -> str:
    return (
        f"Without -Q this worker takes all jobs, also those that other programs send ({few(queues)}). "
        "Those of a task that it does not know end as dead (unknown-task): name its queues with -Q."
    )


def _no_modules(stranger: Lease) -> NoModules:
    return NoModules(id=stranger.id, task=stranger.task, queue=stranger.queue)


def _on_bell(bell: Bell, callback: Callable[[], object]) -> None:
    bell.wait(0)
    callback()
