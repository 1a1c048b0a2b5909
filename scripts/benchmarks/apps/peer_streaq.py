"""streaq."""

import asyncio

from counted import RESULTS, URL, count, drive_async, stamp
from streaq import Worker

BATCH = 1000
worker = Worker(redis_url=f"{URL}/0", concurrency=32, anyio_kwargs={"use_uvloop": True})
kept = {"ttl": 500 if RESULTS else 0, "silent": True}


@worker.task(**kept)
async def counted(number):
    return count(number)


@worker.task(**kept)
async def stamped(sent):
    return stamp(sent)


async def many(number):
    for start in range(0, number, BATCH):
        await worker.enqueue_many([counted.enqueue(each) for each in range(start, min(start + BATCH, number))])


async def one(number):
    await counted.enqueue(number)


async def send(sent):
    await stamped.enqueue(sent)


async def main():
    async with worker:
        await drive_async(many, one, send)


if __name__ == "__main__":
    asyncio.run(main())
