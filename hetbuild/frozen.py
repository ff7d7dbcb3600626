"""Values that cannot change: arrays and trees of mappings held by results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

Array = TypeVar("Array", bound=np.ndarray[Any, Any])


def frozen(array: Array) -> Array:
    """The array read-only: itself where nobody can write to it, else a copy.

    The caller's own array stays as writeable as it was.
    """
    if not any(a.flags.writeable for a in _with_bases(array)):
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def own(array: Array) -> Array:
    """An array made just now, which nobody else holds, read-only without a copy."""
    for a in _with_bases(array):
        a.flags.writeable = False
    return array


def _with_bases(array: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The array, the one it is a view of, and so on."""
    found = []
    while isinstance(array, np.ndarray):
        found.append(array)
        array = array.base  # type: ignore[assignment]  # None or a buffer ends the chain
    return found


class Frozen:
    """Base of results with read-only arrays: they stay so in copies and in other processes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """NumPy copies and unpickles arrays writeable."""
        for value in state.values():
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray):
                    own(array)
        self.__dict__.update(state)


class FrozenDict(dict[str, Any]):
    """A mapping that cannot be changed; it can be copied, pickled and written as JSON."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("This mapping belongs to a model and cannot be changed; copy it: dict(x).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def frozen_tree(value: Any) -> Any:
    """Mappings, sequences and arrays inside each other, all read-only; other values as they are."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, Mapping):
        return FrozenDict({k: frozen_tree(v) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen_tree(v) for v in value)
    return frozen(value) if isinstance(value, np.ndarray) else value
