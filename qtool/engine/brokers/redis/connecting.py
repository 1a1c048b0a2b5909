"""From a URL to a client of the server, and from the client's errors to ours.

    redis://[user:password@]host[:port][/db]              rediss://… the same over TLS
    redis+socket:///path/to.sock[?db=1]                   unix://… the same
    sentinel://[user:password@]host[:port],…/service[/db]

Options after ``?``: ``prefix`` goes before every key and channel, as Celery's ``global_keyprefix``; ``timeout`` is how
many seconds an answer may take; ``visibility_timeout``, as Celery's, after how many seconds others get what one of
Celery's workers has not acknowledged; over TLS ``ssl_cert_reqs`` (none, optional, required; also as Celery's CERT_NONE
…), ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_check_hostname``; for sentinels ``sentinel_username``,
``sentinel_password``, ``ssl``.
"""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis import ConnectionPool, Redis, exceptions
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from qtool.engine.value import Value
from qtool.errors import (
    BrokerBusy,
    BrokerDenied,
    BrokerError,
    BrokerOutOfMemory,
    BrokerReadOnly,
    BrokerUnreachable,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT = 5.0
"""Seconds that an answer may take where nobody says; half a lease, so that a worker notices before it is given up."""

VISIBILITY = 3600.0
"""Seconds after which kombu takes back what nobody acknowledged, where nobody says (WIRE.md section 2)."""

_PORT = 6379
_SENTINEL_PORT = 26379
_SSL_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SSL = (*_SSL_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_KNOWN = ("prefix", "timeout", "visibility_timeout", "db", "ssl", "sentinel_username", "sentinel_password", *_SSL)
_NO = ("0", "no", "false", "off")
_SYSTEM = re.compile(
    r"Error while reading from \S+ : \(-?\d+, '(.*)'\)|Error -?\d+ (?:connecting|while writing) to \S+\. (.*)"
)
"""What redis-py makes of an error of the system's: the place, which we tell ourselves, its number, and its words."""
_OF_SENTINELS = re.compile(r"> - (?:\w+:)?(\w+)")
"""The kinds of the errors that redis-py has collected, one of each sentinel that did not answer."""
_OF_TLS = re.compile(r"(?:\[\w+: (\w+)\] )?(.*?)(?: \(_ssl\.c:\d+\))?")
"""What Python makes of an error of OpenSSL's: where, its name, its words, and a line of Python's own source."""
_TRUST = "?ssl_ca_certs=FILE names the authorities to trust"
_YOURS = "?ssl_certfile=FILE&ssl_keyfile=FILE"


class Place(Value, kw_only=True):
    """Where a URL leads to."""

    shown: str
    """The URL without its passwords."""
    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    """The server, or the sentinels."""
    path: str | None = None
    """Of the Unix socket."""
    service: str | None = None
    """What the sentinels call the server."""
    db: int = 0
    username: str | None = None
    password: str | None = None
    prefix: str = ""
    tls: bool = False
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str | None:
        """What the URL says after the question mark."""
        return dict(self.options).get(name)

    @property
    def timeout(self) -> float:
        """Seconds that an answer may take."""
        said = self.option("timeout")
        return float(said) if said else TIMEOUT

    @property
    def visibility(self) -> float:
        """Seconds that one of Celery's workers may hold a message without acknowledging it."""
        said = self.option("visibility_timeout")
        return float(said) if said else VISIBILITY

    @contextmanager
    def translated(self) -> Iterator[None]:
        """redis-py's errors as BrokerErrors that name the place and no password."""
        try:
            yield
        except exceptions.RedisError as error:
            raise self._meaning(error) from None
        except OSError as error:
            # What the resolver and TLS raise before redis-py has a connection.
            raise BrokerUnreachable(url=self.shown, why=self._clean(error)) from None

    def _meaning(self, error: exceptions.RedisError) -> BrokerError:
        url, why = self.shown, self._clean(error)
        if isinstance(error, MasterNotFoundError):
            return self._no_master(str(error))
        if isinstance(error, exceptions.AuthenticationError | exceptions.AuthenticationWrongNumberOfArgsError):
            return BrokerDenied(url=url, why=why)
        if isinstance(error, exceptions.NoPermissionError):
            return BrokerDenied(url=url, why=why)
        if isinstance(error, exceptions.BusyLoadingError):
            return BrokerUnreachable(url=url, why="the server is still reading its data from disk")
        if isinstance(error, exceptions.TimeoutError):
            # A server without TLS waits for the end of what it takes for a command.
            silent = "handshake" in str(error.__context__)
            what = "no answer in TLS (redis:// goes without)" if silent else "no answer"
            return BrokerUnreachable(url=url, why=f"{what} within {self.timeout:g} s")
        if isinstance(error, exceptions.ConnectionError):
            return BrokerUnreachable(url=url, why=why)
        if isinstance(error, exceptions.InvalidResponse):
            return BrokerUnreachable(url=url, why="what answers there is not a Redis server")
        if isinstance(error, exceptions.ReadOnlyError):
            return BrokerReadOnly(url=url, why="the server is a read-only replica")
        if isinstance(error, exceptions.OutOfMemoryError):
            return BrokerOutOfMemory(url=url)
        return self._answered(str(error), why)

    def _no_master(self, said: str) -> BrokerError:
        """What the sentinels had to say, of which redis-py lists the errors."""
        kinds = _OF_SENTINELS.findall(said)
        if "AuthenticationError" in kinds:
            return BrokerDenied(url=self.shown, why="the sentinels want a password of their own (?sentinel_password=…)")
        silent = len(kinds) == len(self.hosts)
        why = f"the sentinels know no master named {self.service!r} that is alive"
        if silent:
            # Not even a refused certificate is told apart.
            why = f"no sentinel answers{f' in TLS ({_TRUST})' if self.tls else ''}"
        return BrokerUnreachable(url=self.shown, why=why)

    def _answered(self, said: str, why: str) -> BrokerError:
        """What the server meant by an error of its own."""
        url = self.shown
        if said.startswith("NOAUTH") or "WRONGPASS" in said:
            return BrokerDenied(url=url, why=why)
        if "The user executing the script can't" in said:
            # What follows names the script by its digest, and a line of it.
            return BrokerDenied(url=url, why=why.partition(" script: ")[0])
        if said.startswith("BUSY"):
            return BrokerBusy(url=url, seconds=self.timeout)
        if "OOM" in said[:200]:
            return BrokerOutOfMemory(url=url)
        if "READONLY" in said[:200]:
            return BrokerReadOnly(url=url, why="the server is a read-only replica")
        if "MISCONF" in said[:200]:
            return BrokerReadOnly(url=url, why="the server cannot write to its disk, and takes no changes until it can")
        if "NOREPLICAS" in said[:200]:
            return BrokerReadOnly(url=url, why="the server takes no changes while too few replicas follow it")
        if "luster" in said or "MOVED" in said or "CROSSSLOT" in said:
            return BrokerError(url=url, why="it is a Redis Cluster, where Celery's keys of one queue lie apart")
        return BrokerError(url=url, why=why)

    def _clean(self, error: Exception) -> str:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        if told := _SYSTEM.fullmatch(text):
            text = told[1] or told[2]
        if told := _OF_TLS.fullmatch(text):
            text = _of_tls(told[1] or told[2], told[2])
        for secret in (self.password, self.option("sentinel_password")):
            if secret:
                text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return text


def _of_tls(name: str, words: str) -> str:
    """What went wrong with TLS, and what to do about it where that is known."""
    if name == "CERTIFICATE_VERIFY_FAILED":
        why = words.removeprefix("certificate verify failed: ")
        advice = "" if "mismatch" in why else f" ({_TRUST})"
        return f"its certificate is refused: {why}{advice}"
    if name == "WRONG_VERSION_NUMBER":
        return "what answers there does not speak TLS (redis:// goes without)"
    if name == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        return f"it wants a certificate of yours ({_YOURS})"
    if name == "EOF occurred in violation of protocol":
        # Its last word may be lost, where we are still sending.
        return f"it hung up (perhaps it wants a certificate of yours: {_YOURS})"
    return words


def place_of(url: str) -> Place:
    """What a URL says. Raises UsageError for one that leads nowhere."""
    try:
        return _place(url)
    except ValueError as error:
        raise UsageError(why=f"The broker URL {_scheme(url)}:… cannot be used: {error}.") from None


def _scheme(url: str) -> str:
    return url.partition(":")[0]


def _place(url: str) -> Place:
    scheme = _scheme(url)
    # urlsplit takes one host; the list of sentinels is ours to read.
    parts = urlsplit(url)
    options = tuple(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := [name for name, _ in options if name not in _KNOWN]:
        raise ValueError(f"{unknown[0]!r} is not an option (known: {', '.join(_KNOWN)})")
    said = dict(options)
    if (seconds := said.get("visibility_timeout")) and not 0 < float(seconds) < math.inf:
        raise ValueError(f"visibility_timeout is a number of seconds, not {seconds!r}")
    login, _, hosts = parts.netloc.rpartition("@")
    username, colon, password = login.partition(":")
    segments = [unquote(each) for each in parts.path.split("/") if each]
    unix, sentinel = scheme in ("unix", "redis+socket"), scheme == "sentinel"
    service = None
    if sentinel:
        if not segments:
            raise ValueError("it names no service: sentinel://host1,host2/service")
        service = segments.pop(0)
    path = unquote(f"{hosts}{parts.path}") if unix else None
    db = said.get("db") or (segments[0] if segments and not unix else "0")
    if not db.isdecimal() or (len(segments) > 1 and not unix):
        raise ValueError(f"{db!r} is not the number of a database")
    where = path if unix else ",".join(_address(*each) for each in _hosts(hosts, sentinel=sentinel))
    tail = f"/{service}/{db}" if sentinel else "" if unix else f"/{db}"
    kept = [(name, value) for name, value in options if name != "sentinel_password"]
    shown = f"{scheme}://{f'{username}@' if username else ''}{where}{tail}" + _query(kept)
    return Place(
        shown=shown,
        scheme=scheme,
        hosts=() if unix else tuple(_hosts(hosts, sentinel=sentinel)),
        path=path,
        service=service,
        db=int(db),
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
        prefix=said.get("prefix", ""),
        tls=scheme == "rediss" or said.get("ssl", "no").lower() not in _NO,
        options=options,
    )


def _query(options: list[tuple[str, str]]) -> str:
    return "?" + "&".join(f"{name}={quote(value, safe='/:')}" for name, value in options) if options else ""


def _hosts(text: str, *, sentinel: bool) -> Iterator[tuple[str, int]]:
    """The hosts and ports in a list; an IPv6 address stands in brackets. Raises ValueError."""
    for each in text.split(","):
        one = urlsplit(f"//{each}")
        yield one.hostname or "localhost", one.port or (_SENTINEL_PORT if sentinel else _PORT)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connect(place: Place, patience: float | None = None, connected: Callable[[], None] | None = None) -> Redis:
    """A client that connects when it is first used. ``patience``: seconds to wait for an answer; ``connected`` is told
    of every connection that is made.

    Raises UsageError where the URL names a file of TLS's that cannot be read. Nothing is sent twice: a claim
    whose answer was lost may have been carried out (WIRE.md, "Read first" 6).
    """
    seconds = place.timeout if patience is None else max(patience, 0.1)
    common: dict[str, Any] = {
        "db": place.db,
        "username": place.username,
        "password": place.password,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        # A connection that has lain idle may have died: asked before it is used, it costs nothing to replace.
        "health_check_interval": 30,
        "protocol": 2,
    }
    if connected is not None:

        def begin(connection: Any) -> None:
            connected()
            connection.on_connect()

        common["redis_connect_func"] = begin
    tls = _tls(place) if place.tls else {}
    if place.path is not None:
        common |= {"connection_class": UnixDomainSocketConnection, "path": place.path}
        return _pooled(common)
    if place.service is not None:
        said = {"username": place.option("sentinel_username"), "password": place.option("sentinel_password")}
        limits = {name: common[name] for name in ("socket_timeout", "socket_connect_timeout", "retry", "protocol")}
        watch: Any = Sentinel
        sentinels = watch(list(place.hosts), sentinel_kwargs={**limits, **said, **tls}, **common, **tls)
        client: Redis = sentinels.master_for(place.service)
        return client
    host, port = place.hosts[0]
    common |= {"host": host, "port": port}
    if place.tls:
        common |= {"connection_class": SSLConnection, **{k: v for k, v in tls.items() if k != "ssl"}}
    return _pooled(common)


def _pooled(options: dict[str, Any]) -> Redis:
    return Redis(connection_pool=ConnectionPool(**options))


def _tls(place: Place) -> dict[str, Any]:
    said: dict[str, Any] = {name: value for name in _SSL if (value := place.option(name)) is not None}
    for name in _SSL_FILES:
        if name in said:
            try:
                # Later it would be an error of the connection's, and OpenSSL does not always say which.
                open(said[name], "rb").close()
            except OSError as error:
                why = f"{name} names {said[name]!r}, which cannot be read ({error.strerror})"
                raise UsageError(why=f"The broker URL {place.scheme}:… cannot be used: {why}.") from None
    if "ssl_cert_reqs" in said:
        said["ssl_cert_reqs"] = said["ssl_cert_reqs"].lower().removeprefix("cert_")
    if "ssl_check_hostname" in said:
        said["ssl_check_hostname"] = said["ssl_check_hostname"].lower() not in _NO
    return {"ssl": True, **said}
