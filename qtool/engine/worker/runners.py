"""The pool and the command jobs together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.engine.value import Value
from qtool.engine.worker.commands import Commands
from qtool.engine.worker.pool import Pool

if TYPE_CHECKING:
    from qtool.engine.job import Lease
    from qtool.engine.worker.runs import Why


class Runners(Value):
    """All that runs at a worker, whatever it runs in."""

    pool: Pool
    commands: Commands

    @property
    def active(self) -> int:
        """Slots that have something to do."""
        return self.pool.active + self.commands.active

    def running(self) -> list[tuple[Lease, int | None, float | None]]:
        """The jobs that run, each with its process's number and when it began, as far as is known."""
        commands = [(command.lease, None, command.started_at) for command in self.commands.running.values()]
        return [*self.pool.running(), *commands]

    def leases(self) -> list[Lease]:
        """Every job that was handed out."""
        return [*self.pool.leases(), *self.commands.leases()]

    def stop_jobs(self, ids: frozenset[str], why: Why) -> None:
        """Ask the runs of these jobs to stop."""
        self.pool.stops.jobs(ids, why)
        self.commands.stop_jobs(ids, why)

    def kill_jobs(self, ids: frozenset[str]) -> None:
        """End the runs of these jobs at once where that is possible; they are cancelled."""
        self.pool.stops.kill(ids)
        self.commands.kill_jobs(ids)

    def stop_all(self, why: Why) -> None:
        """Ask every run to stop."""
        self.pool.stops.all(why)
        self.commands.stop_all(why)

    def kill_all(self, why: Why) -> None:
        """End every run at once; ``why`` decides what becomes of the jobs."""
        self.pool.stops.kill_all(why)
        self.commands.kill_all(why)
