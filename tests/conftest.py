"""What holds for every test."""

from __future__ import annotations

import os
import signal

# These tests make their own isolation, default file included; the plugin's guard is tested in a pytest of its own.
os.environ["QTOOL_BROKER_REQUIRED"] = "0"


def pytest_configure() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
