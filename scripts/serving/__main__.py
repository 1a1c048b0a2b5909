"""Private Redis and RabbitMQ servers for tests, on free ports of the loopback address.

Each has its own directory in .services inside the checkout (or in $QTOOL_SERVICES), and is started from the machine's
packages, which are installed where that is possible (root, with apt). The machine's own services are not touched.
A server that runs already stays as it is, however often it is started.

  scripts/services start                   Redis; prints export QTOOL_TEST_REDIS='redis://…'
  eval "$(scripts/services start redis rabbitmq)"
  scripts/services stop                    all that run
  scripts/services install redis           only see to it that the server is there
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import rabbitmq, redis
from .install import install
from .private import NotServing
from .standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from .private import PrivateServer

PLACE = Path(os.environ.get("QTOOL_SERVICES") or Path(__file__).resolve().parents[2] / ".services")


class Kind(NamedTuple):
    """A server that can be asked for."""

    package: str
    variable: str
    program: Callable[[], str | None]
    make: Callable[[Path], PrivateServer]


KINDS = {
    "redis": Kind("redis-server", "QTOOL_TEST_REDIS", redis.program, redis.RedisServer),
    "rabbitmq": Kind("rabbitmq-server", "QTOOL_TEST_RABBITMQ", rabbitmq.program, rabbitmq.RabbitServer),
}


def main() -> int:
    options = _options()
    try:
        return int(VERBS[options.verb](options.services, options.json))
    except NotServing as error:
        print(f"scripts/services: {error}", file=sys.stderr)
        return 1


def _ensure(name: str) -> None:
    kind = KINDS[name]
    if kind.program() is None:
        print(f"scripts/services: installing {kind.package}", file=sys.stderr)
        install(kind.package)
        if kind.program() is None:
            raise NotServing(f"{kind.package} is installed, and its server is not to be found")


def _install(names: list[str], _json: bool) -> int:
    for name in names or ["redis"]:
        _ensure(name)
    return 0


def _start(names: list[str], as_json: bool) -> int:
    notes = {}
    for name in names or ["redis"]:
        _ensure(name)
        notes[name] = Standing(PLACE / name).start(KINDS[name].make)
    _show(notes, as_json)
    return 0


def _stop(names: list[str], _json: bool) -> int:
    for name in names or KINDS:
        if Standing(PLACE / name).stop():
            print(f"scripts/services: {name} is stopped", file=sys.stderr)
    return 0


def _status(names: list[str], as_json: bool) -> int:
    notes = {name: note for name in names or KINDS if (note := Standing(PLACE / name).running()) is not None}
    _show(notes, as_json)
    return 0 if notes else 3


VERBS = {"start": _start, "stop": _stop, "status": _status, "install": _install}


def _show(notes: dict[str, dict[str, object]], as_json: bool) -> None:
    if as_json:
        json.dump(notes, sys.stdout, indent=2)
        print()
        return
    for name, note in notes.items():
        print(f"export {KINDS[name].variable}='{note['url']}'")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/services", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS, help="status: prints what runs, and exits with 3 if nothing does")
    parser.add_argument(
        "services", nargs="*", metavar="SERVICE", help=f"{', '.join(KINDS)} (default: redis; stop: all)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines for a shell")
    options = parser.parse_args()
    if unknown := set(options.services) - set(KINDS):
        parser.error(f"there is no service {unknown.pop()}; known: {', '.join(KINDS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
