"""SAQ."""

import asyncio

from counted import RESULTS, URL, count, drive_async, stamp
from saq import Queue

BATCH = 1000
queue = Queue.from_url(f"{URL}/0")
kept = {"ttl": 500 if RESULTS else -1}


async def counted(_context, *, number):
    return count(number)


async def stamped(_context, *, sent):
    return stamp(sent)


settings = {"queue": queue, "functions": [counted, stamped], "concurrency": 10}


async def many(number):
    for start in range(0, number, BATCH):
        numbers = range(start, min(start + BATCH, number))
        await asyncio.gather(*(queue.enqueue("counted", number=each, **kept) for each in numbers))


async def main():
    await drive_async(
        many,
        lambda each: queue.enqueue("counted", number=each, **kept),
        lambda sent: queue.enqueue("stamped", sent=sent, **kept),
    )
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
