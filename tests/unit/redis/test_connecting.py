"""URLs of Redis servers: where they lead, how they are shown, and what its errors are called."""

from __future__ import annotations

import pytest
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from qtool.engine.brokers.redis.connecting import Place, connect, place_of
from qtool.errors import (
    BrokerBusy,
    BrokerDenied,
    BrokerError,
    BrokerOutOfMemory,
    BrokerReadOnly,
    BrokerUnreachable,
    UsageError,
)


def parts(url: str) -> tuple[object, ...]:
    place = place_of(url)
    return place.hosts, place.path, place.service, place.db, place.username, place.password, place.prefix, place.tls


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("redis://", ((("localhost", 6379),), None, None, 0, None, None, "", False), "redis://localhost:6379/0"),
        ("redis://h:1/2?prefix=a:", ((("h", 1),), None, None, 2, None, None, "a:", False), "redis://h:1/2?prefix=a:"),
        (
            "rediss://me:p%40ss@h/3",
            ((("h", 6379),), None, None, 3, "me", "p@ss", "", True),
            "rediss://me@h:6379/3",
        ),
        ("redis://:p%2Fw@[::1]:7/0", ((("::1", 7),), None, None, 0, None, "p/w", "", False), "redis://[::1]:7/0"),
        ("unix:///run/r.sock", ((), "/run/r.sock", None, 0, None, None, "", False), "unix:///run/r.sock"),
        (
            "redis+socket://:pw@/run/r.sock?db=4",
            ((), "/run/r.sock", None, 4, None, "pw", "", False),
            "redis+socket:///run/r.sock?db=4",
        ),
        (
            "sentinel://:pw@a,b:7/main/4?sentinel_password=geheim",
            ((("a", 26379), ("b", 7)), None, "main", 4, None, "pw", "", False),
            "sentinel://a:26379,b:7/main/4",
        ),
    ],
)
def test_a_url_leads_somewhere_and_is_shown_without_its_passwords(
    url: str, expected: tuple[object, ...], shown: str
) -> None:
    assert parts(url) == expected
    assert place_of(url).shown == shown
    connect(place_of(url)).close()


@pytest.mark.parametrize(
    "url", ["redis://h/x", "redis://h/1/2", "redis://h:port/0", "sentinel://a,b", "redis://h/0?visibility=3"]
)
def test_a_url_that_leads_nowhere_is_refused_in_words(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        place_of(url)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AuthenticationError("invalid username-password pair: hunter2"), BrokerDenied),
        (exceptions.ResponseError("NOAUTH Authentication required."), BrokerDenied),
        (exceptions.NoPermissionError("this user has no permissions"), BrokerDenied),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), BrokerUnreachable),
        (exceptions.TimeoutError("Timeout reading from socket"), BrokerUnreachable),
        (exceptions.ConnectionError("Connection refused"), BrokerUnreachable),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), BrokerReadOnly),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), BrokerOutOfMemory),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), BrokerReadOnly),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), BrokerReadOnly),
        (exceptions.InvalidResponse('Protocol error, got "H" as reply type byte'), BrokerUnreachable),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), BrokerBusy),
        (exceptions.ResponseError("wrong kind of value"), BrokerError),
        (OSError(113, "No route to host"), BrokerUnreachable),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else type(each).__name__,
)
def test_every_error_of_the_client_is_one_of_ours_and_tells_no_password(
    error: Exception, kind: type[BrokerError]
) -> None:
    place: Place = place_of("redis://:hunter2@h/0")
    with pytest.raises(BrokerError) as raised, place.translated():
        raise error
    assert type(raised.value) is kind
    assert "redis://h:6379/0" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error 111 connecting to 10.0.0.1:6379. Connection refused.", "Connection refused"),
        ("Error -2 connecting to no.such.host:6379. Name or service not known.", "Name or service not known"),
        ("Error 2 connecting to /tmp/x.sock. No such file or directory.", "No such file or directory"),
        ("Error while reading from h:6379 : (104, 'Connection reset by peer')", "Connection reset by peer"),
        ("Error 32 while writing to socket. Broken pipe.", "Broken pipe"),
        ("Connection closed by server.", "Connection closed by server"),
        (
            "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has "
            "expired (_ssl.c:1006).",
            "its certificate is refused: certificate has expired (?ssl_ca_certs=FILE names the authorities to trust)",
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "what answers there does not speak TLS (redis:// goes without)",
        ),
        (
            "Error while reading from h:1 : (1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate "
            "required (_ssl.c:2576)')",
            "it wants a certificate of yours (?ssl_certfile=FILE&ssl_keyfile=FILE)",
        ),
        (
            "EOF occurred in violation of protocol (_ssl.c:2427)",
            "it hung up (perhaps it wants a certificate of yours: ?ssl_certfile=FILE&ssl_keyfile=FILE)",
        ),
        ("[SSL: NO_PROTOCOLS_AVAILABLE] no protocols available (_ssl.c:1006)", "no protocols available"),
    ],
)
def test_the_system_s_errors_are_told_in_its_words(said: str, told: str) -> None:
    with pytest.raises(BrokerUnreachable) as raised, place_of("redis://h/0").translated():
        raise exceptions.ConnectionError(said)
    assert str(raised.value) == f"The broker at redis://h:6379/0 cannot be reached: {told}."


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sentinel://a,b/main", "no sentinel answers."),
        (
            "sentinel://a,b/main?ssl=1",
            "no sentinel answers in TLS (?ssl_ca_certs=FILE names the authorities to trust).",
        ),
        ("sentinel://a,b,c/main", "the sentinels know no master named 'main' that is alive."),
    ],
)
def test_sentinels_that_do_not_answer_are_told_from_those_that_know_nothing(url: str, told: str) -> None:
    said = "No master found for 'main' : <redis.client.Redis(…)>)> - network:ConnectionError, <…> - TimeoutError('…')"
    with pytest.raises(BrokerUnreachable) as raised, place_of(url).translated():
        raise MasterNotFoundError(said)
    assert str(raised.value).endswith(f"cannot be reached: {told}")
