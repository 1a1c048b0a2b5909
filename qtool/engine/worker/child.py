"""A pool's process: imports the apps, then runs the jobs it is sent. Started as a fresh interpreter by the supervisor.

It never touches the broker. It dies with its supervisor.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any

from qtool.engine import middleware, run
from qtool.engine.slate import FileSlate
from qtool.engine.worker import capture, slots, wire
from qtool.engine.worker.celery import app as applications
from qtool.engine.worker.link import Link
from qtool.errors import AppNotImported

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """``python -m qtool.engine.worker.child SOCKET CONTROL SLATE``: descriptors; -1 where there is none."""
    sock, control = (socket.socket(fileno=int(each)) for each in sys.argv[1:3])
    settings = wire.decode(sock.recv(wire.BUFFER))
    wire.die_with_parent(settings["parent"])
    slate = None
    if (fd := int(sys.argv[3])) >= 0:
        os.set_inheritable(fd, False)
        slate = FileSlate.attach(fd)
    # Until a job runs there is nothing to interrupt.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    run.out_of_reach = True
    capture.install()
    link = Link(sock, control, slate, announce=settings["announce"])
    # Python takes bytecode for current whose source has the same size and was changed in the same second.
    sys.dont_write_bytecode |= settings["reload"]
    try:
        for place in settings["middleware"]:
            middleware.load(place)
        for app in settings["apps"]:
            if (remark := applications.load(app, settings["node"])) is not None:
                link.remarks.append(remark)
    except AppNotImported as error:
        _tell_sources(link, settings)
        link.refuse(error)
    link.application = applications.settings()
    _tell_sources(link, settings)
    serve: Callable[[Link, int, int, int], object] = slots.one_by_one
    if settings["pool"] == "thread":
        serve = slots.in_threads
    elif settings["pool"] == "async":
        from qtool.engine.worker.loop import on_a_loop

        serve = on_a_loop
    serve(link, settings["slot"], settings["slots"], settings["room"])


def _tell_sources(link: Link, settings: dict[str, Any]) -> None:
    if settings["reload"]:
        from qtool.engine.worker.sources import directories

        link.send((wire.SOURCES, directories(settings["apps"])))


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # noqa: BLE001  it must end here: an ordinary end waits for threads that tasks have left
        traceback.print_exc()
        os._exit(1)
