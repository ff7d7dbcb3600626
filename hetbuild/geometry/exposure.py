"""Which ions lie at the outside of a particle, and which it, or another domain, covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

REACH = 8.0
"""Å: an ion further away covers nothing."""

CLOSE = 6.0
"""Å within which the ions of a crystal's inside leave no empty cone."""

HALF_ANGLE = 40.0
"""Degrees. An ion is exposed where a cone of this half angle with its tip on the ion holds no
other: narrower than the half space that is free above a flat facet, wider than the channels between
the ions inside a crystal."""

ITSELF = 0.1
"""Å within which an ion stands at the place itself."""

GRAIN = 1e-3
"""Å: neighbours closer than this stand alike. Positions are rounded to far less."""

NEAR_THING = 0.01
"""Difference of two cosines below which rounding of the positions by GRAIN, about an ion 2 Å or
more away, could decide whether an ion lies in a cone."""

ROWS = 20_000
"""Places whose neighbours are held at a time; below 2^15."""

DIRECTIONS = 400
"""Axes of cones tried, spread evenly over the sphere: 10 degrees apart."""


def exposed(positions: FloatArray, places: FloatArray) -> BoolArray:
    """Which of these places have an empty cone about them, shape (K,).

    positions: all ions in Å, shape (N, 3); places: Å, shape (K, 3), of ions or of vacant sites.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(positions)
    # What covers a place from nearby covers it: the few that are left need a look further out.
    free = np.arange(len(places))
    for reach in (CLOSE, REACH):
        parts = [free[start : start + ROWS] for start in range(0, len(free), ROWS)]
        left = [part[_within(tree, positions, places[part], reach)] for part in parts]
        free = np.concatenate(left) if left else free
    result = np.zeros(len(places), dtype=bool)
    result[free] = True
    return result


def _within(tree: cKDTree, positions: FloatArray, places: FloatArray, reach: float) -> BoolArray:
    """Which places have a cone about them without ions up to `reach` Å, shape (K,)."""
    from scipy.spatial import cKDTree

    near = cKDTree(places).sparse_distance_matrix(tree, reach, output_type="ndarray")
    near = near[near["v"] > ITSELF]
    # Whole numbers of 16 bits are sorted fastest.
    order = np.argsort(near["i"].astype(np.int16), kind="stable")
    i, j = near["i"][order], near["j"][order]
    ends = np.searchsorted(i, np.arange(len(places) + 1))
    return _free(positions[j] - places[i], ends)


def _free(away: FloatArray, ends: IntArray) -> BoolArray:
    """Which places have an empty cone, shape (K,).

    away: Å from each to its neighbours, all in one list, shape (M, 3); ends: where in it those of
    each place begin and end, shape (K + 1,). Places of a crystal have few surroundings, so that
    each kind is looked at once; where it is a near thing, every place.
    """
    axes = _directions()
    _, first, kind = np.unique(_prints(away, ends), return_index=True, return_inverse=True)
    kind = kind.ravel()
    margin = np.array([_margin(away[ends[k] : ends[k + 1]], axes) for k in first])
    free = (margin > 0)[kind]
    for k in np.flatnonzero((np.abs(margin) < NEAR_THING)[kind]):
        free[k] = _margin(away[ends[k] : ends[k + 1]], axes) > 0
    return free


def _margin(away: FloatArray, axes: FloatArray) -> float:
    """By how much of a cosine the emptiest cone is wider than asked for; below 0 narrower."""
    if not len(away):
        return np.inf
    unit = away / np.linalg.norm(away, axis=1, keepdims=True)
    return float(np.cos(np.radians(HALF_ANGLE)) - (unit @ axes.T).max(axis=0).min())


def _prints(away: FloatArray, ends: IntArray) -> IntArray:
    """A number for the surroundings of each place, that of equal ones the same, shape (K,)."""
    factors = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    grains = np.rint(away / GRAIN).astype(np.int64).view(np.uint64)
    hashed = (grains * factors).sum(axis=1, dtype=np.uint64)
    for shift in (31, 29):
        hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
    # Wraps round as sums of whole numbers do, so that the order of neighbours does not matter.
    return np.asarray((total[ends[1:]] - total[ends[:-1]]).view(np.int64))


def _directions() -> FloatArray:
    """Unit vectors along a Fibonacci spiral, shape (DIRECTIONS, 3)."""
    k = np.arange(DIRECTIONS) + 0.5
    z = 1.0 - 2.0 * k / DIRECTIONS
    turn = np.pi * (1.0 + np.sqrt(5.0)) * k
    flat = np.sqrt(1.0 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
