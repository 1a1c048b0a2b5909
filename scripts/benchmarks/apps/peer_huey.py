"""Huey."""

from counted import RESULTS, URL, count, drive, stamp
from huey import RedisHuey

huey = RedisHuey("bench", url=f"{URL}/0", results=RESULTS)


@huey.task()
def counted(number):
    return count(number)


@huey.task()
def stamped(sent):
    return stamp(sent)


if __name__ == "__main__":
    # Not __main__'s: the consumer knows the tasks by the name of their module.
    import peer_huey as app

    drive(lambda number: [app.counted(each) for each in range(number)], app.counted, app.stamped)
