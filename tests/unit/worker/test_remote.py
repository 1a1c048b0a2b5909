"""What remote control remembers, and what a worker is called by it."""

from __future__ import annotations

import os
import socket

import pytest

from qtool.engine.worker.naming import node_name
from qtool.engine.worker.remote import revoked
from qtool.engine.worker.remote.revoked import Revoked
from qtool.engine.worker.served import Served


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (None, f"qtool-{os.getpid()}@web1.shop.example"),
        ("mail", "mail@web1.shop.example"),
        ("mail@%h", "mail@web1.shop.example"),
        ("%n@%d", "web1@shop.example"),
        ("mail@there", "mail@there"),
    ],
)
def test_a_node_has_the_name_that_celery_would_give_it(
    monkeypatch: pytest.MonkeyPatch, said: str | None, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "web1.shop.example")
    assert node_name(said) == name


def test_so_many_revoked_ids_are_remembered_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoked, "MOST", 3)
    seen = Revoked()
    seen.add(["a", "b", "c"], done=False)
    seen.add(["a"], done=False)
    seen.add(["d"], done=False)
    assert seen.all() == ["c", "a", "d"]
    assert seen.wanted == {"c", "a", "d"}
    seen.add(["a"], done=True)
    assert "a" in seen
    assert seen.wanted == {"c", "d"}


def test_queues_come_and_go_but_for_the_last() -> None:
    served = Served(("a",))
    served.add("b")
    served.add("b")
    assert list(served.names) == ["a", "b"]
    served.remove("a")
    served.remove("unknown")
    assert list(served.names) == ["b"]
    assert not served.include("a")
    with pytest.raises(ValueError, match="only queue"):
        served.remove("b")


def test_a_worker_of_all_queues_serves_all_queues() -> None:
    served = Served(())
    served.add("a")
    assert served.names == ()
    assert served.include("anything")
    with pytest.raises(ValueError, match="all queues"):
        served.remove("a")
