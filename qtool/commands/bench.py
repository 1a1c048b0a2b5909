"""``qtool bench``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.options import Common
from qtool.views.bench import BENCH, BenchRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.config import Settings
    from qtool.engine.broker import Adapter

ROW = BenchRow
EXAMPLES = """
qtool bench
qtool bench -n 1000000
qtool bench -b /mnt/usb/jobs.db    # how fast is that disk?
"""


def command(
    common: Common,
    jobs: Annotated[int, typer.Option("-n", "--jobs", min=1, metavar="N", help="How many jobs to move.")] = 100_000,
) -> None:
    """Measure this machine.

    One process enqueues, claims and settles jobs that run nothing, and every commit waits for the disk as usual. An
    embedded file is spared: a temporary one in the same directory is measured, and removed. On another broker the jobs
    go through a queue of their own, and are deleted.
    """
    from qtool.engine.ids import new_id
    from qtool.engine.measure import measure

    settings = common.settings()
    out = common.out()
    with scratch(settings) as adapter, out.progress("measuring") as progress:
        measures = []
        for number, each in enumerate(measure(adapter, f"bench-{new_id()}", jobs), start=1):
            progress.update(number, each.what)
            measures.append(BenchRow.of(each))
    out.rows(BENCH, measures)


@contextmanager
def scratch(settings: Settings) -> Iterator[Adapter]:
    """The broker to measure: for an embedded file a new one in the same directory, which is then removed."""
    from tempfile import TemporaryDirectory

    from qtool.config import open_adapter
    from qtool.engine.registry import open_broker

    path = embedded_path(settings.broker)
    if path is None:
        with open_adapter(settings, write=True) as adapter:
            yield adapter
        return
    directory = os.path.dirname(path)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    with (
        TemporaryDirectory(prefix=".qtool-bench-", dir=directory) as temporary,
        open_broker(os.path.join(temporary, "bench.db")) as adapter,
    ):
        yield adapter


def embedded_path(url: str) -> str | None:
    """The file behind the URL; None for a broker that is no file."""
    from qtool.engine.brokers.sqlite import path_of

    scheme, colon, _ = url.partition(":")
    if not colon or "/" in scheme:
        return path_of(f"sqlite:{url}")
    return path_of(url) if scheme == "sqlite" else None
