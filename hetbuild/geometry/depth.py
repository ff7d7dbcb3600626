"""How deep places lie below the surface of a particle, and on which of its flat faces."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.model import Model

SAME_FACE = 1e-3
"""Å and direction cosine by which the triangles of one flat face may differ."""

SAMPLE = 200
"""Points looked at first: a few tell most sets that do not all lie below the faces."""

HELD = 50_000
"""Points whose heights over all faces are held at a time."""


def depth(model: Model, atoms: IntArray) -> FloatArray:
    """Å below the convex hull of the particle, shape (A,)."""
    return below_hull(model.positions, model.positions[atoms])


def below_hull(positions: FloatArray, points: FloatArray) -> FloatArray:
    """Å of points, shape (P, 3), below the convex hull of positions, shape (N, 3); (P,)."""
    faces = _faces(positions)
    if not len(faces):  # a handful of atoms in a plane has no inside
        return np.zeros(len(points))
    return np.asarray(-(points @ faces[:, :3].T + faces[:, 3]).max(axis=1))


def all_below(positions: FloatArray, points: FloatArray, depth: float) -> bool:
    """Whether all of these points lie deeper than so many Å below the convex hull of positions."""
    faces = _faces(positions)
    if not len(faces):
        return False
    # A few of them tell most points that do not.
    few = points[:: max(1, len(points) // SAMPLE)]
    parts = (points[k : k + HELD] for k in range(0, len(points), HELD))
    return all(
        (-(part @ faces[:, :3].T + faces[:, 3]).max(axis=1)).min(initial=np.inf) > depth
        for part in (few, *parts)
    )


def flat_faces(positions: FloatArray, points: FloatArray, tolerance: float) -> IntArray:
    """On how many flat faces of the convex hull of positions each point lies, shape (P,).

    A corner of a polyhedron lies on three or more, an edge on two. tolerance: Å below the face.
    """
    faces = _faces(positions)
    heights = points @ faces[:, :3].T + faces[:, 3]
    return np.asarray((heights > -tolerance).sum(axis=1), dtype=np.int64)


def _faces(positions: FloatArray) -> FloatArray:
    """Outward normals and offsets of the hull's faces, coplanar triangles as one, shape (F, 4)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        planes = ConvexHull(positions).equations
    except (QhullError, ValueError):
        return np.empty((0, 4))
    _, first = np.unique(np.rint(planes / SAME_FACE), axis=0, return_index=True)
    return np.asarray(planes[np.sort(first)])
