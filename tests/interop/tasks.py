"""The tasks of the Celery application under the same names, as qtool's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qtool.engine.current import Retry, current_job
from qtool.engine.tasks import task
from tests.interop import proj

if TYPE_CHECKING:
    from collections.abc import Callable

for name, function in proj.TASKS.items():
    task(name=f"proj.{name}")(cast("Callable[..., object]", function))


@task(name="proj.flaky", retries=3)
def flaky(times: int) -> Any:
    """Fails so many times, and then says at which attempt it did not."""
    job = current_job()
    assert job is not None
    if job.attempt <= times:
        raise Retry(in_=0.3)
    return job.attempt


@task(name="proj.quiet", retries=3, ignore_result=True)
def quiet(times: int) -> Any:
    """The same, and nobody wants to know."""
    return flaky.function(times)
