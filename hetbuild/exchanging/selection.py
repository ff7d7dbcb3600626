"""Which of many like ions take part in a partial change: by depth, by chance, or spread evenly."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.geometry.depth import depth
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
    cations of the other domain; random: by the seed alone; even: one from each of `count` cells
    with equally many atoms.
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
    """`count` of these points (indices), one in the middle of each of as many equal cells.

    points: Å, shape (N, 3). The cells come from halving the points again and again across their
    longest extent, in axes turned by the seed.
    """
    from scipy.spatial.transform import Rotation

    turned = points @ Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    open_ = [(np.arange(len(points)), count)] if count else []
    chosen = []
    while open_:
        members, wanted = open_.pop()
        here = turned[members]
        if wanted == 1:
            off = here - (here.max(axis=0) + here.min(axis=0)) / 2
            chosen.append(members[np.linalg.norm(off, axis=1).argmin()])
            continue
        members = members[np.argsort(here[:, np.ptp(here, axis=0).argmax()], kind="stable")]
        half = wanted // 2
        middle = round(len(members) * half / wanted)
        open_ += [(members[:middle], half), (members[middle:], wanted - half)]
    return np.array(chosen, dtype=np.int64)
