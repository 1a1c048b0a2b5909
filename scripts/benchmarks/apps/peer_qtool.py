"""qtool."""

from counted import RESULTS, URL, count, drive, stamp

from qtool import connect, task


@task(ignore_result=not RESULTS)
def counted(number):
    return count(number)


@task(ignore_result=not RESULTS)
def stamped(sent):
    return stamp(sent)


if __name__ == "__main__":
    # Not __main__'s: the worker knows the tasks by the name of their module.
    import peer_qtool as app

    with connect(f"{URL}/0"):
        drive(lambda number: app.counted.map(range(number)), app.counted.delay, app.stamped.delay)
