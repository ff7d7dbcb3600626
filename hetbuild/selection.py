"""Which of many like ions take part in a partial change: by depth, by chance, or spread evenly."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hetbuild.errors import InputError
from hetbuild.lattice import FloatArray, IntArray
from hetbuild.model import Model, Role

Where = Literal["surface", "interface", "random", "even"]

TIE = 1e-3
"""Å: depths closer than this are equal, and the seed decides between them."""


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


def select(model: Model, atoms: IntArray, count: int, where: Where, seed: int = 0) -> IntArray:
    """`count` of these atoms, sorted; atoms: indices, shape (A,).

    surface: those nearest to the convex hull of the particle; interface: those nearest to the
    cations of the other domain; random: by the seed alone; even: one from each of `count` equal
    cells along a space-filling curve through the atoms, so that none lie together.
    """
    if count >= len(atoms):
        return np.sort(atoms)
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    chance = np.random.default_rng(seed).permutation(len(atoms))
    if where == "even":
        return np.sort(atoms[spread_evenly(model.positions[atoms], count, seed)])
    ways = {"surface": depth, "interface": interface_distance}
    rank = ways[where](model, atoms) if where in ways else np.zeros(len(atoms))
    order = np.lexsort((chance, np.rint(rank / TIE)))
    return np.sort(atoms[order[:count]])


def depth(model: Model, atoms: IntArray) -> FloatArray:
    """Å below the convex hull of the particle, shape (A,)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        planes = ConvexHull(model.positions).equations
    except QhullError:  # a handful of atoms in a plane has no inside
        return np.zeros(len(atoms))
    heights = model.positions[atoms] @ planes[:, :3].T + planes[:, 3]
    return np.asarray(-heights.max(axis=1))


def interface_distance(model: Model, atoms: IntArray) -> FloatArray:
    """Å from each atom to the nearest cation of another domain, or of the shared layer; (A,).

    Raises
    ------
    InputError
        The model has no interface.
    """
    from scipy.spatial import cKDTree

    mine = np.unique(model.domain[atoms])
    other = (model.charges > 0) & (~np.isin(model.domain, mine) | (model.role == Role.SHARED))
    if len(model.domains) < 2 or not other.any():
        raise InputError("This model has no interface; choose surface, random or even.")
    return np.asarray(cKDTree(model.positions[other]).query(model.positions[atoms])[0])


def spread_evenly(points: FloatArray, count: int, seed: int) -> IntArray:
    """`count` of these points (indices), one in each equal stretch of a Morton curve through them.

    points: Å, shape (N, 3).
    """
    if not count:
        return np.empty(0, dtype=np.int64)
    span = np.ptp(points, axis=0).max() or 1.0
    cells = np.rint((points - points.min(axis=0)) / span * 1023).astype(np.int64)
    bits = (cells[:, :, None] >> np.arange(10)) & 1
    key = (bits << (3 * np.arange(10) + np.arange(3)[:, None])).sum(axis=(1, 2))
    order = np.argsort(key, kind="stable")
    offset = np.random.default_rng(seed).random()
    steps = np.floor((np.arange(count) + offset) * len(points) / count).astype(np.int64)
    return np.asarray(order[steps])
