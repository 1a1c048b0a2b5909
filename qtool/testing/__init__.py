"""For the test suites of those who use qtool. docs/guide/testing.md shows all of it.

``in_memory()`` keeps a test's jobs in memory and runs them when it says so; the pytest fixture ``qtool_jobs`` is that.
``eager()`` runs each job where it is enqueued. ``real_worker()`` starts one, on a file of its own.

``import qtool.testing`` alone loads nothing: every name is imported when it is first used.
"""

TYPE_CHECKING = False  # not from typing, which takes 10 ms to import

if TYPE_CHECKING:
    from qtool.testing.jobs import Jobs, Ran, eager, in_memory
    from qtool.testing.process import RealWorker, real_worker

__all__ = ["Jobs", "Ran", "RealWorker", "eager", "in_memory", "real_worker"]

_HOMES = {
    "qtool.testing.jobs": ("Jobs", "Ran", "eager", "in_memory"),
    "qtool.testing.process": ("RealWorker", "real_worker"),
}


def _load(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(module), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'qtool.testing' has no attribute {name!r}")


if not TYPE_CHECKING:
    # Kept from the type checker, which would believe that every name is here.
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
