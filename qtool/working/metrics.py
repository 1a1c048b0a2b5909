"""``--metrics``: the worker's numbers over HTTP, as Prometheus reads them. Needs prometheus_client."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from qtool.errors import MetricsUnavailable, UsageError
from qtool.working.tally import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.engine.worker.supervisor import Worker
    from qtool.working.tally import Histogram, Tally

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what ``:PORT`` asks for
PORTS = range(65536)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT`` for every address of the host. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not colon or number not in PORTS or (":" in host and host == bare):
        raise UsageError(why=f"{text!r} is no address for metrics: write 127.0.0.1:9100, [::1]:9100 or :9100.")
    return bare or EVERYWHERE, number


class Metrics:
    """Serves one worker's numbers, from threads that end with the process and keep it from nothing."""

    def __init__(self, where: str, worker: Worker, tally: Tally) -> None:
        """Raises UsageError, MetricsUnavailable."""
        host, port = address(where)
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
        except ImportError:
            raise MetricsUnavailable(
                where=where, why="prometheus_client is not installed; pip install 'qtool[metrics]' brings it"
            ) from None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(worker, tally))
        ProcessCollector(registry=registry)
        try:
            server, _ = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise MetricsUnavailable(where=where, why=error.strerror or str(error)) from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{server.server_port}/metrics"


class Collector:
    """Reads the numbers when somebody asks. They are the supervisor's, and are only looked at here."""

    def __init__(self, worker: Worker, tally: Tally) -> None:
        self._worker = worker
        self._tally = tally

    def collect(self) -> Iterator[Any]:
        """Every metric, with all its samples."""
        yield from self._jobs()
        yield from self._own()

    def _jobs(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        jobs = CounterMetricFamily(
            "qtool_worker_jobs",
            "Attempts that ended, by what became of the job: succeeded, retry, dead, cancelled, or returned (snoozed, "
            "or given back by the worker).",
            labels=("queue", "task", "outcome"),
        )
        names = ("queue", "task")
        run = HistogramMetricFamily("qtool_worker_run_seconds", "How long attempts ran.", labels=names)
        wait = HistogramMetricFamily(
            "qtool_worker_wait_seconds", "How long jobs that could have started waited for a slot.", labels=names
        )
        # Copies, made at one go: the supervisor goes on counting meanwhile.
        for key, row in list(self._tally.rows.items()):
            for outcome, count in list(row.ends.items()):
                jobs.add_metric((*key, outcome), count)
            for family, histogram in ((run, row.run), (wait, row.wait)):
                family.add_metric(key, buckets(histogram), sum_value=histogram.sum)
        yield from (jobs, run, wait)

    def _own(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        worker = self._worker
        vitals = worker.vitals()
        yield InfoMetricFamily("qtool_worker", "This worker.", {"id": worker.id})
        for name, text, value in (
            ("running", "Slots that run a job.", vitals.running),
            ("slots", "How many jobs it runs at once.", vitals.slots),
        ):
            yield GaugeMetricFamily(f"qtool_worker_{name}", text, value)
        for name, text, value in (
            ("claims", "Questions to the broker for jobs.", vitals.claims),
            ("claimed_jobs", "Jobs the broker gave, those given back included.", vitals.claimed),
            (
                "settle_batches",
                "Times that outcomes were stored, several at once where they came together.",
                vitals.batches,
            ),
            ("broker_errors", "Calls to the broker that failed.", vitals.broker_errors),
            ("late_outcomes", "Outcomes refused because the lease had been lost.", vitals.late),
            ("child_deaths", "Processes of the pool that died and were replaced.", vitals.deaths),
            ("rescued_jobs", "Jobs of dead workers that this one took back.", vitals.rescued),
        ):
            yield CounterMetricFamily(f"qtool_worker_{name}", text, value)


def buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """As Prometheus has them: each counts what the smaller ones do."""
    bounds = [*(repr(bound) for bound in BOUNDS), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(bounds, accumulate(histogram.counts), strict=True)]
