"""Values behave as frozen, slotted dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from qtool.engine.job import NOTHING, Done, Job, Policy
from qtool.engine.value import Value, stamp


class Point(Value):
    """Two numbers."""

    x: float
    y: float = 0.0

    @property
    def norm(self) -> float:
        return abs(self.x) + abs(self.y)


class Named(Value, kw_only=True):
    """A default may stand before a field without one."""

    name: str = "origin"
    at: Point


def test_fields_become_parameters_in_order() -> None:
    assert Point(1, 2).y == 2
    assert Point(1).y == 0.0
    assert Point(y=3, x=4).norm == 7
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, 2, 3)  # type: ignore[call-arg]


def test_keyword_only() -> None:
    assert Named(at=Point(1)).name == "origin"
    with pytest.raises(TypeError):
        Named("a", Point(1))  # type: ignore[call-arg]


def test_frozen_and_slotted() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.z = 2
    assert not hasattr(point, "__dict__")


def test_equality_hash_and_repr() -> None:
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1) != (1, 0.0)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert repr(Named(at=Point(1))) == "Named(name='origin', at=Point(x=1, y=0.0))"
    assert Done("1") != Done("2")


def test_copies_and_pickles() -> None:
    for value in (Point(1, 2), Policy(retries=3), Named(at=Point(5))):
        assert copy.copy(value) == value
        assert copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value


def test_the_tools_of_dataclasses_work() -> None:
    job = Job(id="a", task="t", created_at=1.0)
    assert dataclasses.is_dataclass(Job)
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y"]
    assert dataclasses.asdict(Named(at=Point(1))) == {"name": "origin", "at": {"x": 1, "y": 0.0}}
    moved = dataclasses.replace(job, queue="q", args=(1,))
    assert (moved.queue, moved.args, moved.id, moved.kwargs) == ("q", (1,), "a", NOTHING)


def test_patterns_match() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_the_words_of_the_engine_load_without_dataclasses() -> None:
    code = "import sys, qtool.engine.broker, qtool.engine.codec; sys.exit('dataclasses' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_stamp_makes_values_like_a_template() -> None:
    template = Job(id="", task="t", queue="q", created_at=1.0, policy=Policy(retries=1))
    make = stamp(template, "id", "args")
    made = make("x", (1,))
    assert made == dataclasses.replace(template, id="x", args=(1,))
    assert type(made) is Job
    assert template.id == ""
