"""What a type checker sees through the decorator; ``assert_type`` is checked by mypy, and runs as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from qtool import Batch, CurrentJob, Handle, Task, shared_task, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from qtool import Client


def test_types_go_through_the_decorator(client: Client) -> None:
    @task
    def bare(to: str, *, copies: int = 1) -> float:
        return float(copies)

    @shared_task(queue="mail", retries=3)
    def optioned(to: str) -> float:
        return 1.0

    @task
    async def fetch(url: str) -> bytes:
        return b""

    @task(bind=True, max_retries=2)
    def bound(self: CurrentJob, to: str) -> int:
        return 1

    assert_type(bare("ann", copies=2), float)
    assert_type(bare.delay("ann", copies=2), Handle[float])
    assert_type(optioned.apply_async(("ann",)), Handle[float])
    assert_type(optioned.map(["ann"]), Batch[float])
    assert_type(fetch.delay("x"), Handle[bytes])
    call: Callable[[str], Coroutine[Any, Any, bytes]] = fetch
    assert callable(call)
    assert_type(bound.delay("ann"), Handle[int])
    assert_type(bound("ann"), int)

    def refused() -> None:
        """Checked, and never called."""
        bare.delay(3)  # type: ignore[arg-type]
        bare.delay("ann", copy=3)  # type: ignore[call-arg]
        bound.delay()  # type: ignore[call-arg]
        task(retires=3)(len)  # type: ignore[call-overload]

    taken: Task[[str], float, float] = optioned
    assert refused.__doc__
    assert taken.name == optioned.name
