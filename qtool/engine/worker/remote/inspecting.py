"""What can be asked of a worker: ``celery inspect``, ``celery status``, Flower (WIRE.md section 6)."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Any

from qtool.engine.celery import control, times
from qtool.engine.limits import format_rate
from qtool.engine.worker.remote.version import version

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtool.engine.celery.lamport import Lamport
    from qtool.engine.job import JobInfo
    from qtool.engine.remote import Remote
    from qtool.engine.worker.remote.dispatcher import Dispatcher
    from qtool.engine.worker.remote.reach import Reach
    from qtool.engine.worker.remote.revoked import Revoked

SCHEDULED = 100
"""Jobs that are due next, among which a worker tells of its queues'."""


class Inspection:
    """Answers, from what the worker has at hand."""

    def __init__(
        self, name: str, remote: Remote, reach: Reach, dispatcher: Dispatcher, revoked: Revoked, clock: Lamport
    ) -> None:
        self._name = name
        self._remote = remote
        self._reach = reach
        self._dispatcher = dispatcher
        self._revoked = revoked
        self._clock = clock
        self.methods: dict[str, Callable[..., object]] = {
            "ping": self._ping,
            "active": self._active,
            "dump_active": self._active,
            "reserved": self._reserved,
            "dump_reserved": self._reserved,
            "scheduled": self._scheduled,
            "dump_schedule": self._scheduled,
            "query_task": self._query_task,
            "registered": self._registered,
            "dump_tasks": self._registered,
            "revoked": self._all_revoked,
            "dump_revoked": self._all_revoked,
            "stats": self._stats,
            "active_queues": self._active_queues,
            "conf": self._conf,
            "dump_conf": self._conf,
            "clock": self._time,
            "report": self._report,
            "hello": self._hello,
        }

    def _ping(self, **_: object) -> object:
        return control.ok("pong")

    def _time(self, **_: object) -> object:
        return {"clock": self._clock.value}

    def _hello(self, from_node: str = "", revoked: object = None, **_: object) -> object:
        """A worker of Celery's has started, and wants to know what was revoked; it tells what it has heard of."""
        if from_node == self._name:
            return None
        self._revoked.add(map(str, revoked) if isinstance(revoked, list | dict) else (), done=False)
        return {"revoked": self._revoked.all(), "clock": self._clock.forward()}

    # --- jobs ----------------------------------------------------------------------------------------

    def _active(self, safe: object = None, **_: object) -> list[dict[str, Any]]:
        info = control.shown_info if safe else control.task_info
        return [info(lease, self._name, pid=pid, started=at) for lease, pid, at in self._reach.runners.running()]

    def _reserved(self, **_: object) -> list[dict[str, Any]]:
        active = {id(lease) for lease, _, _ in self._reach.runners.running()}
        held = [*self._reach.runners.leases(), *self._reach.claimer.waiting]
        return [
            control.task_info(lease, self._name, pid=None, started=None) for lease in held if id(lease) not in active
        ]

    def _scheduled(self, **_: object) -> list[dict[str, Any]]:
        """Of the queues that it serves: nobody holds them, so that every worker of a queue names the same ones."""
        served = self._reach.served
        jobs = self._reach.adapter.inspector.get(self._remote.due(SCHEDULED))
        return [self._due(job) for job in jobs if job is not None and served.include(job.queue)]

    def _due(self, job: JobInfo) -> dict[str, Any]:
        return control.scheduled_info(job, self._name, times.to_text(job.due_at or 0.0))

    def _query_task(self, ids: object = (), **_: object) -> dict[str, Any]:
        wanted = {str(each) for each in ([ids] if isinstance(ids, str) else ids if isinstance(ids, list) else ())}
        found = {info["id"]: ["active", info] for info in self._active() if info["id"] in wanted}
        for info in self._reserved():
            if info["id"] in wanted:
                found.setdefault(info["id"], ["reserved", info])
        if left := sorted(wanted - found.keys()):
            for job in self._reach.adapter.inspector.get(left):
                if job is not None and job.due_at is not None and job.state in ("scheduled", "retry"):
                    found[job.id] = ["scheduled", self._due(job)["request"]]
        return found

    def _all_revoked(self, **_: object) -> list[str]:
        return self._revoked.all()

    # --- the worker ----------------------------------------------------------------------------------

    def _registered(self, taskinfoitems: object = None, builtins: object = False, **_: object) -> list[str]:
        items = taskinfoitems if isinstance(taskinfoitems, list) and taskinfoitems else ["rate_limit"]
        said = {each.name: each.rate for each in self._reach.adapter.inspector.limits() if each.scope == "task"}
        rates = {name: said.get(name, rate) for name, rate in self._reach.catalogue.tasks.items()}
        return [
            f"{name} [rate_limit={format_rate(rate)}]" if rate is not None and "rate_limit" in items else name
            for name, rate in sorted(rates.items())
            if builtins or not name.startswith(("celery.", "qtool."))
        ]

    def _active_queues(self, **_: object) -> list[dict[str, Any]]:
        return [control.queue_info(name) for name in self._reach.served.names or self._remote.queues()]

    def _stats(self, **_: object) -> dict[str, Any]:
        reach, about = self._reach, self._reach.describe()
        size, options = reach.size, reach.options
        used = resource.getrusage(resource.RUSAGE_SELF)
        ranged = {"min": size.least, "max": size.most, "current": size.now, "qty": size.now}
        return {
            "total": dict(self._dispatcher.totals),
            "pid": about.pid,
            "clock": str(self._clock.value),
            "uptime": round(about.seen_at - about.started_at),
            "pool": {
                "implementation": f"qtool:{options.pool}",
                "max-concurrency": size.now,
                "processes": [child.process.pid for child in reach.runners.pool.children.all],
                "max-tasks-per-child": options.max_jobs_per_child or "N/A",
                "put-guarded-by-semaphore": False,
                "timeouts": [0, 0],
                "writes": {},
            },
            "broker": dict(self._remote.place()),
            "prefetch_count": size.now,
            "rusage": {name[3:]: getattr(used, name) for name in dir(used) if name.startswith("ru_")},
            **({"autoscaler": ranged} if size.least < size.most else {}),
        }

    def _conf(self, **_: object) -> dict[str, Any]:
        """What its Celery application says, and what the worker itself was told."""
        reach = self._reach
        said = reach.catalogue.application.get("conf") or {}
        return {
            "include": list(reach.options.apps),
            **said,
            "broker_url": reach.adapter.url,
            "worker_concurrency": reach.size.now,
            "worker_pool": reach.options.pool,
            "worker_max_tasks_per_child": reach.options.max_jobs_per_child,
            "task_queues": list(reach.served.names) or None,
        }

    def _report(self, **_: object) -> object:
        from platform import python_version

        system = os.uname()
        return control.ok(
            f"software -> qtool:{version()} py:{python_version()}\n"
            f"platform -> system:{system.sysname} {system.release} machine:{system.machine}\n"
            f"broker -> {self._reach.adapter.url}\n"
        )
