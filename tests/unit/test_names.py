"""What things may be called."""

from __future__ import annotations

import pytest

from qtool.engine.names import check_key, check_name
from qtool.errors import BadName


@pytest.mark.parametrize("name", ["a", "mail.send", "a/b:c-d_e", "größe", "队列", "x" * 255, "ü" * 127])
def test_good_names(name: str) -> None:
    assert check_name("queue", name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("a b", "it has a space"),
        ("a\u00a0b", "it has a space"),
        ("a\nb", "it has a space"),
        ("a\0", "it has a control or invisible character"),
        ("a\x1b[31m", "it has a control or invisible character"),
        ("a\u202eb", "it has a control or invisible character"),
        ("a\udcff", "it is not valid text"),
        ("x" * 256, "it has 256 bytes and the limit is 255"),
        ("ü" * 128, "it has 256 bytes and the limit is 255"),
    ],
)
def test_bad_names(name: str, why: str) -> None:
    with pytest.raises(BadName) as caught:
        check_name("queue", name)
    assert why in str(caught.value)
    assert str(caught.value).startswith("queue '")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["k", "/a path/with spaces", "line\nbreak", "x" * 4096])
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "a\0b", "\udcff", "x" * 4097, "ü" * 2049])
def test_bad_keys(key: str) -> None:
    with pytest.raises(BadName):
        check_key(key)
