"""A real worker whose times are shorter and whose broker fails on demand: ``python -m tests.worker.patched URL JSON``.

The JSON holds worker options, and ``ahead``: so many jobs are claimed ahead for each slot, however long they take, and
stay there. While the file
``METHOD.TYPE`` is beside the store (``settle.BrokerFull``), that method of the broker raises that error; while it is
``METHOD.hang``, what the method gives comes late, unless that is nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtool import errors
from qtool.engine.broker import Adapter
from qtool.engine.registry import open_broker
from qtool.engine.worker.options import Silence, WorkerOptions
from qtool.engine.worker.readahead import ReadAhead
from qtool.engine.worker.supervisor import Worker

if TYPE_CHECKING:
    from qtool.engine.job import Lease

SAID = {"why": "on demand", "seconds": 0}


class Failing:
    """A broker that passes everything on, but for what is to fail."""

    def __init__(self, broker: Any, directory: Path) -> None:
        self._broker = broker
        self._directory = directory

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        for switch in self._directory.glob(f"{name}.Broker*"):
            print(f"{name} fails", flush=True)
            raise getattr(errors, switch.suffix[1:])(url="shop", **SAID)
        given = getattr(self._broker, name)(*args, **kwargs)
        while given and (self._directory / f"{name}.hang").exists():
            time.sleep(0.005)
        return given


class Voice(Silence):
    """Says it on stderr."""

    def say(self, message: str, lease: Lease | None = None) -> None:
        print(message, file=sys.stderr, flush=True)


def main() -> None:
    url, text = sys.argv[1:]
    said = json.loads(text)
    if "ahead" in said:
        ahead = said.pop("ahead")
        ReadAhead.ahead = property(lambda _: ahead)  # type: ignore[assignment,method-assign]
        ReadAhead.patience = float("inf")
    said["apps"] = tuple(said.get("apps", ["tests.worker.app"]))
    with open_broker(url) as adapter:
        parts = {name: getattr(adapter, name) for name in Adapter.__slots__}
        parts["broker"] = Failing(adapter.broker, Path(url.removeprefix("sqlite://")).parent)
        options = WorkerOptions(allow_exec=True, key=os.environ.get("QTOOL_KEY"), **said)
        summary = Worker(Adapter(**parts), options, Voice()).run(then_exit=True)
    print(json.dumps({name: getattr(summary, name) for name in summary.__slots__}), flush=True)
    sys.exit(0 if summary.clean else 1)


if __name__ == "__main__":
    main()
