"""Dramatiq."""

import dramatiq
from counted import RESULTS, URL, count, drive, stamp
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=f"{URL}/0")
if RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=f"{URL}/0")))
dramatiq.set_broker(broker)
options = {"store_results": True} if RESULTS else {}


@dramatiq.actor(**options)
def counted(number):
    return count(number) if RESULTS else count(number) and None


@dramatiq.actor(**options)
def stamped(sent):
    stamp(sent)


if __name__ == "__main__":
    drive(lambda number: [counted.send(each) for each in range(number)], counted.send, stamped.send)
