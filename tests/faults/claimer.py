"""A process that claims and settles until nothing is left: ``python -m tests.faults.claimer URL WORKER``.

Prints the id of every job it was given, then the number of settlements that were refused.
"""

from __future__ import annotations

import sys

from qtool.engine.registry import open_broker

from .tools import done

BATCH = 64


def main() -> None:
    url, worker = sys.argv[1:]
    refused = 0
    with open_broker(url) as adapter:
        # Both processes are open before either begins.
        print("open", flush=True)
        sys.stdin.readline()
        while leases := adapter.broker.claim(worker, [], BATCH):
            print("\n".join(lease.id for lease in leases))
            refused += adapter.broker.settle([done(lease) for lease in leases]).count(None)
    print(refused)


if __name__ == "__main__":
    main()
