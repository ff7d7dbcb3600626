"""Stepped planes as terrace and step of the cation sublattice: (-2 1 0) = [0 1 0] + [1 1 0]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Direction, plane_label
from hetbuild.crystal.setting import SYMPREC
from hetbuild.elements import number, symbol
from hetbuild.errors import InputError
from hetbuild.rounding import DIGITS

CLOSE = 1e-6
"""Å or Å² below which lengths and products are equal."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A terrace or step of a step profile: a piece of low-index facet."""

    vector: Direction
    """From its first to its last cation row."""
    plane: Plane
    """The facet it is part of, with the sublattice's own spacing."""
    rows: int
    """How many spacings of cation rows it is wide."""


@dataclass(frozen=True, slots=True)
class StepProfile:
    """The cation rows a plane leaves, from one step edge to the next."""

    plane: Plane
    """As asked."""
    cation: str
    edge: Direction
    """Along the rows: the shortest vector of the cations' surface net."""
    period: Direction
    """From one step edge to the next: terrace + step."""
    terrace: Stretch
    step: Stretch | None
    """None for a plane without steps."""

    def __str__(self) -> str:
        label = f"{self.cation} rows of {plane_label(self.plane)} along {self.edge}"
        if self.step is None:
            return f"{label}: flat, {self.period} apart"
        t, s = self.terrace, self.step
        return (
            f"{label}: {t.vector} + {s.vector} = {self.period}, terrace {plane_label(t.plane)}, "
            f"step {plane_label(s.plane)}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {"terrace": self.terrace, "step": self.step}
        return {
            "plane": self.plane,
            "cation": self.cation,
            "edge": str(self.edge),
            "period": str(self.period),
        } | {
            name: None if p is None else asdict(p) | {"vector": str(p.vector)}
            for name, p in parts.items()
        }


@lru_cache(maxsize=512)
def step_profile(crystal: Crystal, hkl: Plane, cation: str | None = None) -> StepProfile:
    """Describe (hkl) as terrace + step of the sublattice of one cation (default: the heaviest).

    Projected along the densest row in the plane, the cations form a 2D lattice. The vector from one
    step edge to the next is decomposed into m u + n v, with u and v a basis of that lattice. Among
    these decompositions the one is taken whose longer component, m u or n v, is shortest, so that
    terrace and step stay closest to the plane. The terrace is the component along the plane of
    larger spacing d(hkl). Where both components would be longer than the vector itself (which is
    then a Voronoi vector of the 2D lattice), the plane is flat.

    Raises
    ------
    InputError
        No plane, or no such cation.
    """
    if cation is None:
        cation = symbol(int(crystal.numbers[crystal.datum(None)]))
    primitive = cation_lattice(crystal, cation)
    h, k, l = (int(i) for i in lattice.check_plane(hkl))  # noqa: E741 (Miller index)
    edge, period = lattice.surface_net(crystal.vectors, primitive, (h, k, l))
    found = _parts(crystal.vectors, primitive, edge, period)
    if found is None:
        flat = Stretch(period, lattice.primitive_plane(primitive, (h, k, l)), 1)
        return StepProfile((h, k, l), cation, edge, period, flat, None)
    (first, m), (_, n) = found
    parts = [
        Stretch(Direction.of(v), _facet(primitive, edge.vector, v), rows)
        for v, rows in ((first, m), (period.vector - first, n))
    ]
    parts.sort(key=lambda p: -lattice.spacing(crystal.vectors, p.plane))
    return StepProfile((h, k, l), cation, edge, period, parts[0], parts[1])


@lru_cache(maxsize=32)
def cation_lattice(crystal: Crystal, cation: str) -> FloatArray:
    """Primitive vectors of the translations that keep the sites of one element.

    Rows in conventional axes, shape (3, 3). It is finer than the crystal's lattice where the sites
    are, as Pb in orthorhombic CsPbBr3.

    Raises
    ------
    InputError
        The element is no cation of this crystal.
    """
    import spglib

    chosen = (crystal.numbers == number(cation)) & (crystal.charges >= 0)
    if not chosen.any():
        known = sorted({symbol(int(z)) for z in crystal.numbers[crystal.charges >= 0]})
        raise InputError(f"{cation} is no cation of {crystal.name}; it has {', '.join(known)}.")
    cell = (crystal.vectors, crystal.fractional[chosen], crystal.numbers[chosen])
    symmetry = spglib.get_symmetry(cell, symprec=SYMPREC)
    pure = (symmetry["rotations"] == np.eye(3, dtype=int)).all(axis=(1, 2))
    shifts = np.rint(symmetry["translations"][pure] * lattice.MAX_DENOMINATOR)
    shifts /= lattice.MAX_DENOMINATOR
    reach = np.arange(-1, 2)
    cells = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (shifts[:, None] + cells).reshape(-1, 3)
    basis = _shortest_basis(vectors, crystal.vectors, 1.0 / len(shifts))
    # Directions are named in 24ths of the cell; where the cations repeat at fifths or the like,
    # only the crystal's own lattice can be named.
    result = np.array(crystal.primitive if basis is None else basis)
    result.flags.writeable = False  # it is kept
    return result


def _shortest_basis(vectors: FloatArray, metric: FloatArray, volume: float) -> FloatArray | None:
    """The three shortest independent vectors, where they are a basis of this volume; else None."""
    length = np.round(np.linalg.norm(vectors @ metric, axis=1), DIGITS)
    ordered = vectors[np.lexsort((*-vectors.T[::-1], length))]
    basis: list[FloatArray] = []
    for v in ordered:
        if np.linalg.matrix_rank(np.array([*basis, v]), tol=CLOSE) > len(basis):
            basis.append(v)
        if len(basis) == 3:
            break
    result = np.array(basis)
    if abs(abs(np.linalg.det(result)) - volume) > CLOSE:
        return None
    return result if np.linalg.det(result) > 0 else -result


def _parts(
    metric: FloatArray, primitive: FloatArray, edge: Direction, period: Direction
) -> tuple[tuple[FloatArray, int], tuple[FloatArray, int]] | None:
    """Both parts of the profile with their numbers of rows, or None for a flat plane."""
    along = edge.vector @ metric
    drop = np.eye(3) - np.outer(along, along) / (along @ along)
    project = metric @ drop
    p, q = _projected_basis(primitive, project, edge.vector)
    target = period.vector @ project
    m, n = _coefficients(target, p @ project, q @ project)
    p, q, m, n = np.sign(m) * p, np.sign(n) * q, abs(m), abs(n)
    blunt = float((p @ project) @ (q @ project)) <= CLOSE
    if m == 0 or n == 0 or (m == n == 1 and blunt):
        return None
    (u, m), (v, n) = min(_sums(p, q, m, n), key=lambda s: _longer(s, project))
    return (_upright(m * u, edge.vector, metric), m), (n * v, n)


def _projected_basis(
    primitive: FloatArray, project: FloatArray, edge: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lattice vectors that are a reduced basis when seen along the edge."""
    reach = np.arange(-4, 5)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = grid @ primitive
    seen = vectors @ project
    length = np.round(np.linalg.norm(seen, axis=1), DIGITS)
    order = np.argsort(length, kind="stable")
    order = order[length[order] > CLOSE]
    p = order[0]
    apart = np.linalg.norm(np.cross(seen[p], seen[order]), axis=1) > CLOSE * length[p]
    q = order[apart.argmax()]
    return vectors[p], vectors[q]


def _coefficients(target: FloatArray, p: FloatArray, q: FloatArray) -> tuple[int, int]:
    (m, n), *_ = np.linalg.lstsq(np.stack([p, q], axis=1), target, rcond=None)
    return round(float(m)), round(float(n))


def _sums(
    p: FloatArray, q: FloatArray, m: int, n: int
) -> Iterator[tuple[tuple[FloatArray, int], tuple[FloatArray, int]]]:
    """All sums of multiples of two basis vectors: the Stern-Brocot path to m p + n q."""
    yield (p, m), (q, n)
    while m != n:
        if m > n:
            q, m = p + q, m - n
        else:
            p, n = p + q, n - m
        yield (p, m), (q, n)


def _longer(
    parts: tuple[tuple[FloatArray, int], tuple[FloatArray, int]], project: FloatArray
) -> float:
    return round(max(n * float(np.linalg.norm(v @ project)) for v, n in parts), DIGITS)


def _upright(vector: FloatArray, edge: FloatArray, metric: FloatArray) -> FloatArray:
    """The same row, reached as squarely to the edge as the lattice allows."""
    along = edge @ metric
    shift = (vector @ metric) @ along / (along @ along)
    return np.asarray(vector - np.rint(shift) * edge)


def _facet(primitive: FloatArray, edge: FloatArray, vector: FloatArray) -> Plane:
    """The plane through both directions, normal on the side of edge x vector."""
    normal = np.rint(np.cross(edge, vector) * lattice.MAX_DENOMINATOR**2).astype(np.int64)
    return lattice.primitive_plane(primitive, _coprime(normal))


def _coprime(hkl: IntArray) -> Plane:
    h, k, l = (int(i) for i in hkl // np.gcd.reduce(hkl))  # noqa: E741 (Miller index)
    return h, k, l
