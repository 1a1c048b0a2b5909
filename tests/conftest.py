"""What holds for every test."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.services import pytest_runtest_setup, pytest_runtest_teardown, redis_server, redis_servers, redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown", "redis_server", "redis_servers", "redis_url"]

# These tests make their own isolation, default file included; the plugin's guard is tested in a pytest of its own.
os.environ["QTOOL_BROKER_REQUIRED"] = "0"


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def pytest_configure() -> None:
    """What tests start hears every signal, though nohup or a shell's ``&`` have had this process ignore some.

    A signal that is ignored stays so in what is started; one that is handled is back at its default there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that ran in this process and was to end it has the signals ignored; what tests start must hear them."""
    before = [(number, signal.getsignal(number)) for number in STOPS]
    yield
    for number, handler in before:
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
