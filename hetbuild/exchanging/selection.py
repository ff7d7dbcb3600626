"""Which of many like ions take part in a partial exchange."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.errors import InputError
from hetbuild.model import Model
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import parse_order, pick, split
from hetbuild.selection.places import Places, chosen


def share(fraction: float, total: int) -> int:
    """How many of `total` ions a fraction is, rounded to the nearest, halves up.

    Raises
    ------
    InputError
        The fraction is outside 0 to 1.
    """
    if not 0.0 <= fraction <= 1.0:
        raise InputError(f"A fraction of {fraction:g} was asked for; it must lie in 0 to 1.")
    return int(np.floor(fraction * total + 0.5))


def meant_of(model: Model, atoms: IntArray, which: str) -> IntArray:
    """Those of these atoms, shape (A,), that a selection means; empty: all of them."""
    if not which:
        return atoms
    return atoms[chosen(parse_selection(which), Places.of(model, atoms))]


def select(model: Model, atoms: IntArray, count: int, order: str, seed: int = 0) -> IntArray:
    """`count` of these atoms in an order, sorted; atoms: indices, shape (A,).

    Raises
    ------
    InputError
        The order is none, or asks for energies, which an exchange does not compare.
    """
    rule = parse_order(order, tie="random", seed=seed)
    if rule.tie not in ("random", "spread"):
        raise InputError(
            f"Order {rule.tie!r}: an exchange decides among equals by 'random' or 'spread'; the "
            "step 'swap' compares energies."
        )
    if count >= len(atoms):
        return np.sort(atoms)
    taken, tied = split(rule, Places.of(model, atoms), count)
    more = tied[pick(rule, model.positions[atoms[tied]], count - len(taken))]
    return np.sort(atoms[np.concatenate([taken, more])])
