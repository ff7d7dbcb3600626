"""The polyhedron a particle is carved by: facets at their distances, corners where they meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hetbuild.arguments import check_fields
from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import check_plane, plane_label
from hetbuild.elements import number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Domain
from hetbuild.rounding import NOTHING

MOST_FACETS = 100
"""Different facets of a particle: {100}, {110}, {111}, {210} and {321} of a cube have 98."""

ON_PLANE = 1e-6
"""Plane indices (multiples of d(hkl)) that differ by less are of one plane; ions exactly at a facet
are inside."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A form {hkl}, or one facet (hkl), at a distance from the particle's centre.

    Examples
    --------
    >>> import hetbuild as hb
    >>> print(hb.Facet((1, 1, 1), 9), hb.Facet((0, -2, 2), 4.75, single=True))
    {1 1 1} (0 -2 2)
    """

    hkl: Plane
    planes: float
    """Distance from the centre in units of d(hkl), of the indices as given."""
    single: bool = False
    """True: only the facet (hkl); False: all symmetry-equivalent facets of {hkl}."""
    outermost: tuple[str, ...] = ()
    """Elements, or kinds as ``anion``, of the termination: each facet ends at the last plane of
    these inside `planes`."""
    ligands: tuple[tuple[str, str], ...] = ()
    """(element or kind, ligand): such ions on the outermost plane become the ligand."""
    point_group: str = ""
    """Of the form, as ``-43m`` or ``3m [1 1 1]``; default: that of the crystal."""

    def __post_init__(self) -> None:
        check_fields(self)

    def planes_of(self, crystal: Crystal) -> IntArray:
        """Indices of all its facets, shape (m, 3).

        Raises
        ------
        InputError
            Its point group is no subgroup of the crystal's.
        """
        if self.single:
            return check_plane(self.hkl)[None]
        return crystal.equivalent_planes(self.hkl, self.point_group)

    def __str__(self) -> str:
        label = plane_label(self.hkl)
        return label if self.single else "{" + label[1:-1] + "}"


@dataclass(frozen=True, eq=False)
class HalfSpaces:
    """h . (x - centre) <= limit for each facet, in units of plane indices."""

    hkl: IntArray  # (m, 3)
    limit: FloatArray  # (m,)
    owner: tuple[Facet, ...]  # the Facet each came from


def half_spaces(domain: Domain, facets: Sequence[Facet], centre: FloatArray) -> HalfSpaces:
    """Every facet as a half space in plane indices. centre: fractional, (3,)."""
    rows: list[IntArray] = []
    owner: list[Facet] = []
    for facet in facets:
        found = facet.planes_of(domain.crystal)
        rows.append(found)
        owner += [facet] * len(found)
    hkl = np.concatenate(rows) if rows else np.empty((0, 3), dtype=np.int64)
    limit = np.array([_outermost(domain, h, f, centre) for h, f in zip(hkl, owner, strict=True)])
    return HalfSpaces(hkl, limit, tuple(owner))


def _outermost(domain: Domain, hkl: IntArray, facet: Facet, centre: FloatArray) -> float:
    """Where the facet ends: at its distance, or at the last plane of the termination inside it."""
    if not facet.outermost:
        return facet.planes
    chosen = [number(e) for word in facet.outermost for e in domain.crystal.ions(word)]
    sites = domain.sites[np.isin(domain.crystal.numbers, chosen)]
    if not len(sites):
        names = ", ".join(sorted({symbol(z) for z in domain.crystal.numbers}))
        raise InputError(
            f"Termination {', '.join(facet.outermost)} of {facet}: no such element in "
            f"{domain.crystal.name}, which has {names}."
        )
    period = float(np.gcd.reduce(hkl))
    heights = (sites - centre) @ hkl
    last = heights + period * np.floor((facet.planes - heights) / period + ON_PLANE)
    return float(last.max())


def corners(domain: Domain, spaces: HalfSpaces) -> FloatArray:
    """Corners of the polyhedron relative to its centre, conventional coordinates, shape (v, 3)."""
    _check_closed(domain, spaces)
    hkl, same = np.unique(spaces.hkl, axis=0, return_inverse=True)
    limit = np.full(len(hkl), np.inf)
    np.minimum.at(limit, same.ravel(), spaces.limit)
    if len(hkl) > MOST_FACETS:
        raise ImpossibleError(
            f"A particle with {len(hkl)} different facets; {MOST_FACETS} are the most. Leave those "
            "out that lie outside the others."
        )
    i, j, k = np.array(list(_triples(len(hkl)))).T
    matrices = np.stack([hkl[i], hkl[j], hkl[k]], axis=1).astype(float)
    limits = np.stack([limit[i], limit[j], limit[k]], axis=1)
    regular = np.abs(np.linalg.det(matrices)) > NOTHING
    points = np.linalg.solve(matrices[regular], limits[regular][..., None])[..., 0]
    inside = (points @ hkl.T <= limit + ON_PLANE).all(axis=1)
    if not inside.any():
        raise ImpossibleError(
            "The facets enclose no volume: their distances leave no common inside. Move them out."
        )
    return np.asarray(points[inside])


def _triples(count: int) -> Iterator[tuple[int, ...]]:
    from itertools import combinations

    return combinations(range(count), 3)


def _check_closed(domain: Domain, spaces: HalfSpaces) -> None:
    from scipy.spatial import ConvexHull, QhullError

    normals = spaces.hkl @ np.linalg.inv(domain.vectors).T
    units = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    try:
        closed = len(units) > 3 and bool((ConvexHull(units).equations[:, 3] < -NOTHING).all())
    except QhullError:
        closed = False
    if not closed:
        names = ", ".join(dict.fromkeys(str(f) for f in spaces.owner))
        raise ImpossibleError(
            f"The facets {names} do not close around a volume: add facets on the open side, or a "
            "sphere."
        )
