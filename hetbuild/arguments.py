"""Arguments of the public functions: of the kind they take, or an error that says so.

The annotations are the only statement of what a function takes: `checked` reads them. Numbers,
arrays and lists of NumPy and pandas pass as what they hold, so that callers need not convert.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache, wraps
from inspect import Parameter, signature
from sys import modules
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np

from hetbuild.errors import InputError
from hetbuild.names import shown
from hetbuild.numerals import LARGEST

P = ParamSpec("P")
R = TypeVar("R")

REMEDIES = {
    "Facet": "Write Facet((1, 1, 1), 9).",
    "Floors": "Write Floors(anion_anion=3.0).",
    "Image": "Make one with image.",
    "Model": "Build one, or read it with read_model.",
    "Move": "Write 'remove Cl in sulfide'.",
    "Orientation": "Write Orientation(planes, along).",
    "Registry": "Write Registry(along, across, gap), or search one with search_registry.",
    "Target": "Write Target(charge=0).",
    "Window": "Write Window(along=0.5, across=0.5, gap=(0, 2)).",
}
"""How to get what a function takes, by its type."""

COUNTED = {1: "one", 2: "two", 3: "three", 4: "four"}

WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("True or False", "True or False"),
    NoneType: ("None", "None"),
}
"""What is taken, one and several of it."""

ARRAYS = {np.float64: "numbers", np.integer: "whole numbers", np.bool_: "True and False"}


def expect(value: object, kind: type | tuple[type, ...], what: str, remedy: str = "") -> None:
    """Stop where an argument is of another kind than a function takes.

    Raises
    ------
    InputError
        The value is no `kind`; the text shows it and says what to do.
    """
    if isinstance(value, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    known = " or ".join(k.__name__ for k in kinds)
    raise InputError(f"{what} must be of type {known}; given {_given(value)}. {remedy}".rstrip())


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A public function that is given only what its annotations name.

    An annotation whose library is not read yet, as `Atoms`, is left to the function itself.

    Raises
    ------
    InputError
        An argument of another kind, when the function is called.
    """
    known = signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = known.bind(*args, **kwargs)
        except TypeError:  # too many, too few or unknown ones: Python says which
            return function(*args, **kwargs)
        for name, value in bound.arguments.items():
            kind = _meant(known.parameters[name].annotation, function.__module__)
            bound.arguments[name] = taken(value, kind, f"{function.__name__}: {name}")
        return function(*bound.args, **bound.kwargs)

    return call


def check_fields(made: Any) -> None:
    """The same for a frozen dataclass that users make: its fields are of the kinds annotated.

    Raises
    ------
    InputError
        One is not.
    """
    kind = type(made)
    for field in fields(made):
        annotated = _meant(str(field.type), kind.__module__)
        value = taken(getattr(made, field.name), annotated, f"{kind.__name__}: {field.name}")
        object.__setattr__(made, field.name, value)


def shaped(array: np.ndarray[Any, Any], shape: tuple[int, ...], what: str) -> None:
    """Stop where an array has another shape, or holds what is no number.

    Raises
    ------
    InputError
        It has or does.
    """
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"{what} takes finite numbers of shape {shape}; given {_given(array)}.")


def taken(value: Any, kind: Any, what: str) -> Any:
    """The value as this kind, converted where nothing is lost. what: it is, for error texts.

    Raises
    ------
    InputError
        It is of another kind.
    """
    if kind is Any or kind is Parameter.empty:
        return value
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(value, kind, what)
    found: Any
    if origin is Literal:
        found = str(value) if isinstance(value, str) and value in inside else None
    elif origin is tuple and inside[-1:] != (...,):
        found = _tuple(value, inside, what)
    elif origin in (tuple, Sequence):
        found = _listed(value, inside[0], what)
    elif origin is Mapping:
        found = _mapped(value, inside, what)
    elif origin is Callable:
        found = value if callable(value) else None
    elif origin is np.ndarray:
        found = _array(value, _entries(inside))
    elif kind in PLAIN:
        found = PLAIN[kind](value)
    else:
        found = value if isinstance(value, origin or kind) else None
    if found is None:
        raise _wrong(value, kind, what)
    return found


@cache
def _meant(annotation: str, module: str) -> Any:
    """The type that an annotation in a module names; Any where its library is not read yet."""
    kind: Any = annotation
    try:
        while isinstance(kind, str):
            kind = eval(kind, vars(modules[module]))  # of our own source, as typing does it
    except NameError:
        return Any
    return kind


def _one_of(value: Any, kind: Any, what: str) -> Any:
    """By the first alternative that it fits; a fault inside a list or pair is named there."""
    others = [k for k in get_args(kind) if k is not NoneType]
    if value is None and len(others) < len(get_args(kind)):
        return None
    for k in others:
        try:
            return taken(value, k, what)
        except InputError:
            if len(others) == 1:
                raise
    raise _wrong(value, kind, what)


def _tuple(value: Any, kinds: tuple[Any, ...], what: str) -> tuple[Any, ...] | None:
    items = _items(value)
    if items is None or len(items) != len(kinds):
        return None
    return tuple(
        taken(v, k, f"{what}[{i}]") for i, (v, k) in enumerate(zip(items, kinds, strict=True))
    )


def _listed(value: Any, kind: Any, what: str) -> tuple[Any, ...] | None:
    items = _items(value)
    if items is None:
        return None
    return tuple(taken(v, kind, f"{what}[{i}]") for i, v in enumerate(items))


def _items(value: Any) -> list[Any] | None:
    """What a list, array, series or generator holds; None for texts, mappings and sets."""
    unordered = isinstance(value, str | bytes | Mapping | set | frozenset | type)
    if unordered or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except TypeError:  # an array without dimensions
        return None


def _array(value: Any, kind: type) -> np.ndarray[Any, Any] | None:
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, OverflowError):  # rows of several lengths
        return None
    if kind is np.float64 and found.dtype.kind in "iuf":
        found = found.astype(np.float64, copy=False)
    return found if np.issubdtype(found.dtype, kind) else None


def _entries(inside: tuple[Any, ...]) -> Any:
    """What an annotated array holds: numpy's kind of number."""
    (entry,) = get_args(inside[-1])
    return get_origin(entry) or entry


def _mapped(value: Any, kinds: tuple[Any, Any], what: str) -> Mapping[Any, Any] | None:
    if not isinstance(value, Mapping):
        return None
    key, inside = kinds
    return {
        taken(k, key, f"a key of {what}"): taken(v, inside, f"{what}[{shown(k)}]")
        for k, v in value.items()
    }


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not -LARGEST <= value <= LARGEST:  # nor is NaN
        return None
    return int(value) if isinstance(value, int | np.integer) else float(value)


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) else None


def _truth(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


PLAIN: dict[Any, Callable[[Any], Any]] = {
    float: _number, int: _whole, str: _text, bool: _truth,
}  # fmt: skip
"""How a value becomes one of these; None where it cannot."""


def _wrong(value: Any, kind: Any, what: str) -> InputError:
    alternatives = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    text = isinstance(value, str) and any(get_origin(k) is Sequence for k in alternatives)
    name = next((n for k in alternatives if (n := getattr(k, "__name__", "")) in REMEDIES), "")
    remedy = f"Write it in a list: [{shown(value)}]." if text else REMEDIES.get(name, "")
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if number and float in alternatives:
        remedy = f"Numbers lie between -{LARGEST:,.0f} and {LARGEST:,.0f}."
    return InputError(f"{what} must be {_words(kind)}; given {_given(value)}. {remedy}".rstrip())


def _words(kind: Any, several: bool = False) -> str:
    """What a kind is called, as "three whole numbers"."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(k, several) for k in inside))
    if origin is Literal:
        return " or ".join(map(repr, inside))
    if origin is tuple and inside[-1:] != (...,):
        if len(set(inside)) > 1:
            return "a pair of " + " and ".join(_words(k) for k in inside)
        how_many = COUNTED.get(len(inside), str(len(inside)))
        times = "times " if get_origin(inside[0]) is tuple else ""
        return f"{how_many} {times}{_words(inside[0], True)}"
    if origin in (tuple, Sequence):
        return f"{'lists' if several else 'a list'} of {_words(inside[0], True)}"
    if origin is Mapping:
        to = "" if inside[1] is Any else f" to {_words(inside[1], True)}"
        return f"{'mappings' if several else 'a mapping'} of {_words(inside[0], True)}{to}"
    if origin is Callable:
        return "a function"
    if origin is np.ndarray:
        return "an array of " + ARRAYS[_entries(inside)]
    if kind in WORDS:
        return WORDS[kind][several]
    name = (origin or kind).__name__
    return name if several else f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _given(value: object) -> str:
    return f"{shown(value)} ({type(value).__name__})"
