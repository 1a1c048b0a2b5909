"""Celery."""

from celery import Celery
from counted import RESULTS, URL, count, drive, stamp

app = Celery("peer_celery", broker=f"{URL}/0", backend=f"{URL}/0" if RESULTS else None)
app.conf.update(
    task_ignore_result=not RESULTS,
    worker_prefetch_multiplier=64,  # as its guide has it for many short tasks
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)


@app.task(name="counted")
def counted(number):
    return count(number)


@app.task(name="stamped")
def stamped(sent):
    return stamp(sent)


if __name__ == "__main__":
    with app.producer_or_acquire() as producer:
        drive(
            lambda number: [counted.apply_async((each,), producer=producer) for each in range(number)],
            lambda each: counted.delay(each),
            lambda sent: stamped.delay(sent),
        )
