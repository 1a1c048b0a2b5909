"""Runs workers under a mixed load for as long as asked and injects faults at random.

Two to three workers of all pools; one of them is never harmed, and has to stay as small as it is. Every few minutes the
load pauses, and what the jobs wrote down is held against the file. Exit code 1: a rule was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from qtool.engine.registry import open_broker
from qtool.engine.times import parse_duration
from qtool.errors import QtoolError

from .run import Soak
from .setting import SCRIPTS, settle_in


def main() -> int:
    options = _options()
    # It was for this process only: what is started finds its modules as it would anywhere.
    os.environ.pop("PYTHONPATH", None)
    seed = options.seed if options.seed is not None else int(os.environ.get("QTOOL_SEED", random.randrange(1 << 32)))
    print(f"QTOOL_SEED={seed}", file=sys.stderr)
    # Whoever ends it wants its workers to end too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Its workers hear every signal, though it may have been started with some ignored itself.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with settle_in(options.directory, options.lease) as setting:
        if not setting.mounted:
            print(f"no disk is filled: mount is not permitted here ({setting.why_not})", file=sys.stderr)
        with open_broker(setting.url) as adapter:
            soak = Soak(setting, adapter, random.Random(seed), every=options.every, only=options.only)
            began = time.monotonic()
            try:
                soak.run(options.duration, options.judge_every)
            except KeyboardInterrupt:
                print("interrupted: judging what there is", file=sys.stderr)
            finally:
                soak.end()
        soak.look_for_leftovers()
        text = soak.report(time.monotonic() - began, seed)
    print(text)
    if options.report:
        options.report.write_text(text + "\n")
    if options.json:
        options.json.write_text(json.dumps(soak.figures(), indent=2) + "\n")
    return 1 if soak.violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("duration", type=_duration, metavar="DURATION", help="for how long: 90s, 30m, 24h")
    parser.add_argument("--seed", type=int, metavar="N", help="repeat the choices of another run (also QTOOL_SEED)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here, as JSON")
    parser.add_argument(
        "--every", type=_duration, default=1.5, metavar="DURATION", help="between two faults, on average [1.5s]"
    )
    parser.add_argument(
        "--lease",
        type=_duration,
        default=6.0,
        metavar="DURATION",
        help="of the workers: how soon they are rescued [6s]",
    )
    parser.add_argument("--only", default="", metavar="WORD", help="faults that have this in their name")
    parser.add_argument(
        "--judge-every", type=_duration, default=180.0, metavar="DURATION", help="between two judgements [3m]"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=SCRIPTS.parent / ".soak",
        help="where to put the files (default: .soak in the checkout)",
    )
    return parser.parse_args()


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except QtoolError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
