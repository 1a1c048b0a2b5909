"""Values: frozen, slotted records with the manners of ``@dataclass(frozen=True, slots=True)``.

Not dataclasses themselves, because that module and the thirty classes it would compile take 30 ms, half of what a
one-job ``qtool enqueue`` may; and because a frozen dataclass sets its fields through ``object.__setattr__``: a job
costs 3 µs instead of 1.2 where a million of them are read from a pipe. :func:`dataclasses.replace`, ``fields``,
``asdict`` and ``is_dataclass`` work on values as they do on dataclasses.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field


class _Fields:
    """``__dataclass_fields__``, made when somebody asks, once for each class: it takes two milliseconds."""

    def __init__(self) -> None:
        self._made: dict[ValueType, dict[str, Field[Any]]] = {}

    def __get__(self, value: object, cls: ValueType) -> dict[str, Field[Any]]:
        if cls not in self._made:
            self._made[cls] = self._make(cls)
        return self._made[cls]

    def _make(self, cls: ValueType) -> dict[str, Field[Any]]:
        from dataclasses import field, fields, make_dataclass

        described: list[tuple[str, Any, Any]] = [
            (name, kind, field(default_factory=partial(cls._defaults.get, name)) if name in cls._defaults else field())
            for name, kind in cls.__annotations__.items()
        ]
        twin = make_dataclass(cls.__name__, described, frozen=True, kw_only=True)
        return {made.name: made for made in fields(twin)}


@dataclass_transform(frozen_default=True)
class ValueType(type):
    """Turns the annotations of a class into slots and an ``__init__``, in the order they are written."""

    _names: tuple[str, ...]
    _defaults: dict[str, Any]
    _kw_only: bool

    def __new__(
        metacls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, kw_only: bool = False
    ) -> ValueType:
        if not bases:
            return super().__new__(metacls, name, bases, namespace)
        names = tuple(namespace.get("__annotations__", ()))
        defaults = {field: namespace.pop(field) for field in names if field in namespace}
        namespace |= {
            "__slots__": names,
            "_names": names,
            "_defaults": defaults,
            "__match_args__": () if kw_only else names,
        }
        cls = super().__new__(metacls, name, bases, namespace)
        cls._kw_only = kw_only
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: bool) -> None:
        super().__init__(name, bases, namespace)


def stamp(template: Value, *names: str) -> Callable[..., Any]:
    """A function that takes values for ``names``, in that order, and makes a value like ``template`` otherwise.

    Half the price of the class itself, for those who make them by the million.
    """
    cls = type(template)
    scope: dict[str, Any] = {"new": object.__new__, "cls": cls}
    body = []
    for name in cls.__slots__:
        scope[f"set_{name}"] = cls.__dict__[name].__set__
        scope[f"same_{name}"] = getattr(template, name)
        body.append(f" set_{name}(made, {name if name in names else f'same_{name}'})\n")
    code = f"def make({', '.join(names)}):\n made = new(cls)\n{''.join(body)} return made"
    exec(code, scope)  # noqa: S102 - made of the class's own field names
    make: Callable[..., Any] = scope["make"]
    return make


def _initialiser(cls: ValueType) -> Callable[..., None]:
    """``def __init__(self, a, b=…)`` that fills each slot through its descriptor, which no ``__setattr__`` can stop."""
    names, defaults = cls._names, cls._defaults
    scope: dict[str, Any] = {f"set_{name}": cls.__dict__[name].__set__ for name in names}
    scope |= {f"default_{name}": value for name, value in defaults.items()}
    parameters = ["self", "*"] if cls._kw_only and names else ["self"]
    parameters += [f"{name}=default_{name}" if name in defaults else name for name in names]
    body = [f" set_{name}(self, {name})" for name in names] or [" pass"]
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(body), scope)  # noqa: S102 - made of the class's own field names
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


class Value(metaclass=ValueType):
    """The base of every value: ``class Point(Value): x: float``; ``kw_only=True`` after it as for a dataclass.

    Values compare and hash by their fields, refuse assignment, and are pickled and copied. They do not inherit fields.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:
        __dataclass_fields__ = _Fields()

    if not TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Compiled for the first value of the class: most processes make values of a few classes only.
            cls = type(self)
            cls.__init__ = _initialiser(cls)
            cls.__init__(self, *args, **kwargs)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__qualname__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _refuse(self, name)

    def __delattr__(self, name: str) -> NoReturn:
        _refuse(self, name)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), {name: getattr(self, name) for name in self.__slots__})


def _refuse(value: Value, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r} of a {type(value).__name__}")


def _rebuild(kind: type[Value], fields: dict[str, Any]) -> Value:
    return kind(**fields)
