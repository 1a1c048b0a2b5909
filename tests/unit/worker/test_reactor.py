"""The supervisor's loop: what comes first when it wakes late."""

from __future__ import annotations

import os

from qtool.engine.clock import ManualClock
from qtool.engine.worker.reactor import Reactor


def test_the_alarm_comes_before_everything_else_and_once() -> None:
    clock, ran = ManualClock(), []
    reactor = Reactor(clock)
    read, write = os.pipe()
    try:
        reactor.watch(read, lambda: ran.append("readable"))
        reactor.after(1.0, lambda: ran.append("timer"))
        reactor.alarm(clock.monotonic() + 5.0, lambda: ran.append("alarm"))
        os.write(write, b"!")
        reactor.turn(sleep=False)
        assert ran == ["readable"]
        clock.advance(6.0)
        reactor.turn(sleep=False)
        assert ran == ["readable", "alarm", "readable", "timer"]
        reactor.turn(sleep=False)
        assert ran.count("alarm") == 1
    finally:
        reactor.close()
        os.close(read)
        os.close(write)


def test_an_alarm_that_is_set_anew_waits_anew() -> None:
    clock, ran = ManualClock(), []
    reactor = Reactor(clock)
    reactor.alarm(clock.monotonic() + 5.0, lambda: ran.append("first"))
    reactor.alarm(clock.monotonic() + 9.0, lambda: ran.append("second"))
    for _ in range(3):
        clock.advance(4.0)
        reactor.check()
    assert ran == ["second"]
    reactor.close()
