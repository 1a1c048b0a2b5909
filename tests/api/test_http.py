"""``qtool.http`` against a real server."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from qtool.engine import job as outcomes
from qtool.engine import tasks
from qtool.engine.current import CurrentJob
from qtool.engine.job import HTTP
from qtool.engine.run import run
from tests.api.server import Answer, serving

if TYPE_CHECKING:
    from qtool.engine.job import Outcome


def call(url: str, **kwargs: Any) -> Outcome:
    return run(tasks.find(HTTP), CurrentJob("019a", "qtool.http", "default"), json.dumps([[url], kwargs]))


def result(outcome: Outcome) -> Any:
    assert isinstance(outcome, outcomes.Done), outcome
    return json.loads(outcome.result or "null")


def failure(outcome: Outcome) -> outcomes.Fail:
    assert isinstance(outcome, outcomes.Fail), outcome
    return outcome


def test_get() -> None:
    with serving(
        lambda _: Answer(200, "grüße".encode("latin-1"), (("Content-Type", "text/plain; charset=latin-1"),))
    ) as server:
        assert result(call(f"{server.url}/a?b=c#d")) == {"status": 200, "body": "grüße"}
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/a?b=c", b"")
    assert seen.headers["user-agent"] == "qtool"
    assert "idempotency-key" not in seen.headers


def test_post_json() -> None:
    with serving(lambda _: Answer(201)) as server:
        assert result(call(server.url, json={"id": 3, "name": "é"}, headers={"X-Team": "billing"}))["status"] == 201
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/")
    assert json.loads(seen.body) == {"id": 3, "name": "é"}
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-team"] == "billing"
    assert seen.headers["idempotency-key"] == "019a"


def test_a_body_a_method_and_headers_of_ones_own() -> None:
    with serving() as server:
        result(
            call(server.url, method="put", body="grüße", headers={"content-type": "text/x-own", "Idempotency-Key": "k"})
        )
    (seen,) = server.seen
    assert (seen.method, seen.body) == ("PUT", "grüße".encode())
    assert (seen.headers["content-type"], seen.headers["idempotency-key"]) == ("text/x-own", "k")


def test_a_long_answer_is_cut() -> None:
    with serving(lambda _: Answer(200, b"x" * 100_000)) as server:
        answer = result(call(server.url))
    assert (len(answer["body"]), answer["truncated"]) == (65536, True)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_what_the_client_did_wrong_is_final(status: int) -> None:
    with serving(lambda _: Answer(status, b"no such user")) as server:
        ended = failure(call(f"{server.url}/hook"))
    assert ended.final
    assert ended.failure.message.startswith(f"GET {server.url}/hook answered {status} ")
    assert ended.failure.message.endswith(": no such user")


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_the_server_did_wrong_is_tried_again(status: int) -> None:
    with serving(lambda _: Answer(status)) as server:
        ended = failure(call(server.url))
    assert not ended.final
    assert ended.failure.type == "ServerFailed"


@pytest.mark.parametrize(
    ("status", "said", "low", "high"),
    [
        (429, "17", 17, 17),
        (408, "999999", 3600, 3600),
        (429, "+100", 50, 101),
        (429, "-100", 0, 0),
        (429, "soon", None, None),
        (429, "", None, None),
    ],
)
def test_the_server_says_when(status: int, said: str, low: float | None, high: float | None) -> None:
    if said.startswith(("+", "-")):
        # A date, so many seconds from the moment at which it is asked.
        said = formatdate(time.time() + int(said), usegmt=True)
    headers = (("Retry-After", said),) if said else ()
    with serving(lambda _: Answer(status, b"", headers)) as server:
        ended = call(server.url)
    assert isinstance(ended, outcomes.Retry)
    assert ended.failure.message.startswith(f"GET {server.url} answered {status}")
    if low is None or high is None:
        assert ended.in_ is None
    else:
        assert ended.in_ is not None
        assert low <= ended.in_ <= high


def test_broken_connections_are_tried_again() -> None:
    with serving(lambda _: Answer(hang_up=True)) as server:
        ended = failure(call(server.url))
    assert not ended.final
    assert ended.failure.type == "ConnectionFailed"
    refused = failure(call(server.url))
    assert not refused.final
    assert "refused" in refused.failure.message


def test_a_silent_server_is_given_up() -> None:
    import threading

    release = threading.Event()

    def wait(_: object) -> Answer:
        release.wait(10)
        return Answer(hang_up=True)

    with serving(wait) as server:
        ended = failure(call(server.url, timeout=0.05))
        release.set()
    assert not ended.final
    assert "timed out" in ended.failure.message


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/file",
        "data:,x",
        "mail",
        "http://",
        "//host/path",
        "http://host:port/",
        "http://[::1/",
        "http://host:0/",
    ],
)
def test_only_http_is_called(url: str) -> None:
    ended = failure(call(url))
    assert ended.final
    assert "is not an http or https URL" in ended.failure.message


@pytest.mark.parametrize(
    "kwargs",
    [
        {"json": 1, "body": "x"},
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"bad:name": "x"}},
        {"unknown": 1},
        {"method": "GE T"},
    ],
)
def test_what_cannot_be_asked_is_final(kwargs: dict[str, Any]) -> None:
    with serving() as server:
        assert failure(call(server.url, **kwargs)).final
    assert server.seen == []


def test_a_url_with_spaces_is_final() -> None:
    assert failure(call("http://127.0.0.1:1/a b")).final


def test_a_password_authenticates_and_is_never_shown() -> None:
    with serving(lambda _: Answer(403)) as server:
        ended = failure(call(server.url.replace("://", "://ann:s%40fe@") + "/x"))
    assert server.seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"ann:s@fe").decode()
    assert "fe@" not in ended.failure.message
    assert "s%40fe" not in (ended.failure.traceback or "") + ended.failure.message


def test_a_url_that_cannot_be_read_hides_what_could_be_a_password() -> None:
    for url in ("http://ann:s/ecret@host/", "http://ann:s?ecret@host/", "htp://ann:secret@host/"):
        assert "ecret" not in failure(call(url)).failure.message


def test_what_proves_who_we_are_is_not_carried_elsewhere() -> None:
    with serving() as other, serving(lambda _: Answer(302, b"", (("Location", f"{other.url}/there"),))) as server:
        assert result(call(server.url, headers={"Authorization": "Bearer x", "X-Team": "y"}))["status"] == 200
    assert server.seen[0].headers["authorization"] == "Bearer x"
    assert "authorization" not in other.seen[0].headers
    assert other.seen[0].headers["x-team"] == "y"


def test_a_redirect_to_a_file_is_not_followed() -> None:
    with serving(lambda _: Answer(302, b"", (("Location", "file:///etc/passwd"),))) as server:
        assert failure(call(server.url)).final


def test_a_redirected_post_is_final() -> None:
    with serving(lambda _: Answer(307, b"", (("Location", "/other"),))) as server:
        assert failure(call(server.url, json={})).final
    assert len(server.seen) == 1
