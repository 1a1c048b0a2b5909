"""What makes two errors the same."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qtool.engine.fingerprint import fingerprint, fold, frame
from qtool.engine.job import UNSAID, Failure, JobInfo
from qtool.engine.states import Reason, State


def dead(error: Failure | None, **said: Any) -> JobInfo:
    """A job that died of this."""
    plain: dict[str, Any] = dict.fromkeys(JobInfo.__slots__)
    plain |= {"id": "j", "task": "shop.pay", "queue": "q", "state": State.DEAD, "args": (), "kwargs": {}, "tags": {}}
    plain |= {"parents": (), "policy": UNSAID, "reason": Reason.FAILED, "created_at": 1.0, "finished_at": 2.0}
    return JobInfo(**(plain | {"error": error, "key_limit": 1} | said))


def trace(*frames: tuple[str, int, str], last: str = "ValueError: no") -> str:
    """A traceback through these frames."""
    lines = [f'  File "{file}", line {number}, in {name}\n    work()\n' for file, number, name in frames]
    return f"Traceback (most recent call last):\n{''.join(lines)}{last}\n"


@pytest.mark.parametrize(
    ("said", "folded"),
    [
        ("no answer from https://a.example/b?c=3 within 5.0 s", "no answer from <url> within <n> s"),
        ("user 'bob' (17) not found at 10.0.0.1:6379", "user <text> (<n>) not found at <ip>"),
        ("[Errno 2] No such file or directory: /tmp/x1/y.png", "[Errno <n>] No such file or directory: <path>"),
        ("mail to ann.3@mail.example.com refused", "mail to <email> refused"),
        ("id 019b0000-0000-7000-8000-000000000001 is gone", "id <uuid> is gone"),
        ("late since 2026-01-01T00:00:00.123Z, now 12:30:45", "late since <time>, now <time>"),
        ("at 0x7f3a2c, commit deadbeef12", "at <n>, commit <n>"),
        ("[1, 2, 3]", "[<n>]"),
        ("fe80::1 and 2001:db8:0:0:8:800:200c:417a", "<ip> and <ip>"),
        ("can't open the user's file\n  and more", "can't open the user's file and more"),
        ("a quote 'that goes on", "a quote <text>"),
        (r"C:\work\a.txt and ./b/c", "<path> and <path>"),
        ("\x1b[1;31mbad\x1b[0m order 7", "bad order <n>"),
        ("read and/or write", "read and/or write"),
        ("", ""),
    ],
)
def test_what_varies_is_folded(said: str, folded: str) -> None:
    assert fold(said) == folded


NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.integers(0).map(hex))


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.lists(NUMBERS, min_size=1, max_size=5))
@example([12345678], [1])
@example([1e-05], [-3])
def test_the_same_error_with_other_numbers_is_the_same(ones: list[Any], others: list[Any]) -> None:
    def said(numbers: list[Any]) -> str:
        listed = ", ".join(map(str, numbers))
        return f"order {numbers[0]}: [{listed}] items do not fit (limit={numbers[-1]})"

    assert fold(said(ones)) == fold(said(others))


@given(st.uuids(), st.uuids(), st.text(max_size=40), st.text(max_size=40))
def test_the_same_error_about_something_else_is_the_same(one: Any, other: Any, this: str, that: str) -> None:
    def said(id: Any, name: str) -> str:
        name = name.replace('"', "")
        return f'no row {id} with name "{name}" here'

    assert fold(said(one, this)) == fold(said(other, that)) == "no row <uuid> with name <text> here"


WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@given(WORDS, WORDS, WORDS, WORDS, st.integers(1, 999), st.integers(1, 999))
def test_other_frames_are_other_errors_and_other_lines_are_not(
    file: str, name: str, other_file: str, other_name: str, line: int, other_line: int
) -> None:
    one = frame(trace((f"/srv/app/{file}.py", line, name)))
    assert one == frame(trace((f"/srv/app/{file}.py", other_line, name)))
    assert (one == frame(trace((f"/srv/app/{other_file}.py", line, other_name)))) == (
        (file, name) == (other_file, other_name)
    )


def test_the_place_is_the_innermost_frame_of_the_users_own_code() -> None:
    own = ("/srv/app/shop/pay.py", 7, "charge")
    library = ("/srv/app/.venv/lib/python3.11/site-packages/httpx/_client.py", 1145, "post")
    assert frame(trace(("/srv/app/run.py", 3, "main"), own, library)) == "shop/pay.py:charge"
    assert frame(trace(library, ("/usr/lib/python3.11/json/decoder.py", 3, "decode"))) == "json/decoder.py:decode"
    assert frame(r'  File "C:\app\shop\pay.py", line 7, in charge') == "shop/pay.py:charge"
    assert frame('  File "pay.py", line 7') == "pay.py"
    assert frame("no traceback at all") == ""


def test_of_errors_in_a_chain_the_last_one_counts() -> None:
    first = trace(("/srv/app/shop/db.py", 1, "read"), last="KeyError: 'a'")
    second = trace(("/srv/app/shop/pay.py", 7, "charge"))
    middle = "\nDuring handling of the above exception, another exception occurred:\n\n"
    assert frame(first + middle + second) == "shop/pay.py:charge"


def test_a_release_has_another_directory_and_the_same_errors() -> None:
    assert frame(trace(("/srv/20260101/pay.py", 7, "pay"))) == frame(trace(("/srv/20260215/pay.py", 8, "pay")))
    assert frame(trace(("/srv/step1/pay.py", 7, "pay"))) != frame(trace(("/srv/step2/pay.py", 7, "pay")))


def test_commands_are_told_apart_by_program_and_exit_code() -> None:
    def command(code: int, *words: str) -> tuple[str, str, str]:
        error = Failure(type="ExitCode", message=f"exited with {code}", exit_code=code)
        return fingerprint(dead(error, task="qtool.exec", args=words))

    assert command(1, "/usr/bin/ffmpeg", "a.mov") == command(1, "ffmpeg", "b.mov")
    assert command(1, "ffmpeg", "a") != command(2, "ffmpeg", "a")
    assert command(1, "ffmpeg", "a") != command(1, "convert", "a")
    assert command(1, "ffmpeg -i a | tee b")[:2] == ("ExitCode 1", "$ ffmpeg")


def test_without_code_the_task_is_the_place() -> None:
    lost = Failure(type="WorkerLost", message="worker 019b gave no more sign of life")
    assert fingerprint(dead(lost)) != fingerprint(dead(lost, task="shop.mail"))
    assert fingerprint(dead(None)).place == "shop.pay"


@given(st.text(), st.text(), st.lists(st.text(), max_size=2))
def test_no_text_makes_it_fail(message: str, traceback: str, args: list[str]) -> None:
    for task in ("t", "qtool.exec", "qtool.http"):
        error = Failure(type=message, message=message + traceback, traceback=traceback)
        assert fingerprint(dead(error, task=task, args=tuple(args)))


LONG = 32 * 1024
HOSTILE = ["'", '"a', "a", "1", "a:", "f", "1.1.", "a.b@a.", "/", "://", "::", "1,", "0-", "a-", "\\", " ", "\n", "| "]
HOSTILE += ['File "', ' File "', '  File "a", line 1, in f\n', "Traceback (most recent call last)", "aaaaaaa1", "<n> "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_longest_text_takes_no_time(piece: str) -> None:
    text = (piece * LONG)[:LONG]
    began = time.perf_counter()
    fingerprint(dead(Failure(type="E", message=text, traceback=text)))
    # A few milliseconds; what searches in vain for long would take many seconds.
    assert time.perf_counter() - began < 0.5
