"""Starts: where a crystal may lie among bare positions, and in which orientation.

A lattice vector takes a cation of a domain to another of the same element, whatever the crystal's
basis. So orientations are proposed from pairs of such vectors around a few seed atoms, and the
setting and origin settled by the basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from hetbuild.analyse.sites import charges_of
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.rounding import ALIKE, NOTHING

INNER = 0.8
"""Fraction of the atoms, from the middle, tried as a start: the outermost lack neighbours."""

SEEDS = 24
"""Atoms tried as a start."""

LENGTH_TOLERANCE = 0.14
"""Relative; neighbours displaced by 0.4 Å rms change a 5.6 Å vector by up to this much."""

ANGLE_TOLERANCE = 12.0
"""Degrees by which the angle between two lattice vectors may differ."""

SLANT = 20
"""Degrees that two lattice vectors are at least apart to show an orientation well."""

LOCAL = 9.0
"""Å around a seed in which orientations are compared."""

WIDTH = 0.6
"""Å: an ion this far from a site counts exp(-1/2) towards filling it."""

ENOUGH = 0.9
"""Occupied fraction of the sites around a seed at which no further seed is tried."""

GOOD, FEW = 0.65, 8
"""Occupied fraction at which so many seeds are enough."""


class Ions:
    """Atoms by the kind of site they can fill: a cation's element, or any anion."""

    def __init__(self, numbers: IntArray, positions: FloatArray, crystal: Crystal) -> None:
        from scipy.spatial import cKDTree

        self.positions = positions
        self.kind: IntArray = np.where(
            charges_of(numbers, [crystal]) < 0, -1, numbers.astype(np.int64)
        )
        self.site_kind: IntArray = np.where(crystal.charges < 0, -1, crystal.numbers)
        self.trees = {
            int(k): cKDTree(positions[self.kind == k])
            for k in np.unique(self.site_kind)
            if (self.kind == k).any()
        }

    def filling(self, sites: FloatArray, kinds: IntArray) -> FloatArray:
        """How well each site is filled by the nearest ion of its kind, 0 to 1, shape (S,)."""
        filled = np.zeros(len(sites))
        for k, tree in self.trees.items():
            here = np.flatnonzero(kinds == k)
            away = tree.query(sites[here], distance_upper_bound=4 * WIDTH)[0]
            filled[here] = np.exp(-0.5 * (away / WIDTH) ** 2)
        return filled


@dataclass(frozen=True, eq=False)
class Start:
    """Where a crystal may lie."""

    filling: float
    """Of its sites around the seed, 0 to 1."""
    vectors: FloatArray
    origin: FloatArray
    centre: FloatArray
    """The seed's position."""


def starts_of(members: IntArray, ions: Ions, crystal: Crystal, element: int) -> list[Start]:
    """The best orientation at each seed, best seed first."""
    found = []
    for seed in _seeds(ions.positions[members]):
        start = _best_at(ions.positions[members[seed]], members, ions, crystal, element)
        if start is not None:
            found.append(start)
        best = max((s.filling for s in found), default=0.0)
        if best > ENOUGH or (len(found) >= FEW and best > GOOD):
            break
    return sorted(found, key=lambda s: -s.filling)


def _seeds(points: FloatArray) -> IntArray:
    """Atoms spread from the middle outwards."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1), kind="stable")
    picked = np.linspace(0, INNER * (len(order) - 1), min(SEEDS, len(order)))
    return np.asarray(order[np.unique(picked.astype(int))])


def _best_at(
    centre: FloatArray, members: IntArray, ions: Ions, crystal: Crystal, element: int
) -> Start | None:
    """The orientation and setting that fill the sites around a seed best."""
    rotations = _orientations(centre, ions.positions[members], crystal)
    if not len(rotations):
        return None
    best: Start | None = None
    for seat in _seats(crystal, element):
        offsets, kinds = sites_around(crystal, seat, ions.site_kind)
        sites = np.einsum("si,pji->psj", offsets, rotations) + centre
        filled = ions.filling(sites.reshape(-1, 3), np.tile(kinds, len(rotations)))
        score = filled.reshape(len(rotations), -1).mean(axis=1)
        k = int(score.argmax())
        if best is None or score[k] > best.filling + NOTHING:
            vectors = crystal.vectors @ rotations[k].T
            best = Start(float(score[k]), vectors, centre - seat @ vectors, centre)
    return best


def _short_vectors(crystal: Crystal) -> FloatArray:
    """Two shortest lattice vectors that are not collinear, conventional components, (2, 3)."""
    steps = np.array(list(product(range(-2, 3), repeat=3)))
    combos = steps @ crystal.primitive
    length = np.linalg.norm(combos @ crystal.vectors, axis=1)
    order = [i for i in np.argsort(length, kind="stable") if length[i] > ALIKE]
    first = combos[order[0]]
    for i in order[1:]:
        apart = lattice.angle(first @ crystal.vectors, combos[i] @ crystal.vectors)
        if SLANT < apart < 180 - SLANT:
            return np.array([first, combos[i]])
    raise AssertionError("a lattice has vectors in more than one direction")


def _orientations(centre: FloatArray, points: FloatArray, crystal: Crystal) -> FloatArray:
    """Rotations, scaled, that put two lattice vectors on atoms near the seed; shape (P, 3, 3)."""
    a, b = _short_vectors(crystal) @ crystal.vectors
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    offset = points - centre
    away = np.linalg.norm(offset, axis=1)
    near = [offset[np.abs(away / n - 1) < LENGTH_TOLERANCE] for n in lengths]
    u, v = np.repeat(near[0], len(near[1]), axis=0), np.tile(near[1], (len(near[0]), 1))
    nu, nv = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    between = np.degrees(np.arccos(np.clip((u * v).sum(axis=1) / (nu * nv), -1, 1)))
    fit = np.abs(between - lattice.angle(a, b)) < ANGLE_TOLERANCE
    u, v = u[fit], v[fit]
    scale = (nu[fit] / lengths[0] + nv[fit] / lengths[1]) / 2
    rotations = _triads(u, v) @ _triads(a[None], b[None])[0].T
    return np.concatenate([rotations, rotations * scale[:, None, None]])


def _triads(u: FloatArray, v: FloatArray) -> FloatArray:
    """Orthonormal axes as columns, (P, 3, 3): bisector of two vectors, and the normal to both."""
    x = u / np.linalg.norm(u, axis=1, keepdims=True) + v / np.linalg.norm(v, axis=1, keepdims=True)
    z = np.cross(u, v)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=2)


def _seats(crystal: Crystal, element: int) -> FloatArray:
    """Sites of an element that lattice translations do not relate, fractional, shape (s, 3)."""
    sites = crystal.fractional[crystal.numbers == element]
    cells = np.round(sites @ np.linalg.inv(crystal.primitive) % 1.0, 4) % 1.0
    _, distinct = np.unique(cells, axis=0, return_index=True)
    return np.asarray(sites[np.sort(distinct)])


def sites_around(
    crystal: Crystal, seat: FloatArray, site_kind: IntArray
) -> tuple[FloatArray, IntArray]:
    """Sites within LOCAL of one, from it in Å of the crystal's axes (S, 3), and their kinds."""
    reach = np.ceil(LOCAL * np.linalg.norm(np.linalg.inv(crystal.vectors), axis=0)).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    offsets = ((cells + crystal.fractional - seat) @ crystal.vectors).reshape(-1, 3)
    kinds = np.tile(site_kind, len(cells))
    near = np.linalg.norm(offsets, axis=1) < LOCAL
    return offsets[near], kinds[near]


def nearest_site(
    ions: Ions, atoms: IntArray, crystal: Crystal, vectors: FloatArray, origin: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Nearest site of the right kind: fractional coordinates (A, 3) and distance in Å (A,)."""
    fractional = (ions.positions[atoms] - origin) @ np.linalg.inv(vectors)
    nearest = np.full(fractional.shape, np.nan)
    best = np.full(len(atoms), np.inf)
    kind = ions.kind[atoms]
    for k in np.unique(ions.site_kind):
        mine = np.flatnonzero(kind == k)
        here, closest, least = fractional[mine], nearest[mine], best[mine]
        for f in crystal.fractional[ions.site_kind == k]:
            site = np.rint(here - f) + f
            away = np.linalg.norm((site - here) @ vectors, axis=1)
            better: BoolArray = away < least
            closest[better], least[better] = site[better], away[better]
        nearest[mine], best[mine] = closest, least
    return nearest, best
