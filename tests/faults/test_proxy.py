"""The network that the fault tests break does what it says."""

from __future__ import annotations

import random
import socket
import time
from typing import TYPE_CHECKING

import pytest
from serving.private import LOOPBACK

from .proxy import Proxy, storm
from .tools import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.redis import RedisServer


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=0.3)


def ask(client: socket.socket) -> bytes:
    client.sendall(b"PING\r\n")
    return client.recv(100)


def test_it_passes_everything_on(proxy: Proxy) -> None:
    with connect(proxy) as client:
        big = b"x" * (3 << 20)
        client.settimeout(10)
        client.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(big), big))
        received = b""
        while len(received) < len(big) + 12:
            received += client.recv(1 << 20)
        assert received == b"$%d\r\n%s\r\n" % (len(big), big)
        assert proxy.connections == 1
    until(lambda: proxy.connections == 0, "the end of the connection")


def test_a_cut_ends_what_stands_and_new_ones_are_welcome(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            ask(client)
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"


def test_what_stalls_says_nothing_until_it_goes_on(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"
        proxy.stall()
        with pytest.raises(TimeoutError):
            ask(client)
        with connect(proxy) as late, pytest.raises(TimeoutError):
            ask(late)
        proxy.resume()
        assert client.recv(100) == b"+PONG\r\n"


def test_what_is_delayed_arrives_later(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"
        proxy.delay(0.1)
        began = time.monotonic()
        assert ask(client) == b"+PONG\r\n"
        assert time.monotonic() - began >= 0.2


def test_who_is_refused_is_let_in_again_at_the_same_port(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.resume()
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"


def test_after_a_storm_all_is_well(proxy: Proxy) -> None:
    ends = time.monotonic() + 0.5
    happened = storm(proxy, random.Random(5), lambda: time.monotonic() > ends, longest=0.1, calm=0.05)
    assert sum(happened.values()) >= 3
    with connect(proxy) as client:
        assert ask(client) == b"+PONG\r\n"
