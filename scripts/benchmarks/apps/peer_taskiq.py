"""taskiq, on streams, or on lists (which acknowledge nothing) with BENCH_LISTS."""

import asyncio
import os

from counted import RESULTS, URL, count, drive_async, stamp
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

BATCH = 1000
kind = ListQueueBroker if os.environ.get("BENCH_LISTS") else RedisStreamBroker
broker = kind(url=f"{URL}/0")
if RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(f"{URL}/0", result_ex_time=500, prefix_str="result"))


@broker.task(task_name="counted")
async def counted(number):
    return count(number)


@broker.task(task_name="stamped")
async def stamped(sent):
    return stamp(sent)


async def many(number):
    for start in range(0, number, BATCH):
        await asyncio.gather(*(counted.kiq(each) for each in range(start, min(start + BATCH, number))))


async def main():
    await broker.startup()
    await drive_async(many, counted.kiq, stamped.kiq)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
