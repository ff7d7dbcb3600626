"""Counterparts: which atom of one model stands where one of another does, strain taken out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.geometry.pairing import pair_elements

COUNTERPART = 2.0
"""Å: an atom with none of its element left within this has no counterpart in the other model."""

STRAINED = 2
"""Times that counterparts are sought anew with the strain they show taken out."""

FEWEST = 12
"""Atoms whose places tell how a part is strained."""


def counterparts(
    numbers: IntArray,
    others: IntArray,
    positions: tuple[FloatArray, FloatArray],
    lattices: Mapping[str, IntArray] | None,
) -> IntArray:
    """Index of the atom of the second that stands where one of the first does, -1 none; (N,).

    lattices: atoms of each domain, whose strain is taken out first.
    """
    a, b = positions
    near = pair_elements(numbers, a, others, b, COUNTERPART)
    if lattices:
        for _ in range(STRAINED):
            near = pair_elements(numbers, _strained(a, b, near, lattices), others, b, COUNTERPART)
    return near


def _strained(
    a: FloatArray, b: FloatArray, near: IntArray, groups: Mapping[str, IntArray]
) -> FloatArray:
    """The first model with each part strained as in the second, Å, shape (N, 3)."""
    placed = a.copy()
    for atoms in groups.values():
        solution = _affine(a, b, atoms[near[atoms] >= 0], near)
        if solution is not None:
            placed[atoms] = a[atoms] @ solution[:3] + solution[3]
    return placed


def _affine(a: FloatArray, b: FloatArray, atoms: IntArray, near: IntArray) -> FloatArray | None:
    """Deformation (rows 0 to 2) and shift (row 3) that take atoms to their counterparts; (4, 3).

    None where they are too few to tell, or in one plane.
    """
    design = np.hstack([a[atoms], np.ones((len(atoms), 1))])
    spread = a[atoms] - a[atoms].mean(axis=0) if len(atoms) else a[atoms]
    if len(atoms) < FEWEST or np.linalg.matrix_rank(spread, tol=1.0) < 3:
        return None
    return np.asarray(np.linalg.lstsq(design, b[near[atoms]], rcond=None)[0])


def expansions(
    a: FloatArray, b: FloatArray, near: IntArray, groups: Mapping[str, IntArray]
) -> dict[str, tuple[float, float]]:
    """See `Comparison.expansion`; parts of too few atoms are left out."""
    found = {}
    for name, atoms in groups.items():
        mine = atoms[near[atoms] >= 0]
        solution = _affine(a, b, mine, near)
        if solution is not None:
            left = np.linalg.norm(a[mine] @ solution[:3] + solution[3] - b[near[mine]], axis=1)
            size = float(np.cbrt(np.linalg.det(solution[:3])))
            found[name] = size - 1.0, rms(left)
    return found


def rms(distance: FloatArray) -> float:
    """Root mean square of the distances that are known, not NaN, Å; NaN where none is."""
    known = distance[~np.isnan(distance)]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")
