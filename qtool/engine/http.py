"""``qtool.http``: a webhook as a job.

What a 4xx answers is final, but for 408 and 429, which are tried again after the server's ``Retry-After``; 5xx and
connections that fail are errors like any other, retried as far as the job's retries go.
"""

from __future__ import annotations

import base64
import json as jsonlib
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import TYPE_CHECKING, Any

from qtool.engine.current import Retry, running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

MAX_BODY = 64 * 1024
"""Bytes of the answer that are kept."""
TIMEOUT = 30.0
"""Seconds without a byte from the server, where the job says nothing."""
AGAIN = (408, 429)

_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})


class RequestRefused(Exception):
    """The server said no, and would say so again."""


class RequestInvalid(Exception):
    """What the job asks for is no request that could be sent."""


class ServerFailed(Exception):
    """The server could not answer, and may later."""


class ConnectionFailed(Exception):
    """The server could not be reached, or the connection broke."""


OPTIONS: Mapping[str, Any] = {"on_error": {(RequestRefused, RequestInvalid): "dead"}}
"""The task's: whoever sent it should look, and another try would end the same way."""


def call(
    url: str,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    body: str | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, Any]:
    """Send a request; give ``{"status": 200, "body": "…"}`` with the first 64 KiB of the answer.

    The method is POST where there is ``json`` or ``body``, otherwise GET. Every request but GET and HEAD carries the
    job's id as ``Idempotency-Key``. Raises RequestRefused, RequestInvalid, ServerFailed, ConnectionFailed, Retry.
    """
    if json is not None and body is not None:
        raise RequestInvalid("give json or body, not both")
    request = _request(url, method, dict(headers or {}), json, body)
    label = f"{request.get_method()} {_without_password(url)}"
    try:
        with _opener().open(request, timeout=timeout) as answer:
            return _result(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(label, error) from None
    except (ValueError, InvalidURL) as error:
        raise RequestInvalid(f"{label}: the request cannot be made: {error}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionFailed(f"{label}: {reason or type(reason).__name__}") from None


def _request(
    url: str, method: str | None, headers: dict[str, str], json: Any, body: str | None
) -> urllib.request.Request:
    parts = _split(url)
    host = parts.netloc.rpartition("@")[2]
    target = urllib.parse.urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    data = None
    if json is not None:
        data = jsonlib.dumps(json).encode()
    elif body is not None:
        data = body.encode("utf-8", "surrogateescape")
    method = (method or ("POST" if data is not None else "GET")).upper()
    try:
        request = urllib.request.Request(target, data, method=method)  # noqa: S310  the scheme is checked above
        given = {name.lower() for name in headers}
        defaults = {"User-Agent": "qtool"}
        if json is not None:
            defaults["Content-Type"] = "application/json"
        elif data is not None:
            defaults["Content-Type"] = "text/plain; charset=utf-8"
        job = running.get()
        if job is not None and job.id and method not in ("GET", "HEAD"):
            defaults["Idempotency-Key"] = job.id
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            defaults["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        for name, value in {**{n: v for n, v in defaults.items() if n.lower() not in given}, **headers}.items():
            # What proves who we are stays with the server it was meant for, wherever that redirects to.
            secret = name.lower() in _SECRET
            (request.add_unredirected_header if secret else request.add_header)(name, str(value))
    except ValueError as error:
        raise RequestInvalid(f"the request cannot be made: {error}") from None
    return request


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        # A port that is no number, or half an IPv6 address.
        pass
    # Where the authority ends is anybody's guess here: whatever could be a password is left out.
    raise RequestInvalid(f"{url.rpartition('@')[2]!r} is not an http or https URL")


def _opener() -> urllib.request.OpenerDirector:
    """Without urllib's handlers for file:, ftp: and data:, to which a server could redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _result(answer: HTTPResponse) -> dict[str, Any]:
    data = answer.read(MAX_BODY + 1)
    text = data[:MAX_BODY].decode(answer.headers.get_content_charset() or "utf-8", "replace")
    result: dict[str, Any] = {"status": answer.status, "body": text}
    if len(data) > MAX_BODY:
        result["truncated"] = True
    return result


def _refusal(label: str, error: urllib.error.HTTPError) -> Exception:
    try:
        said = error.read(500).decode("utf-8", "replace").strip()
    except (OSError, HTTPException):
        said = ""
    message = f"{label} answered {error.code} {error.reason}{f': {said}' if said else ''}"
    if error.code in AGAIN:
        return Retry(in_=_retry_after(error.headers), exc=ServerFailed(message))
    return ServerFailed(message) if error.code >= 500 else RequestRefused(message)


def _retry_after(headers: Message) -> float | None:
    """Seconds that the server asks for, at most an hour; None where it does not say, or not understandably."""
    import time
    from email.utils import parsedate_to_datetime

    said = (headers.get("Retry-After") or "").strip()
    if said.isdecimal():
        seconds = float(said)
    else:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), 3600.0)


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
