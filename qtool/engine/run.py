"""One run of a task: arguments in, outcome out. What a pool calls for every job.

::

    task = tasks.find(lease.task)                      # raises UnknownTask
    job = CurrentJob(lease.id, lease.task, lease.queue, lease.attempt, lease.failures, lease.crashes, tags, report)
    outcome = run(task, job, lease.body)               # never raises, but for KeyboardInterrupt

``task.policy`` is what the job's own policy goes over. Time-outs and cancellation of a plain function are the pool's:
it raises :class:`~qtool.engine.current.JobTimeout` or :class:`~qtool.engine.current.JobCancelled` inside the run.
"""

from __future__ import annotations

import os
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from qtool.engine import current, middleware
from qtool.engine.codec import decode_body, encode_value
from qtool.engine.current import CurrentJob, running
from qtool.engine.job import Cancel, Done, Fail, Failure, Outcome, Retry, Snooze
from qtool.engine.states import Reason
from qtool.errors import AppNotImported, NotSerialisable, PayloadTooLarge, QtoolError, Undecodable, UnknownTask

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from qtool.engine.tasks import AnyTask

MAX_MESSAGE = 4 * 1024
MAX_TRACEBACK = 32 * 1024
"""Characters of an error that are kept; of a traceback the head and the tail."""

_NULL = Done(None)
_IGNORED = Done(None, kept=False)
_OWN = os.path.dirname(os.path.dirname(__file__)) + os.sep
_loops = threading.local()

out_of_reach = False
"""No Ctrl-C reaches this process: a KeyboardInterrupt is of the task's own making, and an error as any other."""


def run(
    task: AnyTask,
    job: CurrentJob,
    body: str | bytes,
    timeout: float | None = None,
    *,
    caught: Callable[[BaseException], None] | None = None,
) -> Outcome:
    """Run the task in this thread. Raises KeyboardInterrupt if the task was interrupted.

    An ``async def`` task runs on the thread's own event loop; ``timeout``, in seconds, bounds only such a task.
    ``caught`` is shown what the task raises.
    """
    try:
        args, kwargs = decode_body(body)
    except Undecodable as error:
        return _undecodable(error)
    job.args, job.kwargs, job.retry_delay = args, kwargs, task.retry_delay
    token = running.set(job)
    try:
        if task.bind:
            args = (job, *args)
        if middleware.registered:
            value = _inside(task, job, partial(task.function, *args, **kwargs), timeout)
        else:
            value = task.function(*args, **kwargs)
            if task.is_async:
                value = _to_its_end(value, timeout)
    except BaseException as error:
        # Otherwise the boundary: whatever a task raises is its outcome.
        if isinstance(error, KeyboardInterrupt):
            drop_loop()
            if not out_of_reach:
                raise
        if task.is_async and (isinstance(error, current.JobTimeout) or not isinstance(error, Exception)):
            drop_loop()
        if caught is not None:
            caught(error)
        return outcome_of(task, error, job)
    finally:
        running.reset(token)
    return _IGNORED if task.ignore_result else _NULL if value is None else _done(value)


async def run_async(task: AnyTask, job: CurrentJob, body: str | bytes, timeout: float | None = None) -> Outcome:
    """Run the task on this event loop; a plain function runs in a thread of the loop's executor.

    ``timeout``, in seconds, ends an ``async def`` task with JobTimeout; for a plain function it ends the waiting,
    while the thread runs on. Cancelling the coroutine ends it as Cancel.
    """
    import asyncio

    if not task.is_async:
        try:
            async with asyncio.timeout(timeout) as bound:
                return await asyncio.to_thread(run, task, job, body)
        except TimeoutError as error:
            return outcome_of(task, _timeout(timeout) if bound.expired() else error, job)
        except asyncio.CancelledError:
            return Cancel()
    try:
        args, kwargs = decode_body(body)
    except Undecodable as error:
        return _undecodable(error)
    job.args, job.kwargs, job.retry_delay = args, kwargs, task.retry_delay
    token = running.set(job)
    try:
        if task.bind:
            args = (job, *args)
        if middleware.registered:
            value = await _inside_async(task, job, partial(task.function, *args, **kwargs), timeout)
        else:
            value = await _bounded(task.function(*args, **kwargs), timeout)
    except asyncio.CancelledError as error:
        me = asyncio.current_task()
        # Only a request from outside is a cancellation; a CancelledError of the task's own making is an error.
        return Cancel() if me is not None and me.cancelling() else outcome_of(task, error, job)
    except BaseException as error:
        # Otherwise the boundary, as in :func:`run`.
        if isinstance(error, KeyboardInterrupt) and not out_of_reach:
            raise
        return outcome_of(task, error, job)
    finally:
        running.reset(token)
    return _IGNORED if task.ignore_result else _NULL if value is None else _done(value)


def _inside(task: AnyTask, job: CurrentJob, call: middleware.Call, timeout: float | None) -> Any:
    """Call the task inside its middleware, in this thread."""
    around = middleware.around(task)
    if task.is_async:
        return around.plain(job, lambda: _to_its_end(around.awaited(job, call), timeout))
    return around.plain(job, call)


async def _inside_async(task: AnyTask, job: CurrentJob, call: middleware.Call, timeout: float | None) -> Any:
    """Call an ``async def`` task inside its middleware, on a loop that others share."""
    around = middleware.around(task)
    if not around.threaded:
        return await _bounded(around.awaited(job, call), timeout)
    return await middleware.in_thread(around.plain, job, lambda: _bounded(around.awaited(job, call), timeout))


def outcome_of(task: AnyTask, error: BaseException, job: CurrentJob) -> Outcome:
    """What an exception that left the task says about the job."""
    if isinstance(error, current.Retry):
        cause = error.cause
        failure = failure_of(cause) if cause else Failure(type="Retry", message=str(error) or "the task asked for it")
        return Retry(failure, error.in_)
    if isinstance(error, current.Snooze):
        return Snooze(error.in_)
    if isinstance(error, current.JobCancelled):
        return Cancel()
    if isinstance(error, current.Discard):
        return Fail(failure_of(error), Reason.DISCARDED, final=True)
    if isinstance(error, current.RetriesSpent):
        return Fail(failure_of(error.exc or error), final=True)
    return Fail(failure_of(error), final=True) if _misfits(task, error, job) else _judged(task, error, job)


def _judged(task: AnyTask, error: BaseException, job: CurrentJob) -> Outcome:
    """What the task's policy makes of an error."""
    answer = task.on_error.answer(error, job) if task.on_error is not None else None
    if isinstance(answer, current.Snooze):
        return Snooze(answer.in_)
    failure = failure_of(error)
    reason = Reason.TIMEOUT if isinstance(error, current.JobTimeout) else Reason.FAILED
    if answer == "discard" or isinstance(answer, current.Discard):
        return Fail(failure, Reason.DISCARDED, final=True)
    if isinstance(error, task.throws):
        # Expected: once it is not tried again, nobody need look.
        reason = Reason.DISCARDED
    if answer == "dead" or (answer is None and not _retried(task, error)):
        return Fail(failure, reason, final=True)
    wait = answer.in_ if isinstance(answer, current.Retry) else task.retry_delay
    return Fail(failure, reason) if wait is None else Retry(failure, wait, reason)


def refusal_of(error: UnknownTask | AppNotImported | Undecodable) -> Fail:
    """The end of a job whose task, or what was stored of it, cannot be had."""
    failure = Failure(type=type(error).__name__, message=str(error))
    if isinstance(error, UnknownTask):
        return Fail(failure, Reason.UNKNOWN_TASK, final=True)
    return Fail(failure) if isinstance(error, AppNotImported) else Fail(failure, Reason.UNDECODABLE, final=True)


def failure_of(error: BaseException) -> Failure:
    """The error as it is stored: its traceback starts at the user's own frame, and all of it is bounded."""
    import traceback

    kind = type(error)
    plain = kind.__module__ in ("builtins", "__main__") or kind.__module__.startswith("qtool.")
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001  an error whose text cannot be had is still an error
        message = f"<its text cannot be had: {type(broken).__name__}>"
    lines = traceback.format_exception(kind, error, _user_frames(error.__traceback__))
    return Failure(
        type=kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}",
        message=_bounded_text(message, MAX_MESSAGE),
        traceback=_bounded_text("".join(lines), MAX_TRACEBACK),
    )


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    start = frames
    while start is not None and start.tb_frame.f_code.co_filename.startswith(_OWN):
        start = start.tb_next
    # A built-in task has frames of this package only: then all but the first, which is run itself, are worth showing.
    return start or (frames.tb_next if frames else None)


def _bounded_text(text: str, limit: int) -> str:
    if len(text) > limit:
        dropped = len(text) - limit
        text = f"{text[: limit // 2]}\n… {dropped} characters left out …\n{text[len(text) - limit // 2 :]}"
    # Lone surrogates would not survive the trip from the child to the supervisor.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _retried(task: AnyTask, error: BaseException) -> bool:
    if isinstance(error, task.dont_retry_for):
        return False
    return task.retry_for is None or isinstance(error, task.retry_for)


def _misfits(task: AnyTask, error: BaseException, job: CurrentJob) -> bool:
    """Whether the arguments do not fit the function at all, which no retry can mend."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    # Raised by the call itself, here or inside middleware: the function has no frame then.
    own = (__file__, middleware.__file__)
    if not isinstance(error, TypeError) or (frames is not None and frames.tb_frame.f_code.co_filename not in own):
        return False
    import inspect

    try:
        inspect.signature(task.function).bind(*((job, *job.args) if task.bind else job.args), **job.kwargs)
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def _done(value: Any) -> Outcome:
    try:
        return Done(encode_value(value, f"The result ({type(value).__name__})"))
    except (NotSerialisable, PayloadTooLarge) as error:
        return Fail(_refusal(error), final=True)


def _undecodable(error: Undecodable) -> Fail:
    return Fail(_refusal(error), Reason.UNDECODABLE, final=True)


def _refusal(error: QtoolError) -> Failure:
    return Failure(type=type(error).__name__, message=_bounded_text(str(error), MAX_MESSAGE))


def _timeout(seconds: float | None) -> current.JobTimeout:
    return current.JobTimeout(f"the attempt ran longer than {seconds:g} s")


async def _bounded(coroutine: Any, timeout: float | None) -> Any:
    if timeout is None:
        return await coroutine
    import asyncio

    try:
        async with asyncio.timeout(timeout) as bound:
            return await coroutine
    except TimeoutError:
        if bound.expired():
            raise _timeout(timeout) from None
        raise


def _to_its_end(coroutine: Any, timeout: float | None) -> Any:
    # The runner would keep the context it was made in: that of the thread's first job, or of none.
    return _loop().run(_bounded(coroutine, timeout), context=copy_context())


def run_coroutine(coroutine: Any) -> Any:
    """Run a coroutine to its end on the event loop that :func:`run` uses in this thread."""
    return _to_its_end(coroutine, None)


def _loop() -> asyncio.Runner:
    """This thread's event loop, kept: making one costs a hundred times what running a coroutine on it does."""
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is None:
        import asyncio

        runner = _loops.runner = asyncio.Runner()
    return runner


def thread_loop() -> asyncio.AbstractEventLoop:
    """The event loop that :func:`run` uses in this thread; whoever breaks into a run has to wake it."""
    return _loop().get_loop()


def drop_loop() -> None:
    """Forget the loop after something broke into it: a half-run coroutine may still hang on it."""
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is not None:
        del _loops.runner
        runner.close()
