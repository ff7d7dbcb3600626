"""Coincidence cells of two plane nets: which supercells agree within a strain limit.

After Zur & McGill, J. Appl. Phys. 55, 378 (1984), doi 10.1063/1.333084, with three changes. The
second net is tried in every basis that a strain within the limit could make of a reduced one, so
that cells near a tie of their reduction are not lost. The limit is on principal strains, so it
holds for every direction of the plane. A pair of supercells counts once, whatever its basis: it is
known by its Plücker coordinates, which also tell whether the cell is primitive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.planes import PlaneNet
from hetbuild.rounding import DIGITS, NOTHING

SHEAR = 2.2
"""Shift of a cell's second vector along the first, in lengths of the second, per unit of principal
strain: 2 for pure shear, and a tenth more for its second order up to LARGEST_STRAIN."""

LARGEST_STRAIN = 0.15
"""Largest strain that may be asked for: up to it the shortest vectors of two nets that match are
among the four that are compared."""


@dataclass(frozen=True, eq=False)
class Supercells:
    """Bases of supercells of one net, as rows of coefficients and in Å, with features."""

    coefficients: IntArray
    """Shape (k, 2, 2)."""
    vectors: FloatArray
    """In the plane's axes, Å, shape (k, 2, 2)."""
    features: FloatArray
    """Logarithms of both lengths and half the angle in radians, shape (k, 3)."""


@dataclass(frozen=True, eq=False)
class CoincidenceCells:
    """Pairs of supercells that agree within the limit, none a symmetry image of another."""

    first: IntArray
    """Basis of each in coefficients of the first net, shape (k, 2, 2), right-handed, reduced."""
    second: IntArray
    """The matching basis in the second net, shape (k, 2, 2)."""
    deformation: FloatArray
    """g with (second vectors) = (first vectors) g, rows in the planes' axes, shape (k, 2, 2)."""
    turned: BoolArray
    """Turning the second crystal by 180 degrees about the normal gives another bicrystal, (k,)."""


def count_supercells(area: float, max_area: float) -> float:
    """About how many supercells a net has: the sum of the divisor sums up to max_area / area."""
    return float(np.pi**2 / 12 * (max_area / area + 1) ** 2)


def reduced_supercells(net: PlaneNet, max_area: float) -> Supercells:
    """One reduced basis of every supercell with at most this area, Å²."""
    coefficients = _reduced(_sublattices(int(max_area / net.area + NOTHING)), net.flat)
    return _supercells(coefficients, net.flat)


def strained_supercells(net: PlaneNet, max_area: float, limit: float) -> Supercells:
    """Every basis, up to its sign, that is reduced after some strain within the limit."""
    cells = _reduced(_sublattices(int(max_area / net.area + NOTHING)), net.flat)
    ratio = (1 + limit) / (1 - limit)
    # The shortest vector of the unstrained cell is among these four, its companion follows.
    shortest = np.array([[1, 0], [0, 1], [1, 1], [-1, 1]])
    companion = np.array([[0, 1], [-1, 0], [0, 1], [-1, 0]])
    u, v = (np.einsum("ci,kij->kcj", w, cells).reshape(-1, 2) for w in (shortest, companion))
    length = np.linalg.norm(u @ net.flat, axis=1)
    short = length <= ratio * np.repeat(length[::4], 4) + NOTHING
    u, v = u[short], v[short]
    v = v - _offset(u @ net.flat, v @ net.flat)[:, None] * u
    aspect = np.linalg.norm(v @ net.flat, axis=1) / np.linalg.norm(u @ net.flat, axis=1)
    reach = int(np.ceil(0.5 + SHEAR * limit * float(aspect.max(initial=0.0))))
    shifts = np.arange(-reach, reach + 1)
    second = v[:, None] + shifts[:, None] * u[:, None]
    bases = np.stack(np.broadcast_arrays(u[:, None], second), axis=2).reshape(-1, 2, 2)
    found = _supercells(bases, net.flat)
    a, b = np.exp(found.features[:, 0]), np.exp(found.features[:, 1])
    # cos of a reduced cell's angle is at most a/2b; strain turns it by 2 asin(limit) at most.
    steepest = np.arccos(np.minimum(a / b * ratio / 2, 1.0)) - 2 * np.arcsin(limit)
    near = (np.abs(np.pi / 2 - 2 * found.features[:, 2]) <= np.pi / 2 - steepest + NOTHING) & (
        a <= b * ratio + NOTHING
    )
    return Supercells(found.coefficients[near], found.vectors[near], found.features[near])


def coincidence_cells(
    nets: tuple[PlaneNet, PlaneNet], cells: tuple[Supercells, Supercells], limit: float
) -> CoincidenceCells:
    """Primitive coincidence cells whose principal strains are within the limit.

    cells: `reduced_supercells` of the first net, `strained_supercells` of the second.
    """
    i, j = _candidates(cells[0], cells[1], limit)
    a, b = cells[0].vectors[i], cells[1].vectors[j]
    deformation = np.asarray(np.linalg.solve(a, b), dtype=np.float64)
    low, high = stretches(deformation)
    good = (low >= 1 - limit - 1e-12) & (high <= 1 + limit + 1e-12)
    i, j, deformation = i[good], j[good], deformation[good]
    m, n = cells[0].coefficients[i], cells[1].coefficients[j]
    index, cross = _pluecker(m, n)
    primitive = np.gcd.reduce(np.hstack([index, cross.reshape(-1, 4)]), axis=1) == 1
    # The first of equal cells is kept, and the order of a tree hangs on the last digits.
    plain = np.flatnonzero(primitive)
    plain = plain[_plainest(m[plain], n[plain], nets)]
    m, n, index, cross = m[plain], n[plain], index[plain], cross[plain]
    distinct, turned = _distinct(index, cross, nets)
    return CoincidenceCells(
        m[distinct], n[distinct], deformation[plain][distinct], turned[distinct]
    )


def _plainest(m: IntArray, n: IntArray, nets: tuple[PlaneNet, PlaneNet]) -> IntArray:
    """Order of pairs of bases: fewest minus signs in their directions, then smallest indices.

    They are counted where those of the first crystal start positive, as they will be written.
    """
    first, second = (
        np.round(basis @ np.array([d.vector for d in net.net], dtype=float), DIGITS)
        for basis, net in zip((m, n), nets, strict=True)
    )
    lead = np.take_along_axis(first, (first != 0).argmax(axis=2)[..., None], axis=2)
    first, second = (d * np.sign(lead) + 0.0 for d in (first, second))
    below, above = ((sign * second < 0).sum(axis=(1, 2)) for sign in (1, -1))
    minus = (first < 0).sum(axis=(1, 2)) + np.minimum(below, above)
    keys = np.concatenate([first, second, m, n], axis=2).reshape(len(m), 20)
    return np.lexsort([*keys.T[::-1], minus])


def stretches(deformation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Principal stretches of 2x2 matrices of positive determinant, smaller first, shape (k,)."""
    (p, q), (r, s) = np.moveaxis(deformation, 0, -1)
    rotation, shear = np.hypot(p + s, q - r) / 2, np.hypot(p - s, q + r) / 2
    return rotation - shear, rotation + shear


def polar(deformation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Symmetric stretch u and rotation r with deformation = u r, shape (k, 2, 2) each."""
    square = deformation @ np.swapaxes(deformation, 1, 2)
    root = np.sqrt(np.linalg.det(square))[:, None, None]
    trace = np.trace(square, axis1=1, axis2=2)[:, None, None]
    stretch = (square + root * np.eye(2)) / np.sqrt(trace + 2 * root)
    return stretch, np.linalg.solve(stretch, deformation)


@lru_cache(maxsize=8)
def _sublattices(most: int) -> IntArray:
    """Hermite normal forms ((p, q), (0, r)) of every sublattice up to index `most`, (k, 2, 2)."""
    p, r = (g.ravel() for g in np.meshgrid(*2 * (np.arange(1, most + 1),), indexing="ij"))
    small = p * r <= most
    p, r = p[small], r[small]
    repeats = np.repeat(np.arange(len(p)), r)
    first = np.cumsum(r) - r
    q = np.arange(len(repeats)) - first[repeats]
    zero = np.zeros_like(q)
    forms = np.stack([p[repeats], q, zero, r[repeats]], axis=1).reshape(-1, 2, 2)
    forms.flags.writeable = False
    return np.asarray(forms)


def _reduced(coefficients: IntArray, flat: FloatArray) -> IntArray:
    """Lagrange-Gauss reduction of many bases at once, right-handed, shorter vector first."""
    u, v = coefficients[:, 0].copy(), coefficients[:, 1].copy()
    active = np.arange(len(u))
    while len(active):
        x, y = u[active], v[active]
        y = y - _offset(x @ flat, y @ flat)[:, None] * x
        longer = (_square(x @ flat) > _square(y @ flat) + NOTHING)[:, None]
        # (x, y) -> (y, -x) keeps the basis right-handed.
        u[active], v[active] = np.where(longer, y, x), np.where(longer, -x, y)
        active = active[longer[:, 0]]
    return np.stack([u, v], axis=1)


def _offset(u: FloatArray, v: FloatArray) -> IntArray:
    """How many u to take off v for the shortest rest; ties stay, or are taken on one side."""
    ratio = (u * v).sum(axis=1) / _square(u)
    count = np.ceil(ratio - 0.5 - NOTHING)
    return np.asarray(np.where(np.abs(ratio) <= 0.5 + NOTHING, 0, count).astype(np.int64))


def _square(v: FloatArray) -> FloatArray:
    return np.asarray((v * v).sum(axis=1))


def _supercells(coefficients: IntArray, flat: FloatArray) -> Supercells:
    vectors = coefficients @ flat
    u, v = vectors[:, 0], vectors[:, 1]
    angle = np.arctan2(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1))
    lengths = [np.log(_square(w)) / 2 for w in (u, v)]
    return Supercells(coefficients, vectors, np.stack([*lengths, angle / 2], axis=1))


def _candidates(first: Supercells, second: Supercells, limit: float) -> tuple[IntArray, IntArray]:
    """Index pairs whose lengths and angle could agree."""
    from scipy.spatial import cKDTree

    if not len(first.features) or not len(second.features):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    # A strain within the limit changes each feature by less than this.
    radius = max(-np.log(1 - limit), np.log(1 + limit), np.arcsin(limit)) + NOTHING
    trees = cKDTree(first.features), cKDTree(second.features)
    found = trees[0].sparse_distance_matrix(trees[1], radius, p=np.inf, output_type="ndarray")
    return np.asarray(found["i"]), np.asarray(found["j"])


def _pluecker(m: IntArray, n: IntArray) -> tuple[IntArray, IntArray]:
    """The six minors of [m | n]: both determinants, shape (k, 2), and the crossed ones (k, 2, 2).

    They do not depend on the basis of the coincidence cell, only on its lattice.
    """
    index = np.stack([x[:, 0, 0] * x[:, 1, 1] - x[:, 0, 1] * x[:, 1, 0] for x in (m, n)], axis=1)
    cross = m[:, 0, :, None] * n[:, 1, None] - m[:, 1, :, None] * n[:, 0, None]
    return index, cross


def _distinct(
    index: IntArray, cross: IntArray, nets: tuple[PlaneNet, PlaneNet]
) -> tuple[IntArray, BoolArray]:
    """First of each set of symmetry-equivalent cells, and whether a half turn is another one."""
    p, q, sign = _joint_symmetries(nets)
    images = np.einsum("g,gij,kil,glm->kgjm", sign, p, cross, q, optimize=True)
    images = images.reshape(*images.shape[:2], 4)
    straight, half_turn = _smallest(images), _smallest(-images)
    other = (straight != half_turn).any(axis=1)
    both = _smallest(np.stack([straight, half_turn], axis=1))
    _, first = np.unique(np.hstack([index, both]), axis=0, return_index=True)
    return np.sort(first), other


def _joint_symmetries(nets: tuple[PlaneNet, PlaneNet]) -> tuple[IntArray, IntArray, IntArray]:
    """Operations on both nets at once: two rotations, or two reflections."""
    i, j = np.nonzero(nets[0].handed[:, None] == nets[1].handed[None])
    return nets[0].symmetries[i], nets[1].symmetries[j], nets[0].handed[i]


def _smallest(images: IntArray) -> IntArray:
    """Lexicographically smallest of each row's images. images: shape (k, g, 4)."""
    best = images[:, 0]
    for g in range(1, images.shape[1]):
        differs = images[:, g] - best
        lead = np.take_along_axis(differs, (differs != 0).argmax(axis=1)[:, None], axis=1)
        best = np.where(lead < 0, images[:, g], best)
    return np.asarray(best)
