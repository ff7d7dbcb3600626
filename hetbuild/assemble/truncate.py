"""Edges and corners of a particle taken off in whole lattice planes.

The facet that takes an edge off lies in the zone of the two facets that meet there, its indices the
sum of theirs: {110} on the edges of a {100} cube. That of a corner is the sum of all facets that
meet in it: {111} on the corners of the cube, {100} on those of the octahedron.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.assemble.polyhedron import ON_PLANE, Facet, corners, half_spaces
from hetbuild.assemble.size import Shape, repeat_of
from hetbuild.crystal.crystal import Crystal
from hetbuild.errors import InputError
from hetbuild.model import Domain

SAME_CORNER = 1e-6
"""Difference of fractional coordinates below which planes meet in one corner."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """How much of a particle's edges and corners goes."""

    edges: int = 0
    """Lattice planes taken off each edge."""
    vertices: int = 0
    """Lattice planes taken off each corner."""
    outermost: tuple[str, ...] = ()
    """Elements, or kinds as ``anion``, the new facets end at."""
    ligands: tuple[tuple[str, str], ...] = ()
    """(element or kind, ligand): such ions on the new facets become the ligand."""


def truncated(crystal: Crystal, shape: Shape, cut: Truncation) -> Shape:
    """The shape with facets on all its edges and corners.

    Planes are counted inwards from the edge or corner of the shape as it was, in those of the
    crystal's lattice; of both, neither counts from what the other left.

    Raises
    ------
    InputError
        The shape has no edges: a sphere, or one that facets do not close.
    """
    if not cut.edges and not cut.vertices:
        return shape
    if not shape.facets or shape.radius is not None:
        raise InputError("Edges and corners of facets are truncated, and a sphere has none.")
    domain = Domain(
        "shape", crystal, crystal.vectors.copy(), np.zeros(3), crystal.datum(shape.site)
    )
    spaces = half_spaces(domain, shape.facets, np.asarray(shape.centre, dtype=float))
    points = _distinct(corners(domain, spaces))
    on = np.abs(points @ spaces.hkl.T - spaces.limit) < 1e3 * ON_PLANE
    primitive = np.array([_shortest(h) for h in spaces.hkl])
    ends: dict[Plane, float] = {}
    if cut.edges:
        for point, pair in _edges(points, on):
            _enter(ends, primitive[list(pair)].sum(axis=0), point, cut.edges, crystal)
    if cut.vertices:
        for point, meet in zip(points, on, strict=True):
            _enter(
                ends, np.unique(primitive[meet], axis=0).sum(axis=0), point, cut.vertices, crystal
            )
    new = [Facet(h, at, True, cut.outermost, cut.ligands) for h, at in sorted(ends.items())]
    return replace(shape, facets=(*shape.facets, *new))


def _edges(points: FloatArray, on: np.ndarray) -> Iterator[tuple[FloatArray, tuple[int, int]]]:
    """A corner of each edge, and the two planes that meet in it."""
    for i, j in combinations(range(on.shape[1]), 2):
        ends = np.flatnonzero(on[:, i] & on[:, j])
        if len(ends) == 2:
            yield points[ends[0]], (i, j)


def _enter(
    ends: dict[Plane, float], normal: IntArray, point: FloatArray, planes: int, crystal: Crystal
) -> None:
    """The plane so far inside a point; where an other one has its indices, the inner counts."""
    if not normal.any():
        return
    h, k, l = (int(i) for i in _shortest(normal))  # noqa: E741 (Miller index)
    repeat = repeat_of(crystal, Facet((h, k, l), 1.0))
    at = float(np.dot((h, k, l), point)) - planes * repeat
    ends[h, k, l] = min(at, ends.get((h, k, l), np.inf))


def _shortest(hkl: IntArray) -> IntArray:
    return np.asarray(hkl // np.gcd.reduce(hkl))


def _distinct(points: FloatArray) -> FloatArray:
    """Corners where more than three planes meet are found more than once."""
    _, first = np.unique(np.round(points / SAME_CORNER), axis=0, return_index=True)
    return points[np.sort(first)]
