"""Run the shop for some seconds, then take the pictures while it works on."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtool.engine.ids import new_id
from qtool.engine.job import Job
from qtool.engine.registry import open_broker
from qtool.engine.states import State
from qtool.tui.app import Place, Top
from qtool.tui.frame import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.pilot import Pilot

    from qtool.engine.broker import Adapter

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "pictures"
WARMED = 75.0
"""Seconds that the shop is at work before the first picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture: the keys that lead to it, and what has to be on the screen then."""

    keys: tuple[str, ...] = ()
    shows: str = ""
    size: tuple[int, int] = (120, 32)


WAIT = "wait"
"""Among the keys: until the screen has looked again."""

PICTURES = {
    "overview": Picture(shows="receipts"),
    "narrow": Picture(shows="receipts", size=(80, 24)),
    "jobs": Picture(keys=("2",), shows="shop.charge"),
    "workers": Picture(keys=("3",), shows="resize"),
    "dead": Picture(keys=("4",), shows="PaymentDeclined"),
    "events": Picture(keys=("5",), shows="succeeded"),
    # One that runs: the traceback of a dead one would show where this checkout lies.
    "job": Picture(keys=("2", "slash", *"queue", "colon", *"images", "enter", "o", WAIT, "enter", "l"), shows="line"),
    "retry": Picture(keys=("4", "R"), shows="Cancel"),
    "history": Picture(keys=("6", "+", "+", "+"), shows="JOBS/s"),
    "help": Picture(keys=("question_mark",), shows="Help"),
}


class Shop:
    """Somebody who enqueues, and two workers."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "shop.db")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sell)
        self._orders = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """The shop is open while the block lasts."""
        words = [str(Path(sys.executable).parent / "qtool"), "worker", "-q", "-b", self.path, "-A", "picturing.shop"]
        env = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}"}
        self._thread.start()
        workers = [
            subprocess.Popen([*words, *more], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for more in (["-Q", "receipts,payments", "-j", "4"], ["-Q", "images", "-j", "3"])
        ]
        try:
            yield
        finally:
            self._closing.set()
            self._thread.join()
            for worker in workers:
                worker.kill()
                worker.wait()

    def _sell(self) -> None:
        with open_broker(self.path) as adapter:
            for month in ("2026-09", "2026-10"):
                self._add(adapter, "reports", "report", month, run_at=time.time() + 3600)
            while not self._closing.wait(0.2):
                for _ in range(random.randrange(3, 9)):
                    self._add(adapter, "receipts", "send_receipt", f"ann{random.randrange(1000)}@example.com")
                for _ in range(random.randrange(2, 7)):
                    self._orders += 1
                    self._add(adapter, "payments", "charge", self._orders, random.randrange(500, 9000))
                if random.random() < 0.5:
                    self._add(adapter, "images", "resize", f"photo-{random.randrange(1000)}.jpg")

    def _add(self, adapter: Adapter, queue: str, task: str, *args: object, **more: float) -> None:
        job = Job(
            id=new_id(),
            task=f"shop.{task}",
            queue=queue,
            args=args,
            created_at=time.time(),
            tags={"shop": "berlin"},
            run_at=more.get("run_at"),
        )
        adapter.broker.enqueue([job])


async def take(path: str, name: str, picture: Picture) -> None:
    """One picture."""
    app = Top(Place(where="shop", opener=lambda: open_broker(path)))
    async with app.run_test(size=picture.size) as pilot:
        await _until(pilot, lambda: app.store.sight is not None)
        for key in picture.keys:
            await (pilot.pause(2.2) if key == WAIT else pilot.press(key))
        # Two refreshes: the second one has what a screen asked for when it came up.
        await pilot.pause(2.2)
        await _until(pilot, lambda: picture.shows in text_of(app))
        (OUT / f"{name}.svg").write_text(app.export_screenshot(title="qtool top"))


async def _until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await pilot.pause(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(PICTURES)}")
    names = parser.parse_args().names or list(PICTURES)
    directory = ROOT / ".pictures"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    OUT.mkdir(parents=True, exist_ok=True)
    shop = Shop(directory)
    with shop.open():
        time.sleep(WARMED)
        for name in names:
            asyncio.run(take(shop.path, name, PICTURES[name]))
            print(OUT / f"{name}.svg")
        with open_broker(shop.path) as adapter:
            dead = sum(queue.counts[State.DEAD] for queue in adapter.inspector.snapshot().queues)
    shutil.rmtree(directory)
    # A shop in which nothing ever failed would make dull pictures, and says that something is wrong with it.
    return 0 if dead else 1


if __name__ == "__main__":
    sys.exit(main())
