"""Planes (hkl) and directions [uvw] of a lattice, exact for every centring.

Indices always refer to the conventional axes; the lattice itself may be centred. Integer
questions (which directions lie in a plane, which are lattice vectors) are answered in a primitive
basis with integer arithmetic, metric ones with the 3x3 matrix of conventional vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

import numpy as np

from hetbuild.arrays import FloatArray, Index, IntArray, Plane
from hetbuild.errors import InputError
from hetbuild.names import shown
from hetbuild.numerals import LARGEST_INDEX
from hetbuild.rounding import ALIKE, NOTHING

MAX_DENOMINATOR = 24
"""Largest denominator of the components of a vector or plane; centring translations have 2 and
3."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A lattice vector n/m [u v w]: a multiplier and the coprime indices along it."""

    multiplier: Fraction
    """How many times [uvw], dimensionless; fractions come from centring."""
    uvw: Plane
    """Coprime indices in conventional axes."""

    @property
    def vector(self) -> FloatArray:
        """Components in conventional axes, shape (3,)."""
        return float(self.multiplier) * np.array(self.uvw, dtype=float)

    def __str__(self) -> str:
        """As a crystallographer writes it, ``1/2[1 1 4]``."""
        text = "[" + " ".join(str(i) for i in self.uvw) + "]"
        return text if self.multiplier == 1 else f"{self.multiplier}{text}"

    @classmethod
    def of(cls, components: FloatArray | Sequence[float]) -> Direction:
        """Name the vector with these conventional components, shape (3,).

        Raises
        ------
        InputError
            The vector is zero or its components are not multiples of 1/24.
        """
        if not np.isfinite(np.asarray(components, dtype=float)).all():
            raise InputError(f"A direction [uvw] takes three numbers; given {list(components)}.")
        fractions = [Fraction(float(c)).limit_denominator(MAX_DENOMINATOR) for c in components]
        off = max(abs(float(f) - float(c)) for f, c in zip(fractions, components, strict=True))
        if off > ALIKE or not any(fractions):
            given = " ".join(f"{float(c):g}" for c in components)
            raise InputError(
                f"[{given}] is not a lattice direction: its components must be multiples of "
                f"1/{MAX_DENOMINATOR} of the conventional axes, and not all zero."
            )
        scale = lcm(*(f.denominator for f in fractions))
        integers = [int(f * scale) for f in fractions]
        common = reduce(gcd, integers)
        u, v, w = (i // common for i in integers)
        return cls(Fraction(common, scale), (u, v, w))


def plane_label(hkl: Index) -> str:
    """``(-2 1 0)``."""
    return "(" + " ".join(str(int(i)) for i in hkl) + ")"


def check_plane(hkl: Index) -> IntArray:
    """The indices as an array, shape (3,).

    Raises
    ------
    InputError
        Not three integers, or (0 0 0).
    """
    try:
        h = np.asarray(hkl)
    except (ValueError, OverflowError):
        h = np.empty(())  # no vector
    whole = h.shape == (3,) and np.issubdtype(h.dtype, np.integer)
    if not whole or np.abs(h.astype(float)).max() > LARGEST_INDEX:
        raise InputError(
            f"A plane takes three integers h k l between -{LARGEST_INDEX} and {LARGEST_INDEX}; "
            f"given {shown(list(hkl) if isinstance(hkl, Iterable) else hkl)}."
        )
    if not h.any():
        raise InputError("(0 0 0) is no lattice plane: at least one index must differ from 0.")
    return h.astype(np.int64)


def reciprocal(vectors: FloatArray) -> FloatArray:
    """Reciprocal vectors a*, b*, c* without 2 pi as rows, 1/Å. vectors: rows in Å, shape (3, 3)."""
    return np.ascontiguousarray(np.linalg.inv(vectors).T)


def plane_normal(vectors: FloatArray, hkl: Index) -> FloatArray:
    """Unit normal of (hkl), shape (3,), pointing to growing plane index."""
    g = np.asarray(hkl, dtype=float) @ reciprocal(vectors)
    return g / float(np.linalg.norm(g))


def spacing(vectors: FloatArray, hkl: Index) -> float:
    """d(hkl) = 1/|h a* + k b* + l c*| in Å, of the indices as given: d(442) is half d(221)."""
    g = check_plane(hkl) @ reciprocal(vectors)
    return 1.0 / float(np.linalg.norm(g))


def primitive_plane(primitive: FloatArray, hkl: Index) -> Plane:
    """The indices along hkl whose spacing is that of successive lattice planes.

    primitive: rows are primitive vectors in conventional axes, shape (3, 3). For the F lattice of
    PbS (2 2 1) gives (4 4 2).
    """
    h = _primitive_indices(primitive, hkl)
    common = reduce(gcd, (int(i) for i in h))
    conventional = np.linalg.solve(primitive, h / common)
    a, b, c = (int(i) for i in np.rint(conventional))
    return a, b, c


def parameters(vectors: FloatArray) -> tuple[float, ...]:
    """a, b, c in Å, alpha, beta, gamma in degrees. vectors: rows, shape (3, 3)."""
    a, b, c = vectors
    lengths = (float(np.linalg.norm(v)) for v in vectors)
    return (*lengths, angle(b, c), angle(a, c), angle(a, b))


def surface_net(vectors: FloatArray, primitive: FloatArray, hkl: Index) -> tuple[Direction, ...]:
    """Two shortest primitive lattice vectors in (hkl), with hkl right-handed about the normal.

    vectors: conventional vectors in Å, shape (3, 3); primitive: rows in conventional axes, shape
    (3, 3). Lagrange-Gauss reduction of the integer null space of hkl, so the net is primitive for
    every centring: 1/2[1 -1 0] and 1/2[1 1 4] for (-4 -4 2) of PbS.
    """
    basis = _null_space(_primitive_indices(primitive, hkl)) @ primitive
    u, v = gauss_reduced(basis, vectors)
    u = _first_positive(u)
    normal = plane_normal(vectors, hkl)
    if np.cross(u @ vectors, v @ vectors) @ normal < 0:
        v = -v
    return Direction.of(u), Direction.of(v)


def lattice_vector(primitive: FloatArray, uvw: Sequence[float]) -> Direction:
    """The shortest lattice vector along [uvw], same sense: 1/2[1 1 4] along [1 1 4] in PbS."""
    along = Direction.of(uvw)
    cells = np.linalg.solve(primitive.T, np.array(along.uvw, dtype=float))
    scale = Fraction(0)
    for c in cells:
        f = Fraction(float(c)).limit_denominator(MAX_DENOMINATOR)
        scale = _fraction_gcd(scale, f)
    return Direction(1 / scale, along.uvw)


def angle(u: FloatArray, v: FloatArray) -> float:
    """Angle between two Cartesian vectors, shape (3,), in degrees, 0 to 180."""
    cross = float(np.linalg.norm(np.cross(u, v)))
    return float(np.degrees(np.arctan2(cross, float(u @ v))))


@dataclass(frozen=True, slots=True)
class Coincidence:
    """m vectors of one crystal beside n of another."""

    first: Direction
    """Lattice vector of the first crystal, taken `counts[0]` times."""
    second: Direction
    counts: tuple[int, int]
    """m and n."""
    lengths: tuple[float, float]
    """Of m first and n second vectors, Å."""

    @property
    def mismatch(self) -> float:
        """(second - first) / first, dimensionless; +0.0047 is 0.47 %."""
        return self.lengths[1] / self.lengths[0] - 1.0

    @property
    def labels(self) -> tuple[str, str]:
        """``3[0 0 1]`` and ``4 x 1/2[1 -1 0]``: the count stays apart from a centring fraction."""
        m, n = self.counts
        return _counted(m, self.first), _counted(n, self.second)


def coincidence(
    first: tuple[Direction, float],
    second: tuple[Direction, float],
    *,
    limit: float = 0.02,
    most: int = 12,
) -> Coincidence:
    """The smallest multiples of two parallel lattice vectors that agree within `limit`.

    first, second: direction and length in Å of one lattice vector each. Where no multiple up to
    `most` agrees that well, the best there is.
    """
    m, n = (g.ravel() for g in np.meshgrid(*2 * (np.arange(1, most + 1),), indexing="ij"))
    misfit = np.abs(n * second[1] / (m * first[1]) - 1.0)
    good = misfit <= limit
    length = m * first[1]
    keys = (misfit, length, ~good) if good.any() else (length, np.round(misfit, 9))
    order = np.lexsort(keys)
    i, j = int(m[order[0]]), int(n[order[0]])
    return Coincidence(first[0], second[0], (i, j), (i * first[1], j * second[1]))


def _counted(count: int, direction: Direction) -> str:
    if count == 1:
        return str(direction)
    return f"{count}{direction}" if direction.multiplier == 1 else f"{count} x {direction}"


def _fraction_gcd(a: Fraction, b: Fraction) -> Fraction:
    scale = lcm(a.denominator, b.denominator)
    return Fraction(gcd(int(a * scale), int(b * scale)), scale)


def _primitive_indices(primitive: FloatArray, hkl: Index) -> IntArray:
    """hkl in the primitive basis, integers whatever the centring (a common factor may remain)."""
    h = primitive @ check_plane(hkl)
    fractions = [Fraction(float(x)).limit_denominator(MAX_DENOMINATOR) for x in h]
    scale = lcm(*(f.denominator for f in fractions))
    return np.array([int(f * scale) for f in fractions], dtype=np.int64)


def _null_space(h: IntArray) -> IntArray:
    """Basis of all integer vectors normal to h, shape (2, 3), by unimodular column reduction."""
    u = np.eye(3, dtype=np.int64)
    row = h.copy()
    while np.count_nonzero(row) > 1:
        order = [i for i in np.argsort(np.abs(row), kind="stable") if row[i]]
        pivot = order[0]
        for i in order[1:]:
            q = row[i] // row[pivot]
            row[i] -= q * row[pivot]
            u[i] -= q * u[pivot]
    return np.asarray(u[row == 0])


def gauss_reduced(basis: FloatArray, vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lagrange-Gauss reduced basis of a net, shorter vector first.

    basis: two rows in the axes of vectors, shape (2, n); vectors: rows in Å, shape (n, n).
    """
    metric = vectors @ vectors.T
    u, v = basis
    while True:
        if u @ metric @ u > v @ metric @ v + NOTHING:
            u, v = v, u
        step = np.rint((u @ metric @ v) / (u @ metric @ u) - NOTHING)
        if step == 0:
            return u, v
        v = v - step * u


def _first_positive(u: FloatArray) -> FloatArray:
    return -u if u[np.flatnonzero(np.abs(u) > NOTHING)[0]] < 0 else u
