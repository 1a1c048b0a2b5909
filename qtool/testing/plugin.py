"""pytest's plugin: the fixture ``qtool_jobs``, and a guard for tests that forget it. Nothing is imported before that.

The guard: while pytest runs, qtool uses no broker that only the user's own configuration, or nothing, names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.testing.jobs import Jobs

GUARD = "QTOOL_BROKER_REQUIRED"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Raise the guard before the first module of the user's is imported; a value that is set already stays."""
    if GUARD not in os.environ:
        os.environ[GUARD] = "1"
        early_config.add_cleanup(_lower_the_guard)


def _lower_the_guard() -> None:
    os.environ.pop(GUARD, None)


@pytest.fixture
def qtool_jobs() -> Iterator[Jobs]:
    """The jobs of this test: in memory, alone, and run when the test says so."""
    from qtool.testing.jobs import in_memory

    with in_memory() as jobs:
        yield jobs
