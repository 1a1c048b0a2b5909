"""The end of scripts/demo: hold what the jobs printed against what sha256sum prints, and say where to look.

Exits with 0 only if every file has exactly one job, every job succeeded and every output is the same.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.engine.filter import parse
from qtool.engine.registry import open_broker
from qtool.engine.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qtool.engine.broker import Adapter
    from qtool.engine.job import JobInfo

BATCH = 500
SHOWN = 10
"""How many differences are printed before the rest is only counted."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, help="the names that were enqueued, each ended by NUL")
    parser.add_argument("broker", help="the URL of the broker that ran them")
    parser.add_argument("--queue", default="demo")
    options = parser.parse_args()
    names = options.files.read_bytes().split(b"\0")[:-1]
    with open_broker(options.broker) as adapter:
        jobs = list(all_jobs(adapter, options.queue))
        wrong = list(differences(adapter, names, jobs))
    for line in wrong[:SHOWN]:
        print(f"   {line}")
    if len(wrong) > SHOWN:
        print(f"   and {len(wrong) - SHOWN} more")
    summarise(jobs, wrong, options.broker, options.queue)
    return 1 if wrong or not names else 0


def all_jobs(adapter: Adapter, queue: str) -> Iterator[JobInfo]:
    """Every job of the queue, oldest first."""
    where, after = parse(f"queue:{queue}"), None
    while True:
        page = adapter.inspector.browse(where, after=after, limit=BATCH, oldest_first=True)
        yield from page.jobs
        if (after := page.next) is None:
            return


def differences(adapter: Adapter, names: Sequence[bytes], jobs: Sequence[JobInfo]) -> Iterator[str]:
    """One sentence for each file whose job is missing, doubled, unsuccessful or printed something else."""
    by_name: defaultdict[bytes, list[JobInfo]] = defaultdict(list)
    for job in jobs:
        by_name[os.fsencode(job.args[-1])].append(job)
    for name in by_name.keys() - set(names):
        yield f"{shown(name)}: a job that nobody asked for"
    for name, expected in direct(names):
        mine = by_name[name]
        if len(mine) != 1:
            yield f"{shown(name)}: {len(mine)} jobs instead of one"
        elif mine[0].state is not State.SUCCEEDED:
            yield f"{shown(name)}: job {mine[0].id} is {mine[0].state}: {mine[0].error}"
        else:
            chunks = adapter.results.output(mine[0].id)
            got = b"".join(chunk.data for chunk in chunks if chunk.stream == "stdout")
            if got != expected:
                yield f"{shown(name)}: job {mine[0].id} printed {got!r}, sha256sum prints {expected!r}"


def direct(names: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each name with the line that sha256sum prints for it. It prints them in the order of its arguments."""
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        lines = sha256sum(batch)
        if len(lines) == len(batch):
            yield from zip(batch, lines, strict=True)
        else:
            # A file that cannot be read has no line: which one is only known when each is asked alone.
            yield from ((name, b"".join(sha256sum([name]))) for name in batch)


def sha256sum(names: Sequence[bytes]) -> list[bytes]:
    """The lines of one run over many files."""
    return subprocess.run([b"sha256sum", *names], stdout=subprocess.PIPE, check=False).stdout.splitlines(keepends=True)


def shown(name: bytes) -> str:
    """A file name that is safe to print."""
    return ascii(os.fsdecode(name))


def summarise(jobs: Sequence[JobInfo], wrong: Sequence[str], broker: str, queue: str) -> None:
    """The figures, and the commands that show more."""
    failures = sum(job.state is not State.SUCCEEDED for job in jobs)
    began = min((job.started_at for job in jobs if job.started_at), default=0.0)
    ended = max((job.finished_at for job in jobs if job.finished_at), default=0.0)
    seconds = ended - began
    rate = len(jobs) / seconds if seconds > 0 else 0.0
    verdict = "every output matches" if jobs and not wrong else f"{len(wrong)} do not match"
    print(f"   {len(jobs)} jobs, {failures} failures, {seconds:.1f} s, {rate:.0f} jobs/s: {verdict}")
    if jobs:
        qtool = shlex.quote(str(Path(sys.executable).with_name("qtool")))
        at = f"-b {shlex.quote(broker)}"
        print("\nTo look at what happened:")
        print(f"   {qtool} jobs {at} -Q {queue}")
        print(f"   {qtool} show {at} {jobs[-1].id}")
        print(f"   {qtool} logs {at} {jobs[-1].id}")


if __name__ == "__main__":
    sys.exit(main())
