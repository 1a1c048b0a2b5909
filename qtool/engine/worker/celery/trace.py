"""One run of a Celery application's task: a message in, through Celery's own tracer, an outcome out.

It does what ``celery.worker.request.Request`` and ``celery.app.trace.trace_task_ret`` do around that tracer, which
calls the task, stores its result, and publishes what follows: retries, callbacks, the next link of a chain, the body of
a chord (WIRE.md section 7). So what is left to say is where that leaves the job.

A lease of a message of Celery's has all three parts of its body, and in its options, under ``celery``, the message's
headers and properties; for a job of qtool's own the same is made up here. Celery itself is imported only when a
:class:`Tracer` is made.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from qtool.engine.codec import encode_value
from qtool.engine.current import JobCancelled, running
from qtool.engine.job import Cancel, Fail, Failure, Outcome, Snooze, Told
from qtool.engine.run import failure_of, refusal_of
from qtool.engine.states import Reason, State
from qtool.errors import NotSerialisable, PayloadTooLarge, Undecodable

if TYPE_CHECKING:
    from celery import Celery
    from celery import Task as CeleryTask

    from qtool.engine.current import CurrentJob
    from qtool.engine.job import Lease

REPLACED = "Replaced by new task"
"""What the Ignore says that ends a task which ``self.replace()`` has published anew under the same id."""


def request_of(lease: Lease, hostname: str) -> dict[str, Any]:
    """The part of a task's ``request`` that its message tells: its headers and properties. Raises Undecodable."""
    headers, properties = _message(lease)
    told = properties.get("delivery_info") or {}
    return headers | {
        "properties": properties,
        "reply_to": properties.get("reply_to"),
        "correlation_id": properties.get("correlation_id"),
        "hostname": hostname,
        "is_eager": False,
        "delivery_info": {
            "exchange": told.get("exchange"),
            "routing_key": told.get("routing_key"),
            "priority": properties.get("priority"),
            "redelivered": told.get("redelivered", False),
        },
    }


def _message(lease: Lease) -> tuple[dict[str, Any], dict[str, Any]]:
    """Headers and properties, as they came, or as Celery would have made them."""
    try:
        came = json.loads(lease.options).get("celery") if lease.options is not None else None
        if came is not None:
            return dict(came["headers"]), dict(came["properties"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Undecodable(what="message", why=str(error) or type(error).__name__) from None
    headers = {"lang": "py", "task": lease.task, "id": lease.id, "root_id": lease.id, "retries": lease.failures}
    info = {"exchange": "", "routing_key": lease.queue}
    return headers, {"correlation_id": lease.id, "reply_to": "", "delivery_info": info}


class Tracer:
    """Runs the tasks of one application."""

    def __init__(self, app: Celery, hostname: str) -> None:
        from billiard.exceptions import SoftTimeLimitExceeded
        from celery import exceptions, signals
        from celery.app.task import Context
        from kombu.utils.json import loads

        self._app = app
        self._hostname = hostname
        self._loads = loads
        self._context = Context
        self._signals = signals
        self._errors = exceptions
        self._soft = SoftTimeLimitExceeded

    def run(self, task: CeleryTask, job: CurrentJob, body: str | bytes) -> Outcome:
        """Run it in this thread; whatever it raises is its outcome."""
        lease = job._lease
        assert lease is not None
        try:
            args, kwargs, embed = self._content(body)
            request = request_of(lease, self._hostname) | embed | {"args": args, "kwargs": kwargs}
        except Undecodable as error:
            return refusal_of(error)
        job.args, job.kwargs = tuple(args), kwargs
        token = running.set(job)
        try:
            value, info, _, _ = task.__trace__(lease.id, args, kwargs, request)
        except JobCancelled:
            return Cancel()
        except self._errors.Reject as error:
            return self._rejected(task, request, error)
        except BaseException as error:  # noqa: BLE001
            # The boundary: the tracer lets through what would end a process of Celery's.
            return self._lost(task, request, error)
        finally:
            running.reset(token)
        if info is None:
            return Told(state=State.SUCCEEDED, result=_json(value))
        return self._ended(task, request, info.state, info.retval)

    def _content(self, body: str | bytes) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        """Args, kwargs and what is to follow, with kombu's own types (dates, UUIDs). Raises Undecodable."""
        try:
            args, kwargs, *more = self._loads(body)
            embed = (more[0] if more else None) or {}
            if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict)):
                raise ValueError("it is not [args, kwargs, embed]")
        except Exception as error:  # noqa: BLE001
            # Whatever a decoder of kombu's raises for a value of its types.
            raise Undecodable(what="arguments", why=str(error) or type(error).__name__) from None
        return args, kwargs, embed

    def _ended(self, task: CeleryTask, request: dict[str, Any], state: str, error: BaseException) -> Outcome:
        if state == "RETRY":
            return self._retried(error)
        if state == "REJECTED":
            return self._rejected(task, request, error)
        if state == "IGNORED":
            if str(error) == REPLACED:
                return Told(state=State.READY)
            # No result is stored: its own code said that there is nothing more to be said.
            return Told(state=State.DEAD, reason=Reason.DISCARDED, failure=_plain(error))
        reason = Reason.TIMEOUT if isinstance(error, self._soft) else Reason.FAILED
        return Told(state=State.DEAD, reason=reason, failure=failure_of(error))

    def _retried(self, error: Any) -> Outcome:
        """It has published itself again, with its own ``eta``, and RETRY is stored."""
        if error.sig is None:
            return Told(state=State.DEAD, reason=Reason.FAILED, failure=_plain(error))
        when = error.when
        due = time.time() + when if isinstance(when, int | float) else when.timestamp() if when is not None else None
        return Told(state=State.RETRY, failure=failure_of(error.exc) if error.exc else _plain(error), due_at=due)

    def _rejected(self, task: CeleryTask, request: dict[str, Any], error: Any) -> Outcome:
        if error.requeue:
            return Snooze()
        self._fail(task, request, error)
        return Told(state=State.DEAD, reason=Reason.FAILED, failure=_plain(error))

    def _lost(self, task: CeleryTask, request: dict[str, Any], error: BaseException) -> Outcome:
        """A SystemExit, say, which would have ended the process."""
        lost = error
        if not isinstance(error, Exception):
            status = f"exitcode {error.code}" if isinstance(error, SystemExit) else type(error).__name__
            lost = self._errors.WorkerLostError(f"Worker exited prematurely: {status}.")
        try:
            self._fail(task, request, lost)
        except Exception as broken:  # noqa: BLE001  a result that cannot be stored by Celery is stored by the broker
            lost.__context__ = broken
            return Fail(failure_of(lost), final=True)
        return Told(state=State.DEAD, reason=Reason.FAILED, failure=failure_of(lost))

    def _fail(self, task: CeleryTask, request: dict[str, Any], error: BaseException) -> None:
        """Store the failure, and tell those who wait for it, as the parent of Celery's own processes does."""
        context = self._context(request)
        store = not (task.ignore_result if context.ignore_result is None else context.ignore_result)
        store = store or task.store_errors_even_if_ignored
        task.backend.mark_as_failure(request["id"], error, request=context, store_result=store)
        self._signals.task_failure.send(
            sender=task,
            task_id=request["id"],
            exception=error,
            args=request["args"],
            kwargs=request["kwargs"],
            traceback=None,
            einfo=None,
        )


def _plain(error: BaseException) -> Failure:
    """An error that is a word between the task and its worker: where it was raised says nothing."""
    return Failure(type=type(error).__name__, message=str(error))


def _json(value: Any) -> str | None:
    try:
        return None if value is None else encode_value(value, "The result")
    except (NotSerialisable, PayloadTooLarge):
        return None
