"""The shop whose queues the pictures show: tasks as real ones are, some slow, some failing."""

from __future__ import annotations

import random
import time

from qtool import current_job, task


class PaymentDeclined(Exception):
    """The bank says no."""


@task(name="shop.send_receipt", retries=0)
def send_receipt(to: str) -> str:
    """Quick, and hardly ever wrong."""
    time.sleep(random.uniform(0.005, 0.03))
    if random.random() < 0.01:
        raise ConnectionError(f"smtp-{random.randrange(1, 4)}.example.com refused the connection")
    return to


@task(name="shop.charge", retries=0)
def charge(order: int, cents: int) -> dict[str, int]:
    """Fails in a few ways."""
    time.sleep(random.uniform(0.02, 0.2))
    if random.random() < 0.06:
        raise PaymentDeclined(f"order {order}: card ending in {random.randrange(1000, 10000)} was declined")
    if random.random() < 0.04:
        raise TimeoutError(f"bank did not answer within {random.randrange(20, 40)} s")
    return {"order": order, "cents": cents}


@task(name="shop.resize")
def resize(name: str) -> str:
    """Takes a while and says how far it is."""
    job = current_job()
    for step in range(20):
        job.progress(step / 20, f"{name}, line {step * 54} of 1080")
        print(f"{name}: line {step * 54}")
        time.sleep(random.uniform(0.05, 0.15))
    return name


@task(name="shop.report")
def report(month: str) -> str:
    """For the night."""
    time.sleep(1)
    return month
