"""RQ."""

import rq
from counted import RESULTS, URL, count, drive, stamp
from redis import Redis

BATCH = 1000
kept = {"result_ttl": 500 if RESULTS else 0}


def counted(number):
    return count(number)


def stamped(sent):
    return stamp(sent)


def many(number):
    for start in range(0, number, BATCH):
        numbers = range(start, min(start + BATCH, number))
        queue.enqueue_many([rq.Queue.prepare_data("peer_rq.counted", (each,), **kept) for each in numbers])


if __name__ == "__main__":
    queue = rq.Queue(connection=Redis.from_url(f"{URL}/0"))
    drive(
        many,
        lambda each: queue.enqueue("peer_rq.counted", each, **kept),
        lambda sent: queue.enqueue("peer_rq.stamped", sent, **kept),
    )
