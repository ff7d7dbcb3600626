"""Two models laid on each other: how far apart their atoms are, and which sites differ.

The alignment is rigid, atoms of one element may change places, and neither the order of the atoms
nor the orientation of the models matters. Of periodic models the cells are laid on each other, and
only the shift between them is free.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetbuild.analyse.alignment import align
from hetbuild.analyse.comparison import Comparison, comparison
from hetbuild.analyse.counterparts import COUNTERPART, rms
from hetbuild.analyse.whereabouts import Whereabouts
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts
from hetbuild.errors import InputError
from hetbuild.geometry.pairing import pair_elements
from hetbuild.geometry.rigid import superposed
from hetbuild.rounding import NOTHING

SAMPLE = 250
"""Atoms by which shifts of a periodic model are compared."""

LOST = 4.0
"""Å that an atom far from all of its element counts as away when shifts are compared: one that has
no counterpart must not outweigh the rest."""

SHIFTS = 6
"""Shifts of a periodic model that are refined."""

SHIFT_ROUNDS = 30
"""Largest number of rounds of pairing and shifting a periodic model; a few suffice."""

ROUNDS = 20
"""Times that atoms are paired and superposed in turn, at most."""

FIRM = 1.0
"""Å: where some atoms have no counterpart, models are laid on each other by those nearer than this,
so that what differs does not pull the rest away."""


Atoms = tuple[IntArray, FloatArray]
"""Atomic numbers (N,) and positions (N, 3) in Å."""


def compare(
    first: Atoms,
    second: Atoms,
    parts: Mapping[str, IntArray] | None = None,
    *,
    where: tuple[Whereabouts | None, Whereabouts | None] = (None, None),
) -> Comparison:
    """Lay the second set of atoms on the first. Each: atomic numbers (N,), positions (N, 3) in Å.

    parts: atoms of the first, by name, whose distance is reported apart; default: each element.
    where: what is known of the places of each model's atoms. Models of different composition are
    compared by what they have in common. The motion is the best of a search over all orientations
    (see `align`); atoms are paired one to one within each element at least summed squared distance.

    Raises
    ------
    InputError
        The models have no element in common.
    """
    _check(first[0], second[0])
    (numbers, a), (others, b) = first, second
    motion = align(numbers, a, others, b)
    rotation, shift = motion.rotation, motion.shift
    partner: IntArray = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        found = pair_elements(numbers, a, others, b @ rotation.T + shift)
        if np.array_equal(found, partner):
            break
        partner = found
        used = _close(a, b @ rotation.T + shift, partner)
        rotation, shift = superposed(a[used], b[partner[used]])
    return comparison(
        numbers, others, (a, b @ rotation.T + shift), partner, (rotation, shift), parts, where
    )


def _close(a: FloatArray, placed: FloatArray, partner: IntArray) -> IntArray:
    """Atoms to superpose models by: all, or the firm ones where some have no counterpart."""
    paired = np.flatnonzero(partner >= 0)
    away = np.linalg.norm(placed[partner[paired]] - a[paired], axis=1)
    if len(paired) == len(a) and away.max() < COUNTERPART:
        return paired
    near = paired[away < FIRM]
    return near if len(near) >= 0.5 * len(paired) and len(near) > 3 else paired


def compare_periodic(
    first: Atoms,
    second: Atoms,
    cells: tuple[FloatArray, FloatArray],
    parts: Mapping[str, IntArray] | None = None,
    *,
    where: tuple[Whereabouts | None, Whereabouts | None] = (None, None),
) -> Comparison:
    """The same for models that repeat, each with its cell (rows in Å, shape (3, 3)).

    Atoms may be wrapped into the cells in any way. Positions are compared as fractions of the
    cells, in Å of the first; the rotation is that from the second cell to the first.

    Raises
    ------
    InputError
        The compositions differ; the text says by what.
    """
    _check_same(first[0], second[0])
    numbers, cell = first[0], cells[0]
    a, b = (p @ np.linalg.inv(c) for (_, p), c in zip((first, second), cells, strict=True))
    rare = min(np.unique(numbers), key=lambda z: int((numbers == z).sum()))
    start = int(np.flatnonzero(numbers == rare)[0])
    trials = a[start] - b[second[0] == rare]
    sample = np.linspace(0, len(a) - 1, min(len(a), SAMPLE)).astype(int)
    rough = [_shift_score(numbers, a, second[0], b + t, cell, sample) for t in trials]
    best = None
    for k in np.argsort(rough, kind="stable")[:SHIFTS]:
        found = _shifted(numbers, a, second[0], b, trials[k], cell)
        away = rms(np.linalg.norm(found[2], axis=1))
        if best is None or away < best[0] - NOTHING:
            best = (away, *found)
    assert best is not None  # there is always an atom to start from
    _, partner, shift, apart = best
    u, _, vt = np.linalg.svd(np.linalg.solve(cells[1], cell))
    placed = np.empty_like(first[1])
    placed[partner] = first[1] - apart
    motion = (u @ vt).T, shift @ cell
    return comparison(numbers, second[0], (first[1], placed), partner, motion, parts, where)


def _shifted(
    numbers: IntArray,
    a: FloatArray,
    others: IntArray,
    b: FloatArray,
    shift: FloatArray,
    cell: FloatArray,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Partners in b of each of a, the shift that brings them closest, and how far they are apart.

    a, b: fractions of the cell; apart: Å, shape (N, 3).
    """
    partner = np.full(len(a), -1)
    for _ in range(SHIFT_ROUNDS):
        apart = _apart(a, b + shift, cell)
        matched = _assigned(numbers, others, (apart**2).sum(axis=2))
        moved = apart[np.arange(len(a)), matched] @ np.linalg.inv(cell)
        shift = shift + moved.mean(axis=0)
        if np.array_equal(matched, partner):
            break
        partner = matched
    return partner, shift, (moved - moved.mean(axis=0)) @ cell


def _apart(a: FloatArray, b: FloatArray, cell: FloatArray) -> FloatArray:
    """From each of b to each of a by the nearest image, Å, shape (N, M, 3)."""
    difference = a[:, None] - b[None]
    return np.asarray((difference - np.rint(difference)) @ cell)


def _shift_score(
    numbers: IntArray,
    a: FloatArray,
    others: IntArray,
    b: FloatArray,
    cell: FloatArray,
    sample: IntArray,
) -> float:
    """Summed distance of some atoms to the nearest of their element, Å."""
    away = np.linalg.norm(_apart(a[sample], b, cell), axis=2)
    away[numbers[sample][:, None] != others[None]] = np.inf
    return float(np.minimum(away.min(axis=1), LOST).sum())


def _assigned(numbers: IntArray, others: IntArray, cost: FloatArray) -> IntArray:
    """One-to-one partners within each element of least summed cost. cost: shape (N, N)."""
    from scipy.optimize import linear_sum_assignment

    partner = np.empty(len(numbers), dtype=np.int64)
    for z in np.unique(numbers):
        i, j = np.flatnonzero(numbers == z), np.flatnonzero(others == z)
        partner[i] = j[linear_sum_assignment(cost[np.ix_(i, j)])[1]]
    return partner


def _check(first: IntArray, second: IntArray) -> None:
    if not np.intersect1d(first, second).size:
        a, b = (", ".join(counts(n)) or "nothing" for n in (first, second))
        raise InputError(f"The models have no element in common: one is of {a}, the other of {b}.")


def _check_same(first: IntArray, second: IntArray) -> None:
    a, b = counts(first), counts(second)
    if a != b:
        differ = ", ".join(
            f"{e} {a.get(e, 0)} and {b.get(e, 0)}" for e in {**a, **b} if a.get(e) != b.get(e)
        )
        raise InputError(
            f"Periodic models of different composition cannot be laid on each other: {differ}. "
            "Compare models of the same ions, for example before and after relaxation."
        )
