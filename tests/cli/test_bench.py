"""``qtool bench``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from qtool.__main__ import main
from qtool.commands.bench import embedded_path
from qtool.engine.measure import measure
from qtool.engine.registry import open_broker

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.engine.broker import Adapter


def test_every_figure_and_nothing_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.db"
    assert main(["bench", "-b", str(path), "-n", "1000", "-o", "json", "-q"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 7
    for row in rows:
        assert 0 < row["p50"] <= row["p99"]
    assert [row["what"] for row in rows if row["jobs_per_second"] is None] == ["snapshot", "browse a page of 100"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("url", ["memory:", "file"])
def test_the_queue_is_left_empty_even_when_nobody_reads_on(url: str, tmp_path: Path) -> None:
    with open_broker(url if url == "memory:" else str(tmp_path / "q.db")) as adapter:
        measures = measure(adapter, "scratch", 1000)
        next(measures)
        next(measures)
        assert left(adapter)
        measures.close()
        assert not left(adapter)
        assert adapter.inspector.snapshot().workers == ()


def left(adapter: Adapter) -> int:
    """Jobs of any state."""
    return sum(sum(queue.counts.values()) for queue in adapter.inspector.snapshot().queues)


@pytest.mark.parametrize(
    ("url", "path"),
    [("/a/q.db", "/a/q.db"), ("sqlite:///a/q.db", "/a/q.db"), ("/a:b/q.db", "/a:b/q.db"), ("memory:", None)],
)
def test_what_is_a_file(url: str, path: str | None) -> None:
    assert embedded_path(url) == path
