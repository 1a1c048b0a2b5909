"""``python -m qtool.engine.worker.celery.describe PLACE…``: where a Celery application's tasks wait, as JSON.

A process of its own, so that neither Celery nor the application's code is ever in the one that minds the worker. It
prints ``{"broker": URL, "queues": […]}``, or ``null`` where no PLACE is an application.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from qtool.engine.worker.celery.app import find
from qtool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery import Celery

    from qtool.engine.brokers.redis.connecting import Place


def main() -> None:
    """Answer on the standard output, which the application's own code does not get to see."""
    answers = os.dup(1)
    os.dup2(2, 1)
    apps = [app for place in sys.argv[1:] if (app := find(place)) is not None]
    with os.fdopen(answers, "w") as out:
        json.dump(described(apps), out)


def described(apps: Sequence[Celery]) -> dict[str, Any] | None:
    """The first application's broker, and all their queues."""
    if not apps:
        return None
    queues = dict.fromkeys(name for app in apps for name in app.amqp.queues.consume_from)
    conf = apps[0].conf
    url = conf.broker_read_url or conf.broker_url
    return {"broker": url_of(url, conf.broker_transport_options or {}, conf.broker_use_ssl), "queues": list(queues)}


RABBIT = "amqp://localhost"
"""What Celery takes where an application names no broker."""


def published(app: Celery) -> str:
    """Where the application's tasks send others, as qtool writes it."""
    conf = app.conf
    url = conf.broker_write_url or conf.broker_url
    return url_of(url, conf.broker_transport_options or {}, conf.broker_use_ssl) or RABBIT


def same(one: str, other: str) -> bool:
    """Whether two URLs lead to the same place, as far as they show it."""
    return _leads(one) == _leads(other)


def shown(url: str) -> str:
    """The URL without its passwords."""
    place = _place(url)
    if place is not None:
        return place.shown
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _leads(url: str) -> tuple[object, ...]:
    place = _place(url)
    if place is None:
        return (url,)
    hosts = sorted(("localhost" if host in ("127.0.0.1", "::1") else host, port) for host, port in place.hosts)
    return place.service, place.path, hosts, place.db, place.prefix


def _place(url: str) -> Place | None:
    """On Redis; None where that is elsewhere, or said with options that qtool does not know."""
    from qtool.engine.brokers.redis.connecting import place_of

    if url.partition(":")[0] not in ("redis", "rediss", "redis+socket", "unix", "sentinel"):
        return None
    try:
        return place_of(url)
    except UsageError:
        return None


def url_of(said: str | Sequence[str] | None, transport: Mapping[str, Any], ssl: object = None) -> str | None:
    """A broker of Celery's as qtool writes it; None where the application names none, which means a RabbitMQ here."""
    urls = said.split(";") if isinstance(said, str) else list(said or ())
    if not urls:
        return None
    scheme = urls[0].partition(":")[0]
    if scheme == "sentinel":
        return _sentinels(urls, transport)
    if scheme not in ("redis", "rediss", "redis+socket"):
        return urls[0]
    parts = urlsplit(urls[0])
    options = dict(parse_qsl(parts.query))
    if (db := options.pop("virtual_host", None)) is not None:
        options["db"] = db.strip("/")
    options |= _shared(transport)
    if ssl and scheme != "redis+socket":
        scheme = "rediss"
        options |= {name: _word(value) for name, value in ssl.items()} if isinstance(ssl, dict) else {}
    place = f"{scheme}://{parts.netloc}{parts.path}"
    return f"{place}?{urlencode(options, safe=':/')}" if options else place


def _sentinels(urls: Sequence[str], transport: Mapping[str, Any]) -> str:
    """kombu has a URL a sentinel, and the service's name among the transport's options."""
    parts = [urlsplit(url) for url in urls]
    user = next((f"{part.netloc.rpartition('@')[0]}@" for part in parts if "@" in part.netloc), "")
    hosts = ",".join(part.netloc.rpartition("@")[2] for part in parts)
    db = next((part.path.strip("/") for part in parts if part.path.strip("/")), "")
    place = f"sentinel://{user}{hosts}/{quote(str(transport.get('master_name', '')), safe='')}"
    options = _shared(transport)
    known = {"username", "password"}
    options |= {f"sentinel_{k}": v for k, v in (transport.get("sentinel_kwargs") or {}).items() if k in known}
    place += f"/{db}" if db else ""
    return f"{place}?{urlencode(options, safe=':/')}" if options else place


def _shared(transport: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for everybody on the server."""
    said = {"prefix": transport.get("global_keyprefix"), "visibility_timeout": transport.get("visibility_timeout")}
    return {name: value for name, value in said.items() if value}


def _word(value: object) -> str:
    """An option of Python's ssl module by its name."""
    return str(getattr(value, "name", value))


if __name__ == "__main__":
    main()
