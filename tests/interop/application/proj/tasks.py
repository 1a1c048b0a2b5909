"""Tasks that use what Celery offers."""

import os
import signal
import sys
import time
from typing import Any

import redis
from celery import Task, chain, chord, group, shared_task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from proj.celery import app

notes = redis.Redis.from_url(os.environ["PROJ_BROKER"], decode_responses=True)
born: list[str] = []


def note(key: str, text: str) -> int:
    """Append a line where the test reads it."""
    return notes.rpush(f"note:{key}", text)


# --- plain ---


@app.task
def add(x, y):
    return x + y


@shared_task
def total(numbers):
    return sum(numbers)


@app.task
def double(x):
    return 2 * x


@app.task
def echo(*args, **kwargs):
    return [list(args), kwargs]


class Odd(Exception):
    """An error of the project's own."""


@app.task
def fail(text="no", kind="odd"):
    raise {"odd": Odd, "key": KeyError, "value": ValueError}[kind](text)


@app.task(ignore_result=True)
def quiet(key):
    note(key, "ran")


@app.task
def kinds(value):
    return [type(value).__name__, value]


@app.task
def unserialisable():
    return object()


# --- bound ---


@app.task(bind=True)
def whoami(self, *args, **kwargs):
    request = self.request
    return {
        "id": request.id,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "correlation_id": request.correlation_id,
        "reply_to": bool(request.reply_to),
        "task": request.task,
        "args": list(request.args),
        "kwargs": request.kwargs,
        "retries": request.retries,
        "eta": bool(request.eta),
        "expires": bool(request.expires),
        "group": request.group,
        "group_index": request.group_index,
        "chord": bool(request.chord),
        "chain": len(request.chain or ()),
        "callbacks": len(request.callbacks or ()),
        "errbacks": len(request.errbacks or ()),
        "timelimit": list(request.timelimit or ()),
        "headers": request.headers,
        "delivery_info": request.delivery_info,
        "priority": request.properties.get("priority"),
        "is_eager": request.is_eager,
        "called_directly": request.called_directly,
        "ignore_result": request.ignore_result,
        "argsrepr": request.argsrepr,
        "hostname": "@" in request.hostname,
        "stamps": request.stamps,
        "current": app.current_task.name,
    }


@app.task(bind=True)
def where(self):
    return self.request.hostname


@app.task(bind=True, max_retries=5)
def flaky(self, times, countdown=0, **kwargs):
    note(self.request.id, str(self.request.retries))
    if self.request.retries < times:
        raise self.retry(countdown=countdown, exc=Odd("not yet"))
    return [self.request.retries, kwargs]


# Of attempts that are due at once, two may run at Celery's workers at a time, and the earlier one has the last word.
@app.task(bind=True, max_retries=2, default_retry_delay=0.3)
def spent(self, with_error=True):
    note(self.request.id, str(self.request.retries))
    raise self.retry(exc=Odd("never") if with_error else None)


@app.task(bind=True, max_retries=None)
def changed(self, x, after=None):
    if self.request.retries == 0:
        raise self.retry(args=(x + 1,), kwargs={"after": self.request.id}, countdown=0)
    return [x, after == self.request.id]


@app.task(bind=True)
def elsewhere(self):
    if self.request.retries == 0:
        raise self.retry(queue="other", countdown=0)
    return self.request.delivery_info["routing_key"]


@app.task(bind=True, autoretry_for=(KeyError,), max_retries=2, retry_backoff=False, default_retry_delay=0.3)
def auto(self, until):
    note(self.request.id, str(self.request.retries))
    if self.request.retries < until:
        raise KeyError("again")
    return self.request.retries


@app.task(bind=True, max_retries=3)
def waiting(self, seconds):
    if self.request.retries == 0:
        raise self.retry(countdown=seconds, exc=Odd("wait"))
    return "done"


# --- replaced, ignored, rejected ---


@app.task(bind=True)
def swap(self, x):
    raise self.replace(add.s(x, 10))


@app.task(bind=True)
def swap_chain(self, x):
    raise self.replace(chain(add.s(x, 10), double.s()))


@app.task(bind=True)
def swap_group(self, count):
    raise self.replace(group(add.s(number, number) for number in range(count)))


@app.task(bind=True)
def swap_chord(self, count):
    raise self.replace(chord([add.s(number, number) for number in range(count)], total.s()))


@app.task(bind=True)
def more_of_chord(self, x):
    return self.add_to_chord(add.s(x, 100)) and x


@app.task(bind=True)
def ignored(self):
    self.update_state(state="GONE", meta={"at": 3})
    raise Ignore()


@app.task(bind=True, acks_late=True)
def rejected(self, key=None):
    if key is None:
        raise Reject("bad", requeue=False)
    if note(key, "asked") == 1:
        raise Reject("later", requeue=True)
    return "at last"


# --- time, states, processes ---


@app.task(soft_time_limit=1)
def soft(catch=True):
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        if catch:
            return "caught"
        raise


@app.task(time_limit=1)
def hard():
    time.sleep(20)


@app.task
def nap(seconds):
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        return "woken"
    return "slept"


@app.task(bind=True, track_started=True)
def tracked(self):
    return app.AsyncResult(self.request.id).state


@app.task(bind=True)
def progress(self, key):
    self.update_state(state="PROGRESS", meta={"done": 1, "total": 3})
    while not notes.exists(f"note:{key}"):
        time.sleep(0.01)
    return "done"


@app.task
def exits(code):
    sys.exit(code)


@app.task(bind=True)
def crash(self):
    note(self.request.id, "started")
    os.kill(os.getpid(), signal.SIGKILL)


# --- those who call others ---


@app.task
def parent(count):
    return [add.delay(number, 1).id for number in range(count)]


@app.task
def on_result(value, key):
    note(key, f"result {value}")


@app.task
def old_errback(failed_id):
    note(f"error:{failed_id}", failed_id)


@app.task
def new_errback(request, error, traceback):
    note(f"error:{request.id}", f"{type(error).__name__} {error} {'Traceback' in str(traceback)}")


# --- classes and signals ---


class Observed(Task):
    """Its hooks write down that they were called."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, "before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note(task_id, f"on_success {retval}")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"on_failure {exc!r}")

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"on_retry {exc!r}")

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note(task_id, f"after_return {status}")


@app.task(base=Observed, bind=True, max_retries=1)
def observed(self, how):
    if how == "fail":
        raise Odd("bad")
    if how == "retry" and self.request.retries == 0:
        # Celery's own workers begin one that is due at once before this attempt is over.
        raise self.retry(countdown=0.5, exc=Odd("again"))
    return how


class Called(Task):
    """Overrides ``__call__``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return ["called", super().__call__(*args, **kwargs)]


@app.task(base=Called, bind=True)
def called(self, x):
    return [x, self.request.called_directly]


@app.task
def lives():
    return born


@signals.worker_init.connect
def _worker(sender=None, **kwargs):
    born.append("worker_init")


@signals.worker_process_init.connect
def _process(sender=None, **kwargs):
    born.append("worker_process_init")


@app.on_after_finalize.connect
def _finalised(sender=None, **kwargs):
    born.append("finalized")


@signals.task_prerun.connect(sender=observed)
def _prerun(task_id=None, task=None, args=None, kwargs=None, **rest):
    note(task_id, f"prerun {task.request.retries}")


@signals.task_postrun.connect(sender=observed)
def _postrun(task_id=None, state=None, retval=None, **rest):
    note(task_id, f"postrun {state}")


@signals.task_success.connect(sender=observed)
def _success(sender=None, result=None, **rest):
    note(sender.request.id, f"success {result}")


@signals.task_failure.connect(sender=observed)
def _failure(task_id=None, exception=None, **rest):
    note(task_id, f"failure {exception!r}")


@signals.task_retry.connect(sender=observed)
def _retry(request=None, reason=None, **rest):
    note(request.id, f"retry {reason.exc!r}")
